"""The proof of the password: mutual, bound to the channel, useless to anybody else."""

from __future__ import annotations

import base64
import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshtracker.errors import LinkError
from meshtracker.link.authentication import FAILED, MAX_ITERATIONS, Credential, Prover, Verifier, channel_binding

RIGHT = Credential("right password")
WRONG = Credential("wrong password")
BINDING = channel_binding(b"a certificate")


def prover_of(credential: Credential = RIGHT, binding: bytes | None = BINDING) -> Prover:
    return Prover(credential, name="leaf", binding=binding)


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


@pytest.mark.parametrize("rounds", ["100001", "0", "-1", "99999999999999999999", "x", ""])
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
