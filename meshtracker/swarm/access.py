"""Which info-hashes a node serves: all, only those listed, or all but those listed."""

from __future__ import annotations

from hashlib import blake2b
from typing import Literal

import attrs

AccessMode = Literal["open", "allow", "deny"]


@attrs.frozen
class Access:
    """An access list; a front end refuses what `allows` does not, and a leaf drops it from the link."""

    mode: AccessMode = "open"
    info_hashes: frozenset[bytes] = frozenset()

    def allows(self, info_hash: bytes) -> bool:
        """May this node serve the swarm of a 20-byte info-hash?"""
        if self.mode == "open":
            return True
        return (info_hash in self.info_hashes) == (self.mode == "allow")

    def adds_to(self, before: Access) -> frozenset[bytes] | None:
        """What is allowed now and was not ``before``; None if that cannot be listed."""
        if before.mode == "open" or (before.mode == "deny" and not before.info_hashes):
            return frozenset()
        if self.mode != before.mode:
            return None
        if self.mode == "allow":
            return self.info_hashes - before.info_hashes
        return before.info_hashes - self.info_hashes

    def digest(self) -> bytes:
        """The same for the same list: 32 bytes, to notice over a restart that it was changed."""
        listed = b"".join(sorted(self.info_hashes)) if self.mode != "open" else b""
        return blake2b(self.mode.encode() + listed, digest_size=32).digest()

    @classmethod
    def parse(cls, mode: AccessMode, text: str) -> Access:
        """Read one 40-digit hexadecimal info-hash a line; ``#`` starts a comment. Raises ValueError naming the line."""
        info_hashes = set()
        for number, line in enumerate(text.splitlines(), 1):
            word = line.partition("#")[0].strip()
            if not word:
                continue
            try:
                info_hash = bytes.fromhex(word)
            except ValueError:
                info_hash = b""
            if len(info_hash) != 20:
                raise ValueError(f"line {number}: expected 40 hexadecimal digits, got {word[:48]!r}")
            info_hashes.add(info_hash)
        return cls(mode, frozenset(info_hashes))
