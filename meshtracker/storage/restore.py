"""A node goes on from a snapshot: its peers, and what it need not be sent again."""

from __future__ import annotations

import attrs

from meshtracker.model import STAMP_COUNTER_BITS
from meshtracker.node.node import Node
from meshtracker.storage.snapshot_format import Snapshot
from meshtracker.swarm.swarm import Swarm
from meshtracker.wire.vector import NOWHERE


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
    """Rows dropped because they are stamped further ahead than is taken of other nodes."""


def restore(node: Node, snapshot: Snapshot, now: float) -> Restored:
    """Take over a snapshot before the node serves; the swarms of ``snapshot`` are the node's from then on."""
    return _Restoration(node, snapshot, now).run()


class _Restoration:
    def __init__(self, node: Node, snapshot: Snapshot, now: float) -> None:
        wall_ms = node.clock.wall_ms(now)
        self._node = node
        self._snapshot = snapshot
        self._now = now
        self._oldest = (wall_ms - node.policy.peer_ttl_seconds * 1000) << STAMP_COUNTER_BITS
        self._newest = node.mesh.newest_taken(now)
        # What was written up to then is in a batch.
        self._begun = (snapshot.at_ms + 1) << STAMP_COUNTER_BITS
        self._leaves_out = not all(map(self._tracks, snapshot.swarms))
        """Are there swarms in it that this node does not track?"""
        self._again: list[tuple[bytes, int, bytes]] = []
        """Rows of this node's own that are to go out again: written while the file was, they may be in no batch that
        others have; and what a node may leave out of the stream of its earlier life, it cannot send with that."""
        self._expired = self._future = 0

    def run(self) -> Restored:
        node = self._node
        # The numbers in rows are right as they are in a node that has met nobody yet, and whole swarms can be taken.
        fits = node.registry.streams.adopt(self._snapshot.streams)
        for info_hash, swarm in self._snapshot.swarms.items():
            if not self._tracks(info_hash):
                continue
            self._drop_unusable(swarm)
            self._note_again(info_hash, swarm)
            if (len(swarm) or swarm.completed) and not (fits and node.registry.adopt(info_hash, swarm)):
                self._merge(info_hash, swarm)
        self._resume()
        for info_hash, address_bytes, identity in self._again:
            node.mesh.write_again(info_hash, address_bytes, identity, self._now)
        figures = node.registry.statistics()
        return Restored(swarms=figures.swarms, peers=figures.peers, expired=self._expired, future=self._future)

    def _tracks(self, info_hash: bytes) -> bool:
        return self._node.mesh.forwards or self._node.access.allows(info_hash)

    def _resume(self) -> None:
        """Take over how far the streams are known: of the swarms that this node tracked then."""
        mesh, vector = self._node.mesh, self._snapshot.vector
        others_tracked = self._snapshot.tracks != mesh.tracks()
        was_ahead = self._snapshot.at_ms << STAMP_COUNTER_BITS > self._newest
        if (others_tracked and mesh.forwards) or self._future or was_ahead:
            # Rows are missing, or were let go by a clock that was wrong, of whatever stream: none is known to be
            # complete, and all are to be sent again.
            vector = dict.fromkeys(vector, NOWHERE)
        narrowed = set(vector) if self._leaves_out or others_tracked or not mesh.tracks_all else set()
        written = self._snapshot.streams[-1]
        if written is not None and not self._leaves_out:
            narrowed.discard(written)
        mesh.resume(vector, self._now, narrowed=narrowed)
        mesh.take_over_completed(self._now)
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
        for name, figure in list((swarm.completed or {}).items()):
            if figure[1] << STAMP_COUNTER_BITS > newest:
                swarm.take_completed(name)
                self._future += 1
                if name == self._node.name:
                    # Its own stays, as from now.
                    swarm.set_completed(name, (figure[0], self._node.clock.wall_ms(self._now), figure[2]))

    def _note_again(self, info_hash: bytes, swarm: Swarm) -> None:
        own = len(self._snapshot.streams) - 1
        for pack in swarm.packs():
            for at, stamp in enumerate(pack.stamps()):
                if (stamp >= self._begun or not self._node.mesh.tracks_all) and pack.fields(at)[1] == own:
                    self._again.append((info_hash, pack.address_bytes, pack.identity(at)))

    def _merge(self, info_hash: bytes, swarm: Swarm) -> None:
        """Row by row, as if they came over a link: as many as the registry takes."""
        registry = self._node.registry
        for name, (total, at_ms, number) in (swarm.completed or {}).items():
            index = self._index(number)
            if index is not None:
                registry.merge_completed(info_hash, name, (total, at_ms, index))
        target = registry.swarm(info_hash)
        for pack in swarm.packs():
            for row, address in pack.entries():
                index = self._index(row.origin)
                if index is not None:
                    registry.merge(target, row._replace(origin=index), address, pack.address_bytes)
        registry.forget_if_empty(info_hash)

    def _index(self, number: int) -> int | None:
        """This node's number of a stream that has another one in the file."""
        stream = self._snapshot.streams[number]
        return None if stream is None else self._node.registry.streams.index(stream)
