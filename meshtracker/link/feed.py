"""What a link still owes its peer: cursors into the logs, and snapshots where the logs do not reach.

Pulled one frame at a time when the socket can take it, each stream in turn, and pieces of snapshots between the
batches: changes do not wait for a snapshot, nor does it wait for them. A feed holds positions only, so a peer that
reads slowly costs no memory: it catches up from the logs, and past their end by a snapshot.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator, Set

import attrs

from meshtracker.errors import LinkError
from meshtracker.link.plan import plan_burst, plan_stream, resync_text
from meshtracker.link.replica import Replica
from meshtracker.wire.batch import narrow
from meshtracker.wire.frame import FrameType, frame
from meshtracker.wire.link import Hello, StreamPlan, encode_burst, encode_snapshot_end
from meshtracker.wire.vector import Position, Vector, encode_vector

MAX_FETCHES = 32
"""Requests for swarms that may wait for their answer: twice what it takes to ask for `wire.link.MAX_INTEREST`."""


@attrs.define
class _Snapshot:
    """A snapshot on its way; the origin's cursor moves on meanwhile."""

    origin: str
    pieces: Iterator[tuple[bytes, int]]
    records: int = 0


class Feed:
    """The sending side of a session from the moment both vectors are known."""

    def __init__(
        self, replica: Replica, peer: Hello, known: Vector, *, everything: bool, interest: Set[bytes] | None
    ) -> None:
        """``known``: the peer's vector. ``everything``: send all anew. ``interest``: only these swarms (None: all)."""
        self.plans = plan_burst(replica, peer, known, everything=everything)
        self.sent: dict[str, str] = {}
        """By origin: how it was last brought up, for the operator."""
        self.skipped_bytes = 0
        """Of groups that the peer has no interest in."""
        self.holds_own = True
        """Wait with this node's own stream until the peer has brought back the one from before a restart.

        A peer that knows the present stream counts as knowing all of this node: were the link cut then, it would not
        bring back the rest.
        """
        self._replica = replica
        self._peer = peer
        self._interest = interest
        self._cursors = {origin: position for origin, position in known.items() if origin != peer.name}
        self._targets = {plan.origin: plan.position for plan in self.plans}
        self._fulls: dict[str, StreamPlan] = {}
        """Snapshots that are told and not begun."""
        self._snapshot: _Snapshot | None = None
        self._fetches: deque[tuple[Iterator[bytes], Vector]] = deque()
        self._batch_is_next = False
        self._waiting: deque[str] = deque()
        """Origins whose streams may have more, or must wait with it, as their turns come."""
        self._change = 0
        """The replica's, up to which `_waiting` has all that changed: of many streams few do between two frames."""
        for plan in self.plans:
            self._take_up(plan)

    @property
    def burst_is_sent(self) -> bool:
        """Has the peer been sent all that `plans` promised?"""
        return all(self._is_sent(origin) for origin in self._targets)

    @property
    def brings_back(self) -> bool:
        """Is the peer still to be sent its own stream from before its restart? It holds its present one till then."""
        return self._peer.name in self._targets and not self._is_sent(self._peer.name)

    def lag(self, theirs: Vector) -> int:
        """Batches that the peer, by a vector of its, does not know and is to be sent."""
        vector = self._replica.vector() if self._replica.forwards else {}
        own = self._replica.position(self._replica.name)
        if own is not None:
            vector[self._replica.name] = own
        vector.pop(self._peer.name, None)
        lag = 0
        for origin, mine in vector.items():
            known = theirs.get(origin, Position(0, 0))
            lag += max(0, mine.sequence - (known.sequence if known.incarnation == mine.incarnation else 0))
        return lag

    def fetch(self, info_hashes: Collection[bytes], now: float) -> None:
        """Send all that is known of some swarms, whatever the cursors say. Raises `LinkError`."""
        if len(self._fetches) >= MAX_FETCHES:
            raise LinkError(f"more than {MAX_FETCHES} requests for swarms at once", kind="flood")
        self._fetches.append((self._replica.swarms(info_hashes, now), self._replica.vector()))

    def next_frame(self, now: float) -> bytes:
        """The next frame to send; b"" if the peer has been sent everything."""
        self._batch_is_next = not self._batch_is_next
        if self._batch_is_next:
            return self._next_batch() or self._next_piece(now)
        return self._next_piece(now) or self._next_batch()

    def _is_sent(self, origin: str) -> bool:
        cursor = self._cursors.get(origin)
        under_way = origin in self._fulls or (self._snapshot is not None and self._snapshot.origin == origin)
        return cursor is not None and cursor >= self._targets[origin] and not under_way

    def _take_up(self, plan: StreamPlan) -> None:
        self.sent[plan.origin] = resync_text(plan)
        if not plan.full:
            self._cursors[plan.origin] = Position(plan.position.incarnation, plan.after)
            return
        self._cursors.pop(plan.origin, None)
        self._fulls[plan.origin] = plan
        if self._snapshot is not None and self._snapshot.origin == plan.origin:
            # The cursor fell off the log meanwhile, or the origin restarted: the receiver is told to begin again too.
            self._snapshot = None

    # ------------------------------------------------------------ snapshots

    def _next_piece(self, now: float) -> bytes:
        """A frame of what was fetched or of the snapshot under way."""
        while self._fetches:
            pieces, known = self._fetches[0]
            piece = next(pieces, b"")
            if piece:
                return piece
            self._fetches.popleft()
            return frame(FrameType.SWARMS_END, encode_vector(known))
        if self._snapshot is None:
            told = self._begin_snapshot(now)
            if told or self._snapshot is None:
                return told
        snapshot = self._snapshot
        piece, records = next(snapshot.pieces, (b"", 0))
        snapshot.records += records
        if piece:
            return piece
        self._snapshot = None
        return encode_snapshot_end(snapshot.origin, self._cursors[snapshot.origin], records=snapshot.records)

    def _begin_snapshot(self, now: float) -> bytes:
        """Begin the next snapshot that may begin; returns what is to be told before, if anything."""
        for origin, plan in self._fulls.items():
            position = self._goal(origin)
            if position is None or not self._may_send(origin):
                continue
            del self._fulls[origin]
            if position.incarnation != plan.position.incarnation:
                # The origin restarted since the burst was told.
                return self._announce(origin, position, None)
            self._cursors[origin] = position
            self._snapshot = _Snapshot(origin, self._replica.snapshot(origin, position, now, self._interest))
            return b""
        return b""

    # ------------------------------------------------------------ batches

    def _next_batch(self) -> bytes:
        self._await_changed()
        for _ in range(len(self._waiting)):
            origin = self._waiting.popleft()
            is_held = origin in self._fulls or not self._may_send(origin)
            data = b"" if is_held else self._follow(origin)
            if is_held or data:
                self._waiting.append(origin)
            if data:
                return data
        return b""

    def _await_changed(self) -> None:
        self._change, origins = self._replica.changed_after(self._change)
        for origin in origins:
            passes_on = self._replica.forwards or origin in (self._replica.name, self._peer.name)
            if passes_on and origin not in self._waiting:
                self._waiting.append(origin)

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
            batch = self._replica.frame(origin, cursor.sequence + 1)
            if batch is not None:
                self._cursors[origin] = Position(cursor.incarnation, cursor.sequence + 1)
                return self._narrowed(batch)
        return self._announce(origin, mine, cursor)

    def _narrowed(self, batch: bytes) -> bytes:
        if self._interest is None:
            return batch
        narrowed = narrow(batch, self._interest)
        self.skipped_bytes += len(batch) - len(narrowed)
        return narrowed

    def _announce(self, origin: str, mine: Position, cursor: Position | None) -> bytes:
        """Tell of a snapshot outside the burst: of a node that joined or restarted, or that the cursor lost."""
        plan = plan_stream(self._replica, origin, mine, cursor)
        if plan is None:
            return b""
        self._take_up(plan)
        return encode_burst([plan])
