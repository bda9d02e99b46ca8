"""The AUTH frames fed from one end to the other, without a session around them."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from meshtracker.errors import CloseCode, LinkError, WireError
from meshtracker.link.proof.authentication import FAILED, Credential
from meshtracker.link.proof.handshake import Handshake
from meshtracker.wire.frame import FrameDecoder, FrameType
from meshtracker.wire.link import VERSIONS, Auth, decode
from tests.link.proof.support import LISTED, SPEAKERS
from tests.link.support import hello_of
from tests.mouth_to_mouth import BINDING, CREDENTIAL, node

AUTH_FRAMES = [FrameType.AUTH_FIRST, FrameType.AUTH_CHALLENGE, FrameType.AUTH_PROOF, FrameType.AUTH_FINAL]


def dialer(
    credential: Credential = CREDENTIAL,
    binding: bytes | None = BINDING,
    *,
    name: str = "leaf",
    versions: tuple[int, int] = VERSIONS,
) -> Handshake:
    return Handshake(credential, dials=True, name=name, binding=binding, versions=versions)


def listener(
    credential: Credential = CREDENTIAL, binding: bytes | None = BINDING, *, versions: tuple[int, int] = VERSIONS
) -> Handshake:
    return Handshake(credential, dials=False, name="hub", binding=binding, versions=versions)


def opened(frame: bytes) -> Auth:
    [(kind, payload)] = FrameDecoder().feed(frame)
    message = decode(kind, payload)
    assert isinstance(message, Auth)
    return message


def run(leaf: Handshake, hub: Handshake) -> list[FrameType]:
    """All frames that it takes."""
    kinds, said, ends = [], leaf.first(), (hub, leaf)
    while said:
        message = opened(said)
        kinds.append(message.kind)
        said = ends[0].receive(message)
        ends = ends[::-1]
    return kinds


@pytest.mark.parametrize("binding", [BINDING, None])
def test_both_are_proven_in_four_frames(binding: bytes | None) -> None:
    leaf, hub = dialer(binding=binding), listener(binding=binding)
    assert run(leaf, hub) == AUTH_FRAMES
    assert (leaf.is_proven, hub.is_proven, hub.detail, hub.void_name) == (True, True, "", "")
    assert hub.first() == b""


def test_a_wrong_password_is_detailed_to_the_listeners_operator_only() -> None:
    leaf, hub = dialer(Credential("another")), listener()
    with pytest.raises(LinkError) as refusal:
        run(leaf, hub)
    assert (str(refusal.value), refusal.value.code) == (FAILED, CloseCode.AUTHENTICATION)
    assert hub.detail == "wrong password"
    assert not leaf.is_proven
    assert not hub.is_proven


@pytest.mark.parametrize(
    ("change", "reason", "code"),
    [
        (
            {b"v": 9, b"least": 9},
            "the listening node speaks version 3 of the link protocol, the dialling node version 9: upgrade the listen",
            CloseCode.VERSION,
        ),
        # Protocol 2 said one number.
        ({b"v": 2, b"least": None}, "the dialling node version 2: upgrade the dialling node", CloseCode.VERSION),
        ({b"mechanism": b"SCRAM-SHA-256"}, "link.tls differs", CloseCode.OTHER),
    ],
)
def test_what_both_must_have_in_common(change: dict[bytes, Any], reason: str, code: CloseCode) -> None:
    hub = listener()
    first = opened(dialer().first())
    fields = {key: value for key, value in (first.fields | change).items() if value is not None}
    with pytest.raises(LinkError, match=reason) as refusal:
        hub.receive(Auth(first.kind, fields))
    assert refusal.value.code is code
    # No proof was refused: nobody is throttled for it.
    assert hub.detail == ""


@pytest.mark.parametrize(("mine", "theirs"), [((3, 3), (3, 4)), ((3, 4), (3, 3)), ((3, 5), (4, 9)), ((3, 9), (5, 5))])
def test_one_common_version_is_enough(mine: tuple[int, int], theirs: tuple[int, int]) -> None:
    leaf, hub = dialer(versions=mine), listener(versions=theirs)
    assert run(leaf, hub) == AUTH_FRAMES


@pytest.mark.parametrize("key", [b"v", b"least", b"mechanism", b"message"])
@pytest.mark.parametrize("value", [None, [], -1, 2**70, b"\xff", {}])
def test_fields_of_another_type_are_refused(key: bytes, value: Any) -> None:
    first = opened(dialer().first())
    fields = first.fields | {key: value}
    if value is None:
        del fields[key]
    if (key, value) == (b"least", None):
        listener().receive(Auth(first.kind, fields))
        return
    with pytest.raises((LinkError, WireError)):
        listener().receive(Auth(first.kind, fields))


@pytest.mark.parametrize("kind", AUTH_FRAMES)
@pytest.mark.parametrize("end", [dialer, listener])
def test_each_frame_is_for_one_side(kind: FrameType, end: Any) -> None:
    mine = {
        dialer: {FrameType.AUTH_CHALLENGE, FrameType.AUTH_FINAL},
        listener: {FrameType.AUTH_FIRST, FrameType.AUTH_PROOF},
    }
    with pytest.raises(LinkError) as refusal:
        end().receive(Auth(kind, {b"message": b"x", b"v": 3, b"mechanism": b"SCRAM-SHA-256-PLUS"}))
    assert ("is not for this side" in str(refusal.value)) is (kind not in mine[end])


def test_a_dialer_is_who_it_proved_to_be() -> None:
    leaf, hub = dialer(), listener()
    run(leaf, hub)
    hello = hello_of(node("leaf"))
    hub.check_hello(hello)
    with pytest.raises(LinkError, match="'other' but proved to be 'leaf'"):
        hub.check_hello(attrs.evolve(hello, name="other"))
    # A listener proves that it knows the password, not a name.
    leaf.check_hello(attrs.evolve(hello, name="any"))


@pytest.mark.parametrize(("name", "password", "hubs_are_listed", "may_speak"), SPEAKERS)
def test_who_may_speak_of_other_nodes(name: str, password: str, *, hubs_are_listed: bool, may_speak: bool) -> None:
    leaf = dialer(Credential(password), name=name)
    hub = listener(Credential("right password", LISTED, hubs_are_listed=hubs_are_listed))
    run(leaf, hub)
    assert hub.may_speak is may_speak
    # A hub that was dialled may.
    assert leaf.may_speak
