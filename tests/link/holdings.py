"""What nodes hold of swarms, to be compared: rows and figures of completed downloads, each with its stream."""

from __future__ import annotations

from typing import TypeVar

from meshtracker.node.node import Node
from meshtracker.swarm.access import Access
from meshtracker.wire.vector import StreamId

K = TypeVar("K")
V = TypeVar("V")
W = TypeVar("W", bound=tuple[object, ...])
Held = dict[tuple[bytes, tuple[int, bytes]], tuple[bytes, int, int, StreamId]]
"""By info-hash, and bytes of an address and identity: address, stamp, state and whose stream."""
Figures = dict[tuple[bytes, str], tuple[int, int, StreamId]]
"""By info-hash and node: completed downloads, since when, and the stream that said so."""


def held(owner: Node) -> Held:
    """All rows of a node."""
    stream = owner.registry.streams.stream
    return {
        (info_hash, (pack.address_bytes, row.identity)): (address, row.stamp, row.state, stream(row.origin))
        for info_hash, swarm in owner.registry.swarms.items()
        for pack in swarm.packs()
        for row, address in pack.entries()
    }


def figures(owner: Node) -> Figures:
    """All figures of completed downloads of a node."""
    return {
        (info_hash, name): (total, at_ms, owner.registry.streams.stream(index))
        for info_hash, swarm in owner.registry.swarms.items()
        for name, (total, at_ms, index) in (swarm.completed or {}).items()
    }


def shared_only(here: dict[K, W], there: dict[K, W], unshared: set[StreamId]) -> tuple[dict[K, W], dict[K, W]]:
    """Both without the rows of those streams, and what these write over."""
    keys = {key for known in (here, there) for key, row in known.items() if row[-1] in unshared}
    mine, theirs = ({key: row for key, row in known.items() if key not in keys} for known in (here, there))
    return mine, theirs


def tracked_only(known: dict[tuple[bytes, K], V], tracked: Access) -> dict[tuple[bytes, K], V]:
    """What is known of swarms of an access list."""
    return {key: value for key, value in known.items() if tracked.allows(key[0])}
