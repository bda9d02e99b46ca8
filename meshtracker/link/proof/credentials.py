"""The nodes that have a credential of their own, and those that may not link: what a hub checks proofs against.

As a text, which holds no password and from which none can be had::

    scram-sha-256: SALT ITERATIONS
    leaf-a leaf STORED_KEY SERVER_KEY
    leaf-b revoked
    end: 2

Salt and keys (RFC 5802) are in base64. All nodes share salt and iterations, so that a challenge tells nothing of whom
it is for. The last line counts the nodes: a text that was cut short is not mistaken for a shorter one.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Literal, TypeAlias

import attrs
import scramp

from meshtracker.wire.vector import is_name

MECHANISM = "SCRAM-SHA-256"
ITERATIONS = 10_000
"""PBKDF2 rounds: a few milliseconds for a dialer at each handshake, none for a listener."""
MIN_ITERATIONS = 4_096
"""RFC 7677's least, which keeps a false listener from having a proof that is cheap to guess from."""
MAX_ITERATIONS = 100_000
"""Rounds a listener may ask of a dialer: about 50 ms; more would let it stall that node."""
SALT_BYTES = 16
_MAX_SALT_BYTES = 64
"""It goes with every challenge, and a frame is small at that point."""
_KEY_BYTES = 32

Role: TypeAlias = Literal["leaf", "hub", "revoked"]

_HEAD = f"{MECHANISM.lower()}:"
_END = "end:"
# With a colon, which no node's name has.


@attrs.frozen(repr=False)
class Keys:
    """What a proof is checked against (RFC 5802, 3); with them one can pretend to be the listener, not the dialer."""

    stored: bytes
    server: bytes


NO_KEYS = Keys(bytes(_KEY_BYTES), bytes(_KEY_BYTES))
"""Nothing proves these: a proof would need a text whose SHA-256 is all zeros."""


@attrs.frozen
class Entry:
    """How one node may link. A leaf may send its own clients' changes only, a hub everybody's."""

    role: Role
    keys: Keys = NO_KEYS


def derive_keys(password: str, iterations: int, *, salt: bytes | None) -> tuple[bytes, Keys]:
    """The keys of a password, and their salt: a new one where none is given.

    Raises ValueError for a password that SCRAM has no form of: some characters that came after Unicode 3.2 (RFC 4013).
    """
    try:
        salt, stored, server, _ = scramp.ScramMechanism(MECHANISM).make_auth_info(password, iterations, salt)
    except scramp.ScramException as error:
        raise ValueError("the password has characters that SCRAM does not know: use others") from error
    return salt, Keys(stored, server)


@attrs.frozen
class CredentialList:
    """Entries by the name of the node."""

    salt: bytes
    iterations: int = ITERATIONS
    entries: Mapping[str, Entry] = attrs.field(factory=dict)

    def with_password(self, name: str, role: Role, password: str) -> CredentialList:
        """The same, where that node links with that password and no other."""
        _, keys = derive_keys(password, self.iterations, salt=self.salt)
        return attrs.evolve(self, entries={**self.entries, name: Entry(role, keys)})

    def without(self, name: str) -> CredentialList:
        """The same, where no node of that name may link, whatever password it knows."""
        return attrs.evolve(self, entries={**self.entries, name: Entry("revoked")})

    def to_text(self) -> str:
        """As in the module's docstring."""
        lines = ["# Made by `meshtracker credential`.", f"{_HEAD} {_encode(self.salt)} {self.iterations}"]
        for name, entry in sorted(self.entries.items()):
            keys = () if entry.role == "revoked" else (_encode(entry.keys.stored), _encode(entry.keys.server))
            lines.append(" ".join((name, entry.role, *keys)))
        return "\n".join([*lines, f"{_END} {len(self.entries)}", ""])

    @classmethod
    def parse(cls, text: str) -> CredentialList:
        """Read `to_text` back; ``#`` begins a comment. Raises ValueError naming the line, and never what is in it."""
        entries: dict[str, Entry] = {}
        head: tuple[bytes, int] | None = None
        ended = False
        number = 0
        for number, line in enumerate(text.split("\n"), 1):
            words = line.partition("#")[0].split()
            if not words:
                continue
            try:
                if ended:
                    raise ValueError("something follows the last line")
                if head is None:
                    head = _parse_head(words)
                elif words[0] == _END:
                    _check_end(words, len(entries))
                    ended = True
                else:
                    name, entry = _parse_entry(words)
                    if name in entries:
                        raise ValueError(f"a second entry of {name}")
                    entries[name] = entry
            except ValueError as error:
                raise ValueError(f"line {number}: {error}") from None
        if head is None or not ended:
            raise ValueError(f"line {number}: it ends too early: is it still being written?")
        return cls(*head, entries)


def _parse_head(words: list[str]) -> tuple[bytes, int]:
    match words:
        case [word, salt, iterations] if word == _HEAD and iterations.isdecimal() and len(iterations) < 10:
            decoded, rounds = _decode(salt), int(iterations)
            if SALT_BYTES <= len(decoded) <= _MAX_SALT_BYTES and MIN_ITERATIONS <= rounds <= MAX_ITERATIONS:
                return decoded, rounds
    raise ValueError(f"expected {_HEAD!r}, a salt and iterations: is this a file of `meshtracker credential`?")


def _parse_entry(words: list[str]) -> tuple[str, Entry]:
    match words:
        case [name, "revoked"] if is_name(name):
            return name, Entry("revoked")
        case [name, "leaf" | "hub" as role, stored, server] if is_name(name):
            keys = Keys(_decode(stored), _decode(server))
            if len(keys.stored) == len(keys.server) == _KEY_BYTES:
                return name, Entry(role, keys)
    raise ValueError("expected a node's name, its role and two keys, or its name and 'revoked'")


def _check_end(words: list[str], entries: int) -> None:
    if words[1:] != [str(entries)]:
        raise ValueError(f"{entries} entries come before, and it says another number: is it still being written?")


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _decode(word: str) -> bytes:
    try:
        return base64.b64decode(word, validate=True)
    except binascii.Error:
        raise ValueError("salt or key is not base64") from None
