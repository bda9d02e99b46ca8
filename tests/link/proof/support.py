"""What the tests of proofs share: credentials, a list of them, and both ends of a proof."""

from __future__ import annotations

from meshtracker.link.proof.authentication import Credential, Prover, Verifier, channel_binding
from meshtracker.link.proof.credentials import MIN_ITERATIONS, CredentialList

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

SPEAKERS = [
    ("leaf", "the leaf's own", False, False),
    ("hubs", "the hub's own", False, True),
    ("other", "right password", False, True),
    ("hubs", "the hub's own", True, True),
    ("other", "right password", True, False),
]
"""Name, password, whether a listener with `LISTED` lists hubs too, and whether it lets the dialer speak of others."""


def prover_of(credential: Credential = RIGHT, binding: bytes | None = BINDING, name: str = "leaf") -> Prover:
    """A dialer's end."""
    return Prover(credential, name=name, binding=binding)


def verifier_of(credential: Credential = RIGHT, binding: bytes | None = BINDING) -> Verifier:
    """A listener's end."""
    return Verifier(credential, binding=binding)


def converse(prover: Prover, verifier: Verifier) -> list[str]:
    """All that both say until each is proven."""
    said = [prover.first()]
    said.append(verifier.challenge(said[-1]))
    said.append(prover.proof(said[-1]))
    said.append(verifier.final(said[-1]))
    prover.verify(said[-1])
    return said


def listener(password: str | None = "right password") -> Credential:
    """A hub's: with a mesh password, or not, and a list."""
    return Credential(password, LISTED)
