"""What the tables of swarms share when they merge other nodes' records: what is tracked, how old is too old, counts."""

from __future__ import annotations

from collections.abc import Callable

from meshtracker.swarm.access import Access
from meshtracker.swarm.registry import Registry


def _note_nothing(kind: int, key: bytes) -> None:
    """No stream to write to yet."""


class Merging:
    """Of one node; its tables read and count here."""

    __slots__ = ("access", "applied", "dropped", "forwards", "note", "peer_ttl_ms", "registry", "stale")

    def __init__(self, registry: Registry, *, access: Access, forwards: bool, peer_ttl_seconds: int) -> None:
        self.registry = registry
        self.access = access
        self.forwards = forwards
        """A hub keeps for its leaves what it would not serve itself."""
        self.peer_ttl_ms = peer_ttl_seconds * 1000
        self.applied = 0
        """Records that changed a swarm."""
        self.stale = 0
        """Records that lost against a newer write, had aged out, or were stamped too far ahead."""
        self.dropped = 0
        """Records of swarms that this node does not track."""
        self.note: Callable[[int, bytes], None] = _note_nothing
        """Called with the kind of a table and the key of a row that this node wrote: it is to be told the others."""

    def tracks(self, info_hash: bytes) -> bool:
        """Is that swarm kept here?"""
        return self.forwards or self.access.allows(info_hash)
