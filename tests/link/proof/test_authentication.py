"""The proof of the password: mutual, bound to the channel, useless to anybody else."""

from __future__ import annotations

import base64
import contextlib
import gc
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshtracker.errors import CloseCode, LinkError
from meshtracker.link.proof.authentication import FAILED, Credential, Prover, Verifier, channel_binding
from meshtracker.link.proof.credentials import MAX_ITERATIONS, MIN_ITERATIONS, CredentialList
from meshtracker.wire.frame import FrameType
from tests.mouth_to_mouth import NOW, Link, node, settle, synced

RIGHT = Credential("right password")
WRONG = Credential("wrong password")
BINDING = channel_binding(b"a certificate")

LISTED = (
    CredentialList(b"0123456789abcdef", MIN_ITERATIONS)
    .with_password("leaf", "leaf", "the leaf's own")
    .with_password("hubs", "hub", "the hub's own")
    .without("gone")
)
OWN = Credential("the leaf's own")


def prover_of(credential: Credential = RIGHT, binding: bytes | None = BINDING, name: str = "leaf") -> Prover:
    return Prover(credential, name=name, binding=binding)


def verifier_of(credential: Credential = RIGHT, binding: bytes | None = BINDING) -> Verifier:
    return Verifier(credential, binding=binding)


def converse(prover: Prover, verifier: Verifier) -> list[str]:
    said = [prover.first()]
    said.append(verifier.challenge(said[-1]))
    said.append(prover.proof(said[-1]))
    said.append(verifier.final(said[-1]))
    prover.verify(said[-1])
    return said


@pytest.mark.parametrize("binding", [None, BINDING])
def test_both_know_the_password(binding: bytes | None) -> None:
    said = converse(prover_of(binding=binding), verifier_of(binding=binding))
    assert not any("right password" in message for message in said)
    assert said != converse(prover_of(binding=binding), verifier_of(binding=binding))


@pytest.mark.parametrize(
    ("prover", "detail"),
    [
        (lambda: prover_of(WRONG), "wrong password"),
        (lambda: prover_of(binding=channel_binding(b"of somebody between")), "certificate"),
    ],
)
def test_a_refusal_is_detailed_only_at_home(prover: object, detail: str) -> None:
    assert callable(prover)
    dialer, verifier = prover(), verifier_of()
    challenge = verifier.challenge(dialer.first())
    with pytest.raises(LinkError) as refused:
        verifier.final(dialer.proof(challenge))
    assert str(refused.value) == FAILED
    assert detail in verifier.detail


@pytest.mark.parametrize(("dialer", "listener"), [(None, BINDING), (BINDING, None)])
def test_a_proof_without_binding_is_not_one_with(dialer: bytes | None, listener: bytes | None) -> None:
    with pytest.raises(LinkError):
        converse(prover_of(binding=dialer), verifier_of(binding=listener))


def test_the_listener_has_to_know_the_password_too() -> None:
    prover, verifier = prover_of(), verifier_of()
    prover.proof(verifier.challenge(prover.first()))
    for forged in ("", "v=", "v=" + base64.b64encode(bytes(32)).decode(), "e=other-error"):
        with pytest.raises(LinkError, match="did not prove"):
            prover.verify(forged)


def test_the_listener_cannot_skip_the_challenge() -> None:
    prover = prover_of()
    prover.first()
    with pytest.raises(LinkError):
        prover.verify("v=" + base64.b64encode(bytes(32)).decode())


@pytest.mark.parametrize("rounds", ["100001", "4095", "0", "-1", "99999999999999999999", "x", ""])
def test_a_listener_cannot_make_a_dialer_work_for_long(rounds: str) -> None:
    prover = prover_of()
    nonce = prover.first().rpartition("r=")[2]
    with pytest.raises(LinkError):
        prover.proof(f"r={nonce}abc,s={base64.b64encode(b'salt' * 4).decode()},i={rounds}")
    assert MAX_ITERATIONS == 100_000


def test_a_recorded_proof_is_worth_nothing() -> None:
    prover, verifier = prover_of(), verifier_of()
    first = prover.first()
    proof = prover.proof(verifier.challenge(first))
    verifier.final(proof)
    again = verifier_of()
    again.challenge(first)
    with pytest.raises(LinkError):
        again.final(proof)


def test_a_listeners_own_words_are_no_proof() -> None:
    """Reflection: someone who knows nothing answers with what the other end said."""
    prover, verifier = prover_of(), verifier_of()
    challenge = verifier.challenge(prover.first())
    for message in (challenge, prover_of().first()):
        with pytest.raises(LinkError):
            verifier.final(message)


words = st.text(max_size=80) | st.lists(
    st.builds(
        "{}={}".format, st.sampled_from(["r", "s", "i", "c", "p", "v", "n", "m", "e", "a"]), st.text(max_size=20)
    ),
    max_size=5,
).map(",".join)


@settings(max_examples=200)
@given(words)
def test_any_words_are_refused_with_a_link_error(message: str) -> None:
    prover, verifier = prover_of(), verifier_of()
    with pytest.raises(LinkError):
        verifier.final(message)
    prover.first()
    with pytest.raises(LinkError):
        prover.proof(message)
    with pytest.raises(LinkError):
        prover.verify(message)
    with contextlib.suppress(LinkError):
        verifier_of().challenge(message)


def test_a_credential_does_not_show_its_password() -> None:
    assert "right" not in repr(RIGHT)
    assert "right" not in str(RIGHT)


# ---------------------------------------------------------------- nodes with a credential of their own


def listener(password: str | None = "right password") -> Credential:
    """A hub's: with a mesh password, or not, and a list."""
    return Credential(password, LISTED)


@pytest.mark.parametrize(
    ("name", "password", "is_let_in"),
    [
        ("leaf", "the leaf's own", True),
        ("leaf", "right password", False),
        ("hubs", "the hub's own", True),
        ("hubs", "the leaf's own", False),
        ("gone", "right password", False),
        ("gone", "the leaf's own", False),
        ("other", "right password", True),
        ("other", "the leaf's own", False),
    ],
)
def test_who_has_a_credential_of_his_own_needs_that_one(name: str, password: str, *, is_let_in: bool) -> None:
    prover, verifier = prover_of(Credential(password), name=name), verifier_of(listener())
    with contextlib.nullcontext() if is_let_in else pytest.raises(LinkError, match=f"^{FAILED}$"):
        converse(prover, verifier)
    assert verifier.name == name


def test_without_a_mesh_password_only_the_listed_are_let_in() -> None:
    converse(prover_of(OWN), verifier_of(listener(None)))
    for name in ("gone", "other", "hubs"):
        for password in ("", "the leaf's own", "None"):
            with pytest.raises(LinkError, match=f"^{FAILED}$"):
                converse(prover_of(Credential(password), name=name), verifier_of(listener(None)))


def test_the_listener_proves_that_it_knows_the_nodes_own_password() -> None:
    prover, verifier = prover_of(OWN), verifier_of(Credential("right password"))
    with pytest.raises(LinkError):
        converse(prover, verifier)
    # Not the mesh's proof either, which the leaf does not know.
    prover = prover_of(OWN)
    nonce = prover.first().rpartition("r=")[2]
    prover.proof(f"r={nonce}abc,s={base64.b64encode(LISTED.salt).decode()},i={MIN_ITERATIONS}")
    with pytest.raises(LinkError, match="did not prove"):
        prover.verify("v=" + base64.b64encode(bytes(32)).decode())


STRANGERS = ["leaf", "hubs", "gone", "else"]
"""Of one length: with a credential of its own, revoked, and with the mesh password or unknown."""


@pytest.mark.parametrize("password", ["right password", None])
def test_a_stranger_sees_no_difference(password: str | None) -> None:
    """The bytes a hub sends to somebody with a wrong password, whatever name he gives; nonces are random."""
    seen = set()
    for name in STRANGERS:
        link = Link(node(name), node("hub", forwards=True), leaf_credential=WRONG, hub_credential=listener(password))
        settle(link)
        said = bytes(link.bytes[link.hub])
        nonce = said[said.index(b"r=") + 2 : said.index(b",s=")]
        seen.add(said.replace(nonce, b"N" * len(nonce)))
        assert link.hub.authentication_failed
        assert link.hub.refusal is CloseCode.AUTHENTICATION
    [told] = seen
    assert b",s=" + base64.b64encode(LISTED.salt) + b",i=4096" in told
    assert told.endswith(b"d4:codei5e6:reason21:authentication failede")
    assert FrameType.AUTH_FINAL.value not in (told[0], told[4])


@contextlib.contextmanager
def recording(calls: list[str]) -> Iterator[None]:
    """Note the name of each function that is called; collecting garbage would call others in between."""

    def note(frame: Any, event: str, argument: Any) -> None:
        if event in ("call", "c_call"):
            calls.append(frame.f_code.co_name if event == "call" else argument.__name__)

    gc.disable()
    sys.setprofile(note)
    try:
        yield
    finally:
        sys.setprofile(None)
        gc.enable()


def test_a_stranger_costs_the_same() -> None:
    """Each call that a refusal takes, those of the hashes among them, is the same for every name."""
    seen = set()
    for name in STRANGERS:
        prover, verifier = prover_of(WRONG, name=name), verifier_of(listener())
        first, calls = prover.first(), list[str]()
        with recording(calls):
            challenge = verifier.challenge(first)
        proof = prover.proof(challenge)
        with recording(calls), contextlib.suppress(LinkError):
            verifier.final(proof)
        seen.add(tuple(calls))
    [calls_of_all] = seen
    assert calls_of_all.count("compare_digest") == 2  # of the channel and of the proof


@pytest.mark.parametrize(
    ("name", "password", "detail"),
    [
        ("leaf", "right password", "leaf has another password of its own"),
        ("gone", "right password", "gone is revoked"),
        ("else", "right password", "wrong password"),
        ("else", None, "it has no credential here, and there is no mesh password"),
    ],
)
def test_the_operator_reads_why(name: str, password: str | None, detail: str) -> None:
    verifier = verifier_of(listener(password))
    with pytest.raises(LinkError):
        converse(prover_of(WRONG, name=name), verifier)
    assert verifier.detail == detail


@pytest.mark.parametrize(
    "message", ["n,,n=" + "\ufdfa" * 50 + ",r=abc", "n,,n=" + "a" * 520 + ",r=abc", "\xad" * 20, "n,,n=\ud800,r=a"]
)
def test_no_name_makes_the_listener_work(message: str) -> None:
    verifier = verifier_of(binding=None)
    with pytest.raises(LinkError):
        verifier.challenge(message)
    assert verifier.name == ""
    assert verifier.detail == "wrong password"


@pytest.mark.parametrize(
    ("then", "is_new", "void"),
    [
        (LISTED, False, set()),
        (LISTED.with_password("hubs", "hub", "another"), True, set()),
        (LISTED.with_password("leaf", "hub", "the leaf's own"), True, {"leaf"}),
        (LISTED.with_password("leaf", "leaf", "another"), True, {"leaf"}),
        (LISTED.without("leaf"), True, {"leaf"}),
        (LISTED.with_password("other", "leaf", "its own now"), True, {"other"}),
        (LISTED.without("other"), True, {"other"}),
        (CredentialList(LISTED.salt, LISTED.iterations), True, {"leaf"}),
    ],
)
def test_a_proof_counts_until_the_credential_is_another(then: CredentialList, void: set[str], *, is_new: bool) -> None:
    credential = listener()
    verifiers = [verifier_of(credential) for _ in range(2)]
    converse(prover_of(OWN), verifiers[0])
    converse(prover_of(RIGHT, name="other"), verifiers[1])
    assert credential.update(then) is is_new
    assert {verifier.name for verifier in verifiers if verifier.is_void} == void


def test_a_new_salt_leaves_the_mesh_password_as_it_is() -> None:
    credential = listener()
    verifier = verifier_of(credential)
    converse(prover_of(RIGHT, name="other"), verifier)
    assert credential.update(CredentialList(b"another salt of ours", 5000))
    assert not verifier.is_void
    said = converse(prover_of(RIGHT, name="other"), verifier_of(credential))
    assert said[1].endswith(base64.b64encode(b"another salt of ours").decode() + ",i=5000")


def test_a_credential_that_is_revoked_during_the_handshake() -> None:
    credential = listener()
    prover, verifier = prover_of(OWN), verifier_of(credential)
    proof = prover.proof(verifier.challenge(prover.first()))
    credential.update(LISTED.without("leaf"))
    assert not verifier.is_void
    with pytest.raises(LinkError, match=f"^{FAILED}$"):
        verifier.final(proof)
    assert verifier.detail == "its credential was revoked or replaced meanwhile"


def test_a_password_that_scram_has_no_form_of() -> None:
    with pytest.raises(ValueError, match="characters that SCRAM does not know"):
        Credential("correct horse \N{HORSE FACE}")


# ---------------------------------------------------------------- what is proven and what is said


def test_a_node_is_who_it_proved_to_be() -> None:
    leaf, hub = node("leaf"), node("hub", forwards=True)
    link = Link(leaf, hub, leaf_credential=OWN, hub_credential=listener())
    # It proves that it is the leaf, and then says that it is another node.
    leaf.mesh.name = "other"
    settle(link)
    assert link.leaf.reason == link.hub.reason == "the node says it is 'other' but proved to be 'leaf'"
    assert link.hub.refusal is link.leaf.code is CloseCode.AUTHENTICATION


@pytest.mark.parametrize(("says", "forwards"), [("other", False), ("leaf", True)])
def test_who_proves_its_password_is_no_failed_proof_whatever_it_says_then(says: str, *, forwards: bool) -> None:
    """A listener throttles the addresses of those that fail: a setting that is wrong is no guessed password."""
    leaf, hub = node("leaf", forwards=forwards), node("hub", forwards=True)
    link = Link(leaf, hub, leaf_credential=OWN, hub_credential=listener())
    leaf.mesh.name = says
    settle(link)
    assert link.hub.refusal is CloseCode.AUTHENTICATION
    assert not link.hub.authentication_failed


def test_both_ends_know_a_failed_proof() -> None:
    link = Link(node("leaf"), node("hub", forwards=True), leaf_credential=WRONG, hub_credential=listener())
    settle(link)
    assert [end.authentication_failed for end in link.ends] == [True, True]
    assert [end.code for end in link.ends] == [CloseCode.AUTHENTICATION] * 2


def test_a_proof_that_was_revoked_is_no_failed_one() -> None:
    credential = listener()
    link = synced(node("leaf"), node("hub", forwards=True), leaf_credential=OWN, hub_credential=credential)
    credential.update(LISTED.without("leaf"))
    link.hub.check_credential(NOW)
    settle(link)
    assert [end.code for end in link.ends] == [CloseCode.AUTHENTICATION] * 2
    assert [end.authentication_failed for end in link.ends] == [False, False]


def test_so_it_is_with_the_mesh_password() -> None:
    leaf, hub = node("else"), node("hub", forwards=True)
    link = Link(leaf, hub, leaf_credential=RIGHT, hub_credential=listener())
    leaf.mesh.name = "leaf"
    settle(link)
    assert link.hub.reason == "the node says it is 'leaf' but proved to be 'else'"


@pytest.mark.parametrize(
    ("name", "password", "is_let_in"),
    [("leaf", "the leaf's own", False), ("hubs", "the hub's own", True), ("other", "right password", True)],
)
def test_a_leafs_credential_is_not_for_a_hub(name: str, password: str, *, is_let_in: bool) -> None:
    link = Link(
        node(name, forwards=True),
        node("hub", forwards=True),
        leaf_credential=Credential(password),
        hub_credential=listener(),
    )
    settle(link)
    assert link.hub.is_closed is not is_let_in
    if not is_let_in:
        assert link.leaf.reason == link.hub.reason
        assert link.hub.reason.startswith("leaf says it is a hub (it has link.listen), but its credential is that of")
        assert link.hub.refusal is CloseCode.AUTHENTICATION


@pytest.mark.parametrize(
    ("name", "password", "forwards", "is_let_in"),
    [
        ("hubs", "the hub's own", True, True),
        ("other", "right password", True, False),
        ("other", "right password", False, True),
    ],
)
def test_the_mesh_password_need_not_make_a_hub(name: str, password: str, *, forwards: bool, is_let_in: bool) -> None:
    """For a hub could say whatever it likes of the clients of all others."""
    link = Link(
        node(name, forwards=forwards),
        node("hub", forwards=True),
        leaf_credential=Credential(password),
        hub_credential=Credential("right password", LISTED, hubs_are_listed=True),
    )
    settle(link)
    assert link.hub.is_closed is not is_let_in
    assert link.hub.refusal is (None if is_let_in else CloseCode.AUTHENTICATION)


def test_a_revoked_node_loses_its_link_and_nobody_else() -> None:
    credential, hub = listener(), node("hub", forwards=True)
    revoked = synced(node("leaf"), hub, leaf_credential=OWN, hub_credential=credential)
    other = synced(node("other"), hub, leaf_credential=RIGHT, hub_credential=credential)
    credential.update(LISTED.without("leaf"))
    for end in (*revoked.ends, *other.ends):
        end.check_credential(NOW)
    settle(revoked, other)
    assert revoked.leaf.reason == revoked.hub.reason == "the credential of leaf was revoked or replaced"
    assert revoked.leaf.told_by_peer
    assert not any(end.is_closed for end in other.ends)


# ---------------------------------------------------------------- who may speak of other nodes' streams


@pytest.mark.parametrize(
    ("name", "password", "hubs_are_listed", "may_speak"),
    [
        ("leaf", "the leaf's own", False, False),
        ("hubs", "the hub's own", False, True),
        ("other", "right password", False, True),
        ("hubs", "the hub's own", True, True),
        ("other", "right password", True, False),
    ],
)
def test_a_listener_tells_the_dialer_whether_it_may_speak(
    name: str, password: str, *, hubs_are_listed: bool, may_speak: bool
) -> None:
    link = synced(
        node(name),
        node("hub", forwards=True),
        leaf_credential=Credential(password),
        hub_credential=Credential("right password", LISTED, hubs_are_listed=hubs_are_listed),
    )
    assert link.leaf.peer is not None
    assert link.leaf.peer.may_speak is may_speak
    # The hub that was dialled may.
    assert link.hub.peer is not None
    assert link.hub.peer.may_speak
