"""A node goes on from a snapshot: its peers, its clock, and what it need not be sent again."""

from __future__ import annotations

import attrs

from meshtracker.model import STAMP_COUNTER_BITS
from meshtracker.node.node import Node
from meshtracker.storage.snapshot_format import Snapshot
from meshtracker.swarm.swarm import Swarm
from meshtracker.wire.vector import Position

MAX_FUTURE_SECONDS = 60.0
"""Rows stamped further ahead are dropped: the clock is wrong, or was, and they could not be overwritten for long."""


@attrs.frozen(kw_only=True)
class Restored:
    """What became of the rows of a snapshot."""

    swarms: int
    """Of the node afterwards."""
    peers: int
    """Of the node afterwards, live ones."""
    expired: int
    """Rows dropped because they aged out meanwhile."""
    future: int
    """Rows dropped because they are stamped more than `MAX_FUTURE_SECONDS` ahead."""


def restore(node: Node, snapshot: Snapshot, now: float) -> Restored:
    """Take over a snapshot before the node serves; the swarms of ``snapshot`` are the node's from then on."""
    return _Restoration(node, snapshot, now).run()


class _Restoration:
    def __init__(self, node: Node, snapshot: Snapshot, now: float) -> None:
        wall_ms = node.clock.wall_ms(now)
        self._node = node
        self._snapshot = snapshot
        self._indexes = [node.registry.origins.index(name) for name in snapshot.origins]
        self._oldest = (wall_ms - node.policy.peer_ttl_seconds * 1000) << STAMP_COUNTER_BITS
        self._newest = (wall_ms + int(MAX_FUTURE_SECONDS * 1000)) << STAMP_COUNTER_BITS
        self._latest = self._expired = self._future = 0

    def run(self) -> Restored:
        node = self._node
        # The numbers in rows are right as they are in a node that has met nobody yet, and whole swarms can be taken.
        fits = self._indexes == list(range(len(self._indexes)))
        for info_hash, swarm in self._snapshot.swarms.items():
            if not node.mesh.forwards and not node.access.allows(info_hash):
                continue
            self._drop_unusable(swarm)
            if len(swarm) and not (fits and node.registry.adopt(info_hash, swarm)):
                self._merge(info_hash, swarm)
        node.clock.observe(self._latest)
        self._resume()
        figures = node.registry.statistics()
        return Restored(swarms=figures.swarms, peers=figures.peers, expired=self._expired, future=self._future)

    def _resume(self) -> None:
        """Take over how far the streams are known: of the swarms that this node tracked then."""
        mesh, vector = self._node.mesh, self._snapshot.vector
        others_tracked = self._snapshot.tracks != mesh.tracks()
        if others_tracked and mesh.forwards:
            # Whoever links is to send all it has. To be sent everything anew, know nothing of a stream, but know it:
            # its rows may be all that is left of an earlier life of its origin.
            own = mesh.name
            vector = {origin: known if origin == own else Position(0, 0) for origin, known in vector.items()}
        if self._future:
            # What the dropped rows had replaced is missing too, of whatever stream it was.
            vector = {origin: Position(0, 0) for origin in vector}
        mesh.resume(vector)
        if others_tracked and not mesh.forwards:
            mesh.lack_swarms()

    def _drop_unusable(self, swarm: Swarm) -> None:
        oldest, newest = self._oldest, self._newest
        for pack in swarm.packs():
            stamps = pack.stamps()
            unusable = [at for at, stamp in enumerate(stamps) if not oldest <= stamp <= newest]
            # From the back: what moves up into a gap is fit to stay.
            for position in reversed(unusable):
                swarm.drop(pack, position)
                if stamps[position] < oldest:
                    self._expired += 1
                else:
                    self._future += 1
            self._latest = max(self._latest, max((stamp for stamp in stamps if stamp <= newest), default=0))

    def _merge(self, info_hash: bytes, swarm: Swarm) -> None:
        """Row by row, as if they came over a link: as many as the registry takes."""
        registry = self._node.registry
        target = registry.swarm(info_hash)
        for origin, total in (swarm.completed or {}).items():
            target.count_completed(self._indexes[origin], total)
        for pack in swarm.packs():
            for row, address in pack.entries():
                registry.merge(target, row._replace(origin=self._indexes[row.origin]), address, pack.address_bytes)
