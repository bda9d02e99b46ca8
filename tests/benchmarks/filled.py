"""Snapshot files of a mesh that holds many peers already, so that nobody waits until a million clients have announced.

Every node's file holds the same rows, as if all had been relayed: made from one seed and written by the
program's own code.
"""

from __future__ import annotations

import random
import struct
import time
from collections.abc import Sequence
from pathlib import Path

import attrs

from meshtracker.link.clock import HybridClock
from meshtracker.model import STAMP_COUNTER_BITS, PeerState
from meshtracker.node.node import Node
from meshtracker.storage.snapshot import SnapshotFile
from meshtracker.storage.snapshot_format import encode
from meshtracker.swarm.peers import PeerPack
from meshtracker.swarm.swarm import Swarm
from meshtracker.wire.vector import Position, StreamId

_ROW = struct.Struct("!8s12sIQHB")
"""As `swarm.peers` lays rows out, the identity in its parts."""
_AGE_MS = 1500 * 1000
"""Stamps lie so far back at most: less than an announce interval, and far from the TTL while the benchmark lasts."""
_SEEDERS = 0.4
_KNOWN = Position(1, 0)
"""How far every stream is known: nobody lacks anything. No digest: nobody has written the batch up to it."""
_NOW = 0.0
"""Monotonic time when the snapshots were made."""


@attrs.frozen(kw_only=True)
class Filling:
    """What the mesh holds. Peers are spread over the leaves, swarm sizes follow Zipf's law."""

    leaves: Sequence[str]
    peers: int
    torrents: int
    zipf: float = 1.0
    seed: int = 1
    started: float = attrs.field(factory=time.time)
    """Unix time; the nodes' lives that the snapshots are of began before."""

    def sizes(self) -> list[int]:
        """Peers of each swarm, largest first; every swarm has one at least."""
        weights = [(rank + 1) ** -self.zipf for rank in range(self.torrents)]
        share = (self.peers - self.torrents) / sum(weights)
        sizes = [1 + int(weight * share) for weight in weights]
        for rank in range(self.peers - sum(sizes)):  # what rounding left over
            sizes[rank % self.torrents] += 1
        return sizes

    def write(self, path: Path, name: str, hub: str) -> None:
        """The snapshot of one node of the mesh, as it would be if it had been stopped a while ago."""
        names = [name, *(other for other in (hub, *self.leaves) if other != name)]
        incarnation = int(self.started * 1000) - 10 * _AGE_MS
        node = Node(
            name=name,
            incarnation=incarnation,
            clock=HybridClock(wall_offset_seconds=self.started),
            rng=random.Random(self.seed),
        )
        streams = {other: StreamId(other, incarnation) for other in names}
        indexes = {other: _index(node, stream) for other, stream in streams.items()}
        node.mesh.resume(dict.fromkeys(streams.values(), _KNOWN), _NOW)
        # Its own stream is as far, with a batch that nobody will ask for.
        node.mesh.flush(_NOW)
        for info_hash, swarm in self._swarms([indexes[leaf] for leaf in self.leaves]):
            if not node.registry.adopt(info_hash, swarm):
                raise ValueError("a node's bounds are too small for that many peers")
        file = SnapshotFile(path)
        for piece in encode(node, _NOW):
            file.write(piece)
        file.commit()

    def _swarms(self, origins: Sequence[int]) -> list[tuple[bytes, Swarm]]:
        rng = random.Random(self.seed)
        newest = int(self.started * 1000)
        swarms = []
        for size in self.sizes():
            info_hash = rng.randbytes(20)
            leechers = size - int(size * _SEEDERS)
            rows = [
                _ROW.pack(
                    b"-qB4650-",
                    rng.randbytes(12),
                    rng.getrandbits(31),
                    newest - int(rng.random() * _AGE_MS) << STAMP_COUNTER_BITS,
                    origins[int(rng.random() * len(origins))],
                    PeerState.LEECHER if at < leechers else PeerState.SEEDER,
                )
                for at in range(size)
            ]
            pack = PeerPack.from_bytes(6, rows=b"".join(rows), addresses=rng.randbytes(6 * size))
            swarms.append((info_hash, Swarm.from_packs(pack, None)))
        return swarms


def _index(node: Node, stream: StreamId) -> int:
    """Of a stream in the node's rows."""
    index = node.registry.streams.index(stream)
    if index is None:
        raise ValueError("a node's bounds are too small for that many streams")
    return index
