"""Nodes with a credential of their own: who needs which, what a stranger sees of it, and until when a proof counts."""

from __future__ import annotations

import base64
import contextlib
import gc
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from meshtracker.errors import CloseCode, LinkError
from meshtracker.link.proof.authentication import FAILED, Credential
from meshtracker.link.proof.credentials import MIN_ITERATIONS, CredentialList
from meshtracker.wire.frame import FrameType
from tests.link.proof.support import LISTED, OWN, RIGHT, WRONG, converse, listener, prover_of, verifier_of
from tests.mouth_to_mouth import Link, node, settle


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
