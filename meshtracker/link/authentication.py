"""Mutual proof of the mesh password: SCRAM-SHA-256 (RFC 5802, 7677), bound to the TLS channel (RFC 5929).

The password itself never crosses the link, nothing that does can be replayed, and with TLS the proof covers the
certificate the dialer saw (``tls-server-end-point``): someone in the middle with another certificate gets no link.
Both ends are plain functions of messages. Nonces come from scramp, which draws them from the operating system: they are
secrets, so the seeded generators of the package are not for them.
"""

from __future__ import annotations

import hashlib

import scramp

from meshtracker.errors import LinkError

BOUND = "SCRAM-SHA-256-PLUS"
UNBOUND = "SCRAM-SHA-256"
ITERATIONS = 10_000
"""PBKDF2 rounds: about 5 ms a handshake; RFC 7677 asks for 4096 at least."""

MAX_ITERATIONS = 100_000
"""Rounds a listener may ask of a dialer: about 50 ms; more would let it stall this node."""

FAILED = "authentication failed"
"""All that a stranger is told."""


def channel_binding(certificate_der: bytes) -> bytes:
    """``tls-server-end-point`` data of the listener's certificate: its SHA-256 (RFC 5929, 4.1)."""
    return hashlib.sha256(certificate_der).digest()


class Credential:
    """The mesh password, and what a listener checks proofs against."""

    def __init__(self, password: str) -> None:
        self.password = password
        self._stored: tuple[bytes, bytes, bytes, int] = scramp.ScramMechanism(UNBOUND).make_auth_info(
            password, iteration_count=ITERATIONS
        )

    def stored(self, name: str) -> tuple[bytes, bytes, bytes, int]:  # noqa: ARG002  # scramp asks by user name; the mesh has one password
        """Salt, stored key, server key and rounds for a node's name."""
        return self._stored

    def __repr__(self) -> str:
        return "Credential(********)"


def _mechanism(binding: bytes | None) -> tuple[str, tuple[str, bytes] | None]:
    return (UNBOUND, None) if binding is None else (BOUND, ("tls-server-end-point", binding))


class Prover:
    """The dialer's half: ``first``, then ``proof`` of the challenge, then ``verify`` the listener's answer."""

    def __init__(self, credential: Credential, *, name: str, binding: bytes | None) -> None:
        """``binding``: see `channel_binding`; None without TLS."""
        self.mechanism, channel = _mechanism(binding)
        self._scram = scramp.ScramClient([self.mechanism], name, credential.password, channel_binding=channel)

    def first(self) -> str:
        """client-first-message."""
        message: str = self._scram.get_client_first()
        return message

    def proof(self, challenge: str) -> str:
        """client-final-message. Raises `LinkError`."""
        try:
            fields = dict(part.split("=", 1) for part in challenge.split(","))
            if not 0 < int(fields["i"]) <= MAX_ITERATIONS:
                raise LinkError(f"the listener asks for more than {MAX_ITERATIONS} rounds of PBKDF2")
            self._scram.set_server_first(challenge)
            message: str = self._scram.get_client_final()
        except (scramp.ScramException, ValueError, IndexError, KeyError) as error:
            raise LinkError("the listener's challenge is not SCRAM") from error
        return message

    def verify(self, final: str) -> None:
        """Raises `LinkError` unless the listener proved that it knows the password too."""
        try:
            self._scram.set_server_final(final)
        except (scramp.ScramException, ValueError, IndexError, KeyError) as error:
            raise LinkError("the listener did not prove that it knows the mesh password") from error


class Verifier:
    """The listener's half: ``challenge`` from the dialer's first message, ``final`` from its proof."""

    def __init__(self, credential: Credential, *, binding: bytes | None) -> None:
        self.mechanism, channel = _mechanism(binding)
        self.detail = ""
        """Why a proof was refused, for the operator's own log only."""
        self._scram = scramp.ScramMechanism(self.mechanism).make_server(credential.stored, channel_binding=channel)

    def challenge(self, first: str) -> str:
        """server-first-message. Raises `LinkError`, which tells nothing."""
        try:
            self._scram.set_client_first(first)
            message: str = self._scram.get_server_first()
        except (scramp.ScramException, ValueError, IndexError, KeyError) as error:
            raise self._failed(error) from error
        return message

    def final(self, proof: str) -> str:
        """server-final-message. Raises `LinkError`, which tells nothing."""
        try:
            self._scram.set_client_final(proof)
            message: str = self._scram.get_server_final()
        except (scramp.ScramException, ValueError, IndexError, KeyError) as error:
            raise self._failed(error) from error
        return message

    def _failed(self, error: Exception) -> LinkError:
        reason = str(error).lower()
        if "binding" in reason:
            self.detail = "it saw another certificate than ours: someone is between, or its tls setting differs"
        else:
            self.detail = "wrong password"
        return LinkError(FAILED)
