"""What comes in over a link once both vectors are known: bursts, batches, snapshots, and who may send them.

The counterpart of `feed`. It keeps no data: every frame is applied as it comes.
"""

from __future__ import annotations

from meshtracker.errors import LinkError
from meshtracker.link.replica import Replica
from meshtracker.wire.link import Batch, Hello, Position, StreamPlan

MAX_START_AHEAD_SECONDS = 86_400.0
"""A node's start further ahead of this node's clock is refused: all that the node says after its next start would be
taken for old until that time has come. Shorter ones happen where a clock was set back, and pass."""


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
        self._snapshots: dict[str, tuple[StreamPlan, int]] = {}
        """Snapshots under way, with the records of each so far."""

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
        if plan.full:
            self._snapshots[plan.origin] = (plan, 0)
        self.resync[plan.origin] = f"full ({plan.reason})" if plan.full else f"partial after batch {plan.after}"
        how = f"full resync: {plan.reason}" if plan.full else f"partial resync after batch {plan.after}"
        return f"{plan.origin}: {how}"

    def batch(self, batch: Batch, payload: bytes, now: float) -> None:
        """A batch, with the payload it was decoded from."""
        self._check_origin(batch.origin, batch.incarnation)
        records = self._replica.apply_batch(batch, payload, now)
        if records is not None:
            self.batches += 1
            self.records += records
        self._notice_end(batch.origin, Position(batch.incarnation, batch.sequence))

    def snapshot(self, batch: Batch, now: float) -> None:
        """A piece of a snapshot."""
        plan, records = self._under_way(batch.origin)
        if plan.position.incarnation != batch.incarnation:
            raise LinkError(f"a snapshot of {batch.origin} is of another incarnation than its burst said")
        self._snapshots[batch.origin] = (plan, records + self._replica.apply_snapshot(batch, now))

    def end_snapshot(self, origin: str, position: Position, records: int) -> None:
        """A snapshot is complete, if all ``records`` that were sent have come."""
        plan, received = self._under_way(origin)
        if records != received or plan.position.incarnation != position.incarnation:
            raise LinkError(f"a snapshot of {origin} holds {received} records where {records} were sent")
        del self._snapshots[origin]
        self.records += records
        self._replica.finish_snapshot(origin, position)
        self._notice_end(origin, position)

    def _notice_end(self, origin: str, position: Position) -> None:
        if origin == self._replica.name and self._earlier is not None and position >= self._earlier:
            self._earlier = None
            self.brings_back = False

    def _under_way(self, origin: str) -> tuple[StreamPlan, int]:
        try:
            return self._snapshots[origin]
        except KeyError:
            raise LinkError(f"a snapshot of {origin} that no burst announced") from None

    def _check_origin(self, origin: str, incarnation: int) -> None:
        """Has the peer any business sending that stream?"""
        peer, replica = self._peer, self._replica
        if not peer.forwards and origin not in (peer.name, replica.name):
            raise LinkError(f"a leaf sent the stream of another node, {origin}")
        if origin == replica.name and incarnation >= replica.incarnation:
            raise LinkError(f"another node writes under this node's name, {origin}")
        if origin == peer.name:
            check_life(replica, origin, incarnation)
        replica.meet(origin)


def check_start(name: str, incarnation: int, wall_ms: int) -> None:
    """Raises `LinkError` if a node claims to have been started in the future, which would be remembered too long."""
    ahead_seconds = (incarnation - wall_ms) / 1000
    if ahead_seconds > MAX_START_AHEAD_SECONDS:
        raise LinkError(
            f"the start of {name} is dated {ahead_seconds:.0f} s ahead: its clock was wrong; set it and start it again"
        )


def check_life(replica: Replica, name: str, incarnation: int) -> None:
    """Raises `LinkError` if a later start of a node is known: all that it sends would be taken for old."""
    known = replica.position(name)
    if known is not None and known.incarnation > incarnation:
        raise LinkError(
            f"{replica.name} knows a start of {name} that is"
            f" {(known.incarnation - incarnation) / 1000:.0f} s later than this one:"
            " its clock was set back, or two nodes have that name"
        )
