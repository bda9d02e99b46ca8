"""What a link still owes its peer: cursors into the logs, and snapshots where the logs do not reach.

Pulled one frame at a time when the socket can take it, each stream in turn. A feed holds positions only, so a peer that
reads slowly costs no memory: it catches up from the logs, and past their end by a snapshot.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from meshtracker.link.plan import plan_burst, plan_stream
from meshtracker.link.replica import Replica
from meshtracker.wire.link import Hello, Position, StreamPlan, Vector, encode_burst


class Feed:
    """The sending side of a session from the moment both vectors are known."""

    def __init__(self, replica: Replica, peer: Hello, known: Vector) -> None:
        """``known`` is the peer's vector."""
        self.plans = plan_burst(replica, peer, known)
        self.sent: dict[str, str] = {}
        """By origin: how it was last brought up, for the operator."""
        self.holds_own = True
        """Wait with this node's own stream until the peer has brought back the one from before a restart.

        A peer that knows the present stream counts as knowing all of this node: were the link cut then, it would not
        bring back the rest.
        """
        self._replica = replica
        self._peer = peer
        self._cursors = {origin: position for origin, position in known.items() if origin != peer.name}
        self._targets = {plan.origin: plan.position for plan in self.plans}
        self._fulls: deque[StreamPlan] = deque()
        self._snapshot: tuple[str, Position, Iterator[bytes]] | None = None
        self._turn = 0
        for plan in self.plans:
            self._take_up(plan)

    @property
    def burst_is_sent(self) -> bool:
        """Has the peer been sent all that `plans` promised?"""
        cursors = self._cursors
        return all(origin in cursors and cursors[origin] >= position for origin, position in self._targets.items())

    def next_frame(self, now: float) -> bytes:
        """The next frame to send; b"" if the peer has been sent everything."""
        if self._snapshot is None:
            return self._start_snapshot(now) or self._next_batch()
        origin, position, pieces = self._snapshot
        piece = next(pieces, None)
        if piece is not None:
            return piece
        self._snapshot = None
        self._cursors[origin] = position
        return self.next_frame(now)

    def _take_up(self, plan: StreamPlan) -> None:
        self.sent[plan.origin] = f"full ({plan.reason})" if plan.full else f"partial after batch {plan.after}"
        if plan.full:
            self._cursors.pop(plan.origin, None)
            self._fulls.append(plan)
        else:
            self._cursors[plan.origin] = Position(plan.position.incarnation, plan.after)

    def _start_snapshot(self, now: float) -> bytes:
        """Begin the next snapshot that may begin; b"" if there is none."""
        for plan in self._fulls:
            position = self._goal(plan.origin)
            if position is None or not self._may_send(plan.origin):
                continue
            self._fulls.remove(plan)
            if position.incarnation != plan.position.incarnation:
                # The origin restarted since the burst was told.
                return self._announce(plan.origin, position, None)
            self._snapshot = (plan.origin, position, self._replica.snapshot(plan.origin, position, now))
            return self.next_frame(now)
        return b""

    def _next_batch(self) -> bytes:
        origins = list(self._replica.vector()) if self._replica.forwards else [self._replica.name, self._peer.name]
        waiting = {plan.origin for plan in self._fulls}
        for step in range(len(origins)):
            index = (self._turn + step) % len(origins)
            origin = origins[index]
            if origin in waiting or not self._may_send(origin):
                continue
            frame = self._follow(origin)
            if frame:
                self._turn = index + 1
                return frame
        return b""

    def _may_send(self, origin: str) -> bool:
        if origin == self._replica.name:
            return not self.holds_own
        # Of the peer's own streams only the one from before its restart, and only if it was planned.
        return origin != self._peer.name or origin in self._targets

    def _goal(self, origin: str) -> Position | None:
        """How far a stream can be brought now."""
        mine = self._replica.position(origin)
        if origin == self._peer.name and mine is not None and mine.incarnation >= self._peer.incarnation:
            # Its present life came by way of another node meanwhile; it still waits for what the burst promised.
            return self._targets.get(origin)
        return mine

    def _follow(self, origin: str) -> bytes:
        mine = self._goal(origin)
        cursor = self._cursors.get(origin)
        if mine is None or (cursor is not None and cursor >= mine):
            return b""
        if cursor is not None and self._replica.covers(origin, cursor):
            frame = self._replica.frame(origin, cursor.sequence + 1)
            if frame is not None:
                self._cursors[origin] = Position(cursor.incarnation, cursor.sequence + 1)
                return frame
        return self._announce(origin, mine, cursor)

    def _announce(self, origin: str, mine: Position, cursor: Position | None) -> bytes:
        """Tell of a snapshot outside the burst: of a node that joined or restarted, or that the cursor lost."""
        plan = plan_stream(self._replica, origin, mine, cursor)
        if plan is None:
            return b""
        self._take_up(plan)
        return encode_burst([plan])
