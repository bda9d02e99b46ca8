"""What comes in over a link once both vectors are known: bursts, batches, snapshots, and who may send them.

The counterpart of `feed`. It keeps no data: every frame is applied as it comes.
"""

from __future__ import annotations

import attrs

from meshtracker.errors import LinkError
from meshtracker.link.plan import resync_text
from meshtracker.link.replica import Replica
from meshtracker.wire.batch import Batch
from meshtracker.wire.link import Hello, StreamPlan
from meshtracker.wire.vector import Position, Vector

MAX_START_AHEAD_SECONDS = 86_400.0
"""A node's start further ahead of this node's clock is refused: all that the node says after its next start would be
taken for old until that time has come. Shorter ones happen where a clock was set back, and pass."""


@attrs.define
class _UnderWay:
    """A snapshot that is coming."""

    incarnation: int
    records: int = 0
    latest: int | None = None
    """Sequence of the last batch that came between its pieces."""


class Intake:
    """The receiving side of a session. Every method raises `LinkError` or `WireError` for what must end the link."""

    def __init__(self, replica: Replica, peer: Hello) -> None:
        check_life(replica, peer.name, peer.incarnation)
        self.resync: dict[str, str] = {}
        """By origin: how the peer last brought it up, for the operator."""
        self.brings_back = True
        """May it still bring back this node's own stream from before a restart?"""
        self.batches = 0
        self.records = 0
        self._replica = replica
        self._peer = peer
        self._earlier: Position | None = None
        """Where this node's own earlier stream ends."""
        self._snapshots: dict[str, _UnderWay] = {}

    def burst(self, plans: list[StreamPlan], now: float) -> list[str]:
        """Streams are announced; returns what to tell the operator."""
        told = [self._begin(plan, now) for plan in plans]
        self.brings_back = self._earlier is not None
        return told

    def _begin(self, plan: StreamPlan, now: float) -> str:
        check_start(plan.origin, plan.position.incarnation, self._replica.wall_ms(now))
        self._check_origin(plan.origin, plan.position.incarnation)
        if plan.origin == self._replica.name:
            self._earlier = plan.position
        self._snapshots.pop(plan.origin, None)
        if plan.full:
            self._snapshots[plan.origin] = _UnderWay(plan.position.incarnation)
        self.resync[plan.origin] = resync_text(plan)
        how = f"full resync: {plan.reason}" if plan.full else f"partial resync after batch {plan.after}"
        return f"{plan.origin}: {how}"

    def batch(self, batch: Batch, payload: bytes, now: float) -> None:
        """A batch, with the payload it was decoded from."""
        self._check_origin(batch.origin, batch.incarnation)
        position = Position(batch.incarnation, batch.sequence)
        under_way = self._snapshots.get(batch.origin)
        if under_way is not None:
            _check_next(under_way, batch)
        if under_way is not None and self._is_ahead(batch.origin, position):
            # The snapshot will bring what lies between; its end says that this batch was in it.
            records: int | None = self._replica.apply_snapshot(batch, now)
        else:
            records = self._replica.apply_batch(batch, payload, now)
        self._check_room(batch.origin)
        if records is not None:
            self.batches += 1
            self.records += records
        if under_way is None:
            self._notice_end(batch.origin, position)

    def _is_ahead(self, origin: str, position: Position) -> bool:
        """Does a batch come after a gap that a snapshot is about to fill?"""
        known = self._replica.position(origin)
        if origin == self._replica.name or (known is not None and position <= known):
            return False
        return known is None or (known.incarnation, known.sequence + 1) != position

    def snapshot(self, batch: Batch, now: float) -> None:
        """A piece of a snapshot."""
        under_way = self._under_way(batch.origin)
        if under_way.incarnation != batch.incarnation:
            raise LinkError(f"a snapshot of {batch.origin} is of another incarnation than its burst said")
        under_way.records += self._replica.apply_snapshot(batch, now)
        self._check_room(batch.origin)

    def end_snapshot(self, origin: str, position: Position, records: int) -> None:
        """A snapshot is complete, if all ``records`` that were sent have come."""
        under_way = self._under_way(origin)
        if records != under_way.records or under_way.incarnation != position.incarnation:
            raise LinkError(f"a snapshot of {origin} holds {under_way.records} records where {records} were sent")
        if under_way.latest not in (None, position.sequence):
            raise LinkError(f"a snapshot of {origin} ends at {position.sequence} after batch {under_way.latest}")
        del self._snapshots[origin]
        self.records += records
        self._replica.finish_snapshot(origin, position)
        self._notice_end(origin, position)

    def swarms(self, batch: Batch, now: float) -> None:
        """All that the peer knows of some swarms: what this node asked for, of any origin."""
        if not self._peer.forwards:
            raise LinkError(f"a leaf sent swarms of {batch.origin}", kind="forged")
        self._replica.meet(batch.origin)
        self.records += self._replica.apply_snapshot(batch, now)

    def lacks(self, theirs: Vector) -> int:
        """Batches that the peer knows, and would send, and that are not known here."""
        origins = theirs if self._peer.forwards else theirs.keys() & {self._peer.name}
        lacking = 0
        for origin in origins:
            if origin == self._replica.name:
                continue
            mine, position = self._replica.position(origin), theirs[origin]
            if mine is None or mine.incarnation < position.incarnation:
                lacking += position.sequence + 1
            elif mine.incarnation == position.incarnation:
                lacking += max(0, position.sequence - mine.sequence)
        return lacking

    def _check_room(self, origin: str) -> None:
        """A node that floods this one with peers is cut off; what a hub relays of it is just not taken."""
        if origin == self._peer.name and self._replica.is_exhausted(origin):
            raise LinkError(
                f"{origin} has more peers than {self._replica.name} takes of one node (link.max_peers_per_node)",
                kind="flood",
            )

    def _notice_end(self, origin: str, position: Position) -> None:
        if origin == self._replica.name and self._earlier is not None and position >= self._earlier:
            self._earlier = None
            self.brings_back = False

    def _under_way(self, origin: str) -> _UnderWay:
        try:
            return self._snapshots[origin]
        except KeyError:
            raise LinkError(f"a snapshot of {origin} that no burst announced") from None

    def _check_origin(self, origin: str, incarnation: int) -> None:
        """Has the peer any business sending that stream?"""
        peer, replica = self._peer, self._replica
        if not peer.forwards and origin not in (peer.name, replica.name):
            raise LinkError(f"a leaf sent the stream of another node, {origin}", kind="forged")
        if origin == replica.name and incarnation >= replica.incarnation:
            raise LinkError(f"another node writes under this node's name, {origin}", kind="forged")
        if origin == peer.name:
            check_life(replica, origin, incarnation)
        replica.meet(origin)


def _check_next(under_way: _UnderWay, batch: Batch) -> None:
    """Batches between the pieces of a snapshot follow one another too."""
    if under_way.incarnation != batch.incarnation:
        raise LinkError(f"a batch of {batch.origin} is of another incarnation than the snapshot around it", kind="gap")
    if under_way.latest is not None and batch.sequence != under_way.latest + 1:
        raise LinkError(f"batch {batch.sequence} of {batch.origin} came after {under_way.latest}", kind="gap")
    under_way.latest = batch.sequence


def check_start(name: str, incarnation: int, wall_ms: int) -> None:
    """Raises `LinkError` if a node claims to have been started in the future, which would be remembered too long."""
    ahead_seconds = (incarnation - wall_ms) / 1000
    if ahead_seconds > MAX_START_AHEAD_SECONDS:
        raise LinkError(
            f"the start of {name} is dated {ahead_seconds:.0f} s ahead: its clock was wrong; set it and start it again",
            kind="future",
        )


def check_life(replica: Replica, name: str, incarnation: int) -> None:
    """Raises `LinkError` if a later start of a node is known: all that it sends would be taken for old."""
    known = replica.position(name)
    if known is not None and known.incarnation > incarnation:
        raise LinkError(
            f"{replica.name} knows a start of {name} that is"
            f" {(known.incarnation - incarnation) / 1000:.0f} s later than this one:"
            " its clock was set back, or two nodes have that name",
            kind="name",
        )
