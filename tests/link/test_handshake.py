"""The AUTH frames fed from one end to the other, without a session around them."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from meshtracker.errors import LinkError
from meshtracker.link.authentication import FAILED, Credential
from meshtracker.link.handshake import AUTH_FRAMES, Handshake
from meshtracker.wire.frame import FrameDecoder, FrameType
from meshtracker.wire.link import PROTOCOL_VERSION, read_control
from tests.mouth_to_mouth import BINDING, CREDENTIAL, NOW, node


def dialer(credential: Credential = CREDENTIAL, binding: bytes | None = BINDING) -> Handshake:
    return Handshake(credential, dials=True, name="leaf", binding=binding)


def listener(credential: Credential = CREDENTIAL, binding: bytes | None = BINDING) -> Handshake:
    return Handshake(credential, dials=False, name="hub", binding=binding)


def opened(frame: bytes) -> tuple[FrameType, dict[bytes, Any]]:
    [(kind, payload)] = FrameDecoder().feed(frame)
    return kind, read_control(payload)


def run(leaf: Handshake, hub: Handshake) -> list[FrameType]:
    """All frames that it takes."""
    kinds, said, ends = [], leaf.first(), (hub, leaf)
    while said:
        kind, fields = opened(said)
        kinds.append(kind)
        said = ends[0].receive(kind, fields)
        ends = ends[::-1]
    return kinds


@pytest.mark.parametrize("binding", [BINDING, None])
def test_both_are_proven_in_four_frames(binding: bytes | None) -> None:
    leaf, hub = dialer(binding=binding), listener(binding=binding)
    assert run(leaf, hub) == sorted(AUTH_FRAMES)
    assert (leaf.is_proven, hub.is_proven, hub.detail, hub.void_name) == (True, True, "", "")
    assert hub.first() == b""


def test_a_wrong_password_is_detailed_to_the_listeners_operator_only() -> None:
    leaf, hub = dialer(Credential("another")), listener()
    with pytest.raises(LinkError) as refusal:
        run(leaf, hub)
    assert (str(refusal.value), refusal.value.kind, hub.detail) == (FAILED, "authentication", "wrong password")
    assert not leaf.is_proven
    assert not hub.is_proven


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({b"v": PROTOCOL_VERSION + 1}, f"the listener speaks {PROTOCOL_VERSION}, the dialer {PROTOCOL_VERSION + 1}"),
        ({b"mechanism": b"SCRAM-SHA-256"}, "link.tls differs"),
    ],
)
def test_what_both_must_have_in_common(change: dict[bytes, Any], reason: str) -> None:
    hub = listener()
    kind, fields = opened(dialer().first())
    with pytest.raises(LinkError, match=reason):
        hub.receive(kind, fields | change)
    # No proof was refused: nobody is throttled for it.
    assert hub.detail == ""


@pytest.mark.parametrize("kind", AUTH_FRAMES)
@pytest.mark.parametrize("end", [dialer, listener])
def test_each_frame_is_for_one_side(kind: FrameType, end: Any) -> None:
    mine = {
        dialer: {FrameType.AUTH_CHALLENGE, FrameType.AUTH_FINAL},
        listener: {FrameType.AUTH_FIRST, FrameType.AUTH_PROOF},
    }
    with pytest.raises(LinkError) as refusal:
        end().receive(kind, {b"message": b"x", b"v": PROTOCOL_VERSION, b"mechanism": b"SCRAM-SHA-256-PLUS"})
    assert ("is not for this side" in str(refusal.value)) is (kind not in mine[end])


def test_a_dialer_is_who_it_proved_to_be() -> None:
    leaf, hub = dialer(), listener()
    run(leaf, hub)
    hello = node("leaf").mesh.hello(NOW)
    hub.check_hello(hello)
    with pytest.raises(LinkError, match="'other' but proved to be 'leaf'"):
        hub.check_hello(attrs.evolve(hello, name="other"))
    # A listener proves that it knows the password, not a name.
    leaf.check_hello(attrs.evolve(hello, name="any"))
