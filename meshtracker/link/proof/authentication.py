"""Mutual proof of a password: SCRAM-SHA-256 (RFC 5802, 7677), bound to the TLS channel (RFC 5929).

The password itself never crosses the link, nothing that does can be replayed, and with TLS the proof covers the
certificate the dialer saw (``tls-server-end-point``): someone in the middle with another certificate gets no link.
Whether a name is known, revoked or has a password of its own can be told neither from the listener's words nor from
what they cost it. Both ends are plain functions of messages. Nonces come from scramp, which draws them from the
operating system: they are secrets, so the seeded generators of the package are not for them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping

import scramp

from meshtracker.errors import CloseCode, LinkError
from meshtracker.link.proof.credentials import (
    ITERATIONS,
    MAX_ITERATIONS,
    MECHANISM,
    MIN_ITERATIONS,
    NO_KEYS,
    CredentialList,
    Entry,
    derive_keys,
)

UNBOUND = MECHANISM
BOUND = f"{MECHANISM}-PLUS"

FAILED = "authentication failed"
"""All that a stranger is told."""

MAX_MESSAGE_CHARACTERS = 512
"""Of a stranger's message: ours have at most about 260. SCRAM normalises names (RFC 4013), which for a frame full of
ligatures costs 40 ms; this many characters of ASCII cost one."""


def channel_binding(certificate_der: bytes) -> bytes:
    """``tls-server-end-point`` data of the listener's certificate: its SHA-256 (RFC 5929, 4.1)."""
    return hashlib.sha256(certificate_der).digest()


class Credential:
    """What a node proves itself with, and what it checks proofs against."""

    def __init__(
        self,
        password: str | None,
        listed: CredentialList | None = None,
        *,
        iterations: int = ITERATIONS,
        hubs_are_listed: bool = False,
    ) -> None:
        """``password``: the mesh's, or this node's own; None on a hub that dials nobody and has a list.

        ``hubs_are_listed``: who links with the mesh's password is a leaf, and believed what its own clients do only.
        ``iterations``: 4096 at least; a list has its own. Raises ValueError for a password that SCRAM has no form of.
        """
        self.password = password
        self.hubs_are_listed = hubs_are_listed
        self._entries: Mapping[str, Entry] = {}
        self._derive(None if listed is None else listed.salt, iterations if listed is None else listed.iterations)
        if listed is not None:
            self.update(listed)

    def update(self, listed: CredentialList) -> bool:
        """Take over a list of nodes; is anything new in it?"""
        is_same_salt = (listed.salt, listed.iterations) == (self._salt, self._iterations)
        if not is_same_salt:
            self._derive(listed.salt, listed.iterations)
        is_new = not is_same_salt or listed.entries != self._entries
        self._entries = listed.entries
        return is_new

    def entry(self, name: str) -> Entry | None:
        """How the node of that name may link; None: with the mesh password, if there is one."""
        return self._entries.get(name)

    def stored(self, name: str) -> tuple[bytes, bytes, bytes, int]:
        """Salt, stored key, server key and rounds for a node's name: only the keys depend on the name."""
        entry = self._entries.get(name)
        keys = self._mesh_keys if entry is None else entry.keys
        return self._salt, keys.stored, keys.server, self._iterations

    def _derive(self, salt: bytes | None, iterations: int) -> None:
        self._salt, keys = derive_keys(self.password or "", iterations, salt=salt)
        self._mesh_keys = NO_KEYS if self.password is None else keys
        self._iterations = iterations

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
            if not MIN_ITERATIONS <= int(fields["i"]) <= MAX_ITERATIONS:
                raise LinkError(f"the listener must ask for {MIN_ITERATIONS} to {MAX_ITERATIONS} rounds of PBKDF2")
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
            raise LinkError(
                "the listener did not prove that it knows the mesh password", code=CloseCode.AUTHENTICATION
            ) from error


class Verifier:
    """The listener's half: ``challenge`` from the dialer's first message, ``final`` from its proof."""

    def __init__(self, credential: Credential, *, binding: bytes | None) -> None:
        self.mechanism, channel = _mechanism(binding)
        self.detail = ""
        """Why a proof was refused, for the operator's own log only."""
        self.name = ""
        """Who the dialer says it is, and once `final` has returned, is."""
        self._credential = credential
        self._entry: Entry | None = None
        self._is_proven = False
        self._scram = scramp.ScramMechanism(self.mechanism).make_server(self._stored, channel_binding=channel)

    @property
    def is_void(self) -> bool:
        """Does the proof count no longer, because the credential that it was for was revoked or replaced?"""
        return self._is_proven and self._has_changed()

    def challenge(self, first: str) -> str:
        """server-first-message. Raises `LinkError`, which tells nothing."""
        return self._step(self._scram.set_client_first, self._scram.get_server_first, first)

    def final(self, proof: str) -> str:
        """server-final-message. Raises `LinkError`, which tells nothing."""
        message = self._step(self._scram.set_client_final, self._scram.get_server_final, proof)
        if self._has_changed():
            self.detail = "its credential was revoked or replaced meanwhile"
            raise LinkError(FAILED, code=CloseCode.AUTHENTICATION)
        self._is_proven = True
        return message

    @property
    def may_speak(self) -> bool:
        """May the dialer send other nodes' streams? Not with a leaf's own credential."""
        return not self._is_leaf

    @property
    def _is_leaf(self) -> bool:
        return self._credential.hubs_are_listed if self._entry is None else self._entry.role == "leaf"

    def vouch_for(self, name: str, *, forwards: bool) -> None:
        """Raises `LinkError` for a node that says it has another name than it proved, or more rights."""
        if name != self.name:
            raise LinkError(
                f"the node says it is {name!r} but proved to be {self.name!r}", code=CloseCode.AUTHENTICATION
            )
        if forwards and self._is_leaf:
            raise LinkError(
                f"{name} says it is a hub (it has link.listen), but its credential is that of a leaf:"
                " give it one with --role hub",
                code=CloseCode.AUTHENTICATION,
            )

    def _step(self, take: Callable[[str], None], answer: Callable[[], str], message: str) -> str:
        try:
            if len(message) > MAX_MESSAGE_CHARACTERS or not message.isascii():
                raise ValueError("not a message of ours")
            take(message)
            return answer()
        except (scramp.ScramException, ValueError, IndexError, KeyError) as error:
            self.detail = self._why(str(error).lower())
            raise LinkError(FAILED, code=CloseCode.AUTHENTICATION) from error

    def _stored(self, name: str) -> tuple[bytes, bytes, bytes, int]:
        self.name, self._entry = name, self._credential.entry(name)
        return self._credential.stored(name)

    def _has_changed(self) -> bool:
        return self._credential.entry(self.name) != self._entry

    def _why(self, reason: str) -> str:
        # Names only if they are the operator's own: a stranger's would let it fill the log with lines that differ.
        if "binding" in reason:
            return "it saw another certificate than ours: someone is between, or its tls setting differs"
        if self._entry is not None:
            return f"{self.name} {'is revoked' if self._entry.role == 'revoked' else 'has another password of its own'}"
        if self._credential.password is None:
            return "it has no credential here, and there is no mesh password"
        return "wrong password"
