"""The proof of the password: mutual, bound to the channel, useless to anybody else."""

from __future__ import annotations

import base64
import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshtracker.errors import LinkError
from meshtracker.link.proof.authentication import FAILED, Credential, channel_binding
from meshtracker.link.proof.credentials import MAX_ITERATIONS
from tests.link.proof.support import BINDING, RIGHT, WRONG, converse, prover_of, verifier_of


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


def test_a_password_that_scram_has_no_form_of() -> None:
    with pytest.raises(ValueError, match="characters that SCRAM does not know"):
        Credential("correct horse \N{HORSE FACE}")
