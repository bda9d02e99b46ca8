"""What a link still owes its peer: cursors into the logs, and snapshots where the logs do not reach.

Pulled one frame at a time when the socket can take it, each stream in turn, and pieces of snapshots between the
batches: changes do not wait for a snapshot, nor does it wait for them. A sender holds positions only, so a peer that
reads slowly costs no memory: it catches up from the logs, and past their end by a snapshot.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Collection, Iterator, Set

import attrs

from meshtracker.errors import CloseCode, LinkError
from meshtracker.link.replica import Replica
from meshtracker.link.resync_plan import ANSWER, may_offer, plan_burst, plan_stream, resync_text
from meshtracker.wire.batch import DIGEST_SECTION, Batch, decode_batch, encode_batch
from meshtracker.wire.frame import HEADER, FrameType
from meshtracker.wire.link import (
    PIECE_STREAMS,
    Hello,
    SnapshotEnd,
    StreamPlan,
    encode_burst,
    encode_snapshot_end,
    encode_swarms_end,
)
from meshtracker.wire.vector import BEGINNING, DIGEST_BYTES, MAX_STREAMS, NOWHERE, Position, StreamId, Vector, differ

SNAPSHOTS_A_TURN = 16
"""How many snapshots without a row for this peer may be looked through before other tasks get a turn."""
MAX_FETCHES = 32
"""Requests for swarms that may wait for their answer: twice what it takes to ask for `wire.link.MAX_INTEREST`."""


@attrs.define
class _Snapshot:
    """A snapshot on its way; the stream's cursor moves on meanwhile."""

    stream: StreamId
    pieces: Iterator[tuple[bytes, int]]
    records: int = 0


class Sender:
    """The sending side of a session from the moment both vectors are known."""

    def __init__(
        self,
        replica: Replica,
        peer: Hello,
        theirs: Vector,
        *,
        everything: bool,
        interest: Set[bytes] | None,
        trusts_peer: bool = True,
    ) -> None:
        """``theirs``: the peer's vector, kept up by the session. ``everything``: send all anew.

        ``interest``: only these swarms (None: all). ``trusts_peer``: is it believed what it says of other nodes?
        """
        self.sent: dict[str, str] = {}
        """By node: how a stream of its was last brought up, for the operator."""
        self.skipped_bytes = 0
        """Bytes of records that were cut out, for the peer does not track their torrents."""
        self._replica = replica
        self._peer = peer
        self._theirs = theirs
        self._interest = interest
        self._trusts_peer = trusts_peer
        # Without those that this node has forgotten, as if it forgot them now.
        self._cursors: Vector = {
            stream: position
            for stream, position in theirs.items()
            if position.sequence and stream != peer.stream and not replica.has_forgotten(stream)
        }
        if replica.position(replica.own) == BEGINNING:
            # Nothing is written yet: what will be is sent as it comes.
            self._cursors[replica.own] = BEGINNING
        self._targets: dict[StreamId, Position] = {}
        """Streams of the burst that are not sent yet, and how far they are to be."""
        self._announcements: deque[StreamPlan] = deque()
        """Plans that the peer is to be told of before their data."""
        self._fulls: OrderedDict[StreamId, bool] = OrderedDict()
        """Snapshots that are not begun: are they sent even if the peer has learned the stream from others meanwhile?"""
        self._snapshot: _Snapshot | None = None
        self._sent_whole: OrderedDict[StreamId, _Snapshot] = OrderedDict()
        """Snapshots of which all rows were sent; their ends are not, for more follow."""
        self._ends: OrderedDict[StreamId, _Snapshot] = OrderedDict()
        """The same once no more follow: these ends are next, after the batches up to `_before_ends`."""
        self._before_ends: list[tuple[StreamId, Position]] = []
        self._fetches: deque[tuple[Iterator[bytes], Vector]] = deque()
        self._batch_is_next = False
        self._waiting: OrderedDict[StreamId, None] = OrderedDict()
        """Streams that may have more, or must wait with it, as their turns come."""
        self._number = 0
        self._sent_at: dict[StreamId, int] = {}
        """The number of the data frame by which each stream came to its cursor."""
        self._forgotten: Vector = {}
        """How far the peer was brought to in streams that it forgot, for they had no rows there."""
        self._unsure: set[StreamId] = set()
        """Streams that the peer told of before it had what was on its way."""
        self._change = replica.changes
        """Up to which `_waiting` has all that changed: of many streams few do between two frames. What changed before
        the link is up to the burst, or each new link would look at all streams that were ever forgotten."""
        for plan in plan_burst(replica, peer, theirs, everything=everything):
            self._targets[plan.stream] = plan.position
            self._take_up(plan, anyway=everything)

    @property
    def burst_is_sent(self) -> bool:
        """Has the peer been sent all that the vectors called for?"""
        return not self._targets

    def lag(self) -> int:
        """Batches that the peer does not know and is to be sent."""
        lag = 0
        for stream, mine in self._replica.vector().items():
            if self._follows(stream):
                known = self._theirs.get(stream) or self._forgotten.get(stream, NOWHERE)
                lag += max(0, mine.sequence - known.sequence)
        return lag

    def unshared_rows(self) -> int:
        """Rows of streams that the peer lacks and that this node may not send it."""
        return sum(
            self._replica.rows(stream)
            for stream, mine in self._replica.vector().items()
            if stream != self._peer.stream
            and not may_offer(self._replica, self._peer, stream)
            and self._theirs.get(stream, NOWHERE).sequence < max(1, mine.sequence)
        )

    def note_forgotten(self, stream: StreamId) -> None:
        """The peer knows a stream no longer, for it has no rows there; it goes on from where it was."""
        cursor = self._cursors.get(stream)
        if cursor is not None and len(self._forgotten) < MAX_STREAMS:
            if stream not in self._forgotten:
                # This node may have rows from before that.
                self._await(stream)
            self._forgotten[stream] = cursor

    def fetch(self, info_hashes: Collection[bytes], now: float) -> None:
        """Send all that is known of some swarms, whatever the cursors say. Raises `LinkError`."""
        if len(self._fetches) >= MAX_FETCHES:
            raise LinkError(f"more than {MAX_FETCHES} requests for swarms at once", code=CloseCode.FLOOD)
        self._fetches.append((self._replica.swarms(info_hashes, now), self._replica.vector()))

    def compare(self, moved: Collection[StreamId], applied_frames: int) -> None:
        """The peer has applied so many data frames and tells of some streams: is it where it was brought to?

        If it knows one less far, it began it anew; if by other batches, both ends have to have the rows of both.
        """
        for stream in (*moved, *self._unsure):
            self._unsure.discard(stream)
            cursor, known = self._cursors.get(stream), self._theirs.get(stream)
            if cursor is None or known is None or self._is_under_way(stream) or not self._follows(stream):
                continue
            if self._sent_at.get(stream, 0) > applied_frames:
                # What was sent last is on its way: to be looked at again.
                self._unsure.add(stream)
                continue
            read = self._replica.digest_at(stream, known.sequence)
            if known.sequence < cursor.sequence or (read is not None and differ(read, known.digest)):
                plan = plan_stream(self._replica, stream, known)
                if plan is not None:
                    self._take_up(plan)

    def answer(self, stream: StreamId) -> None:
        """The peer's rows of a stream are in conflict with this node's: send these, whatever the peer knows."""
        mine = self._replica.position(stream)
        is_new = stream not in self._fulls and not self._is_under_way(stream)
        if mine is not None and is_new and stream != self._peer.stream:
            self._take_up(StreamPlan(stream=stream, position=mine, after=0, full=True, reason=ANSWER), anyway=True)

    def next_frame(self, now: float, number: int = 0) -> bytes:
        """The next frame to send, as data frame ``number`` of the link; b"" if the peer has been sent everything."""
        self._number = number
        if self._announcements:
            return self._announce()
        self._batch_is_next = not self._batch_is_next
        if self._batch_is_next:
            return self._next_batch() or self._next_piece(now) or self._next_end()
        return self._next_piece(now) or self._next_batch() or self._next_end()

    def _announce(self) -> bytes:
        """Tell the peer of the streams that follow."""
        plans = [self._announcements.popleft() for _ in range(min(PIECE_STREAMS, len(self._announcements)))]
        return encode_burst(plans)

    def _follows(self, stream: StreamId) -> bool:
        """Is a stream sent on as it grows?"""
        return stream == self._replica.own or (self._replica.forwards and stream != self._peer.stream)

    def _is_under_way(self, stream: StreamId) -> bool:
        is_begun = self._snapshot is not None and self._snapshot.stream == stream
        return is_begun or stream in self._sent_whole or stream in self._ends

    def _take_up(self, plan: StreamPlan, *, anyway: bool = False) -> None:
        """Begin with a plan, which the peer is told of before its data; ``anyway``: see `_fulls`."""
        stream = plan.stream
        if plan.conflict and stream == self._replica.own and self._trusts_peer:
            self._targets.pop(stream, None)
            # Somebody else wrote there, or sent a part of it: nobody can tell what others have of it.
            self._replica.want_anew()
            return
        self.sent[stream.name] = resync_text(plan)
        self._announcements.append(plan)
        if plan.full:
            self._cursors.pop(stream, None)
            self._fulls[stream] = anyway or plan.conflict
            # If the cursor fell off the log meanwhile, the receiver is told to begin again too.
            self._sent_whole.pop(stream, None)
            self._ends.pop(stream, None)
            if self._is_under_way(stream):
                self._snapshot = None
        else:
            self._cursors[stream] = Position(plan.after, self._replica.digest_at(stream, plan.after) or 0)
            self._await(stream)

    # ------------------------------------------------------------ snapshots

    def _next_piece(self, now: float) -> bytes:
        """A frame of what was fetched or of the snapshot under way."""
        while self._fetches:
            pieces, known = self._fetches[0]
            piece = next(pieces, b"")
            if piece:
                return piece
            self._fetches.popleft()
            return encode_swarms_end(known)
        if self._ends and self._is_past_before_ends():
            return self._next_end()
        turn = 0
        while (snapshot := self._snapshot or self._begin_snapshot(now)) is not None:
            turn += 1
            if turn > SNAPSHOTS_A_TURN:
                # Nothing was found in those before, and others are to have their turn: no rows yet.
                return encode_batch(FrameType.SNAPSHOT, Batch(snapshot.stream, 0, 0, ()))
            piece, records = next(snapshot.pieces, (b"", 0))
            snapshot.records += records
            if piece:
                return piece
            self._snapshot = None
            self._sent_whole[snapshot.stream] = snapshot
        if self._sent_whole and not self._ends:
            self._replica.seal(now)
            self._ends, self._sent_whole = self._sent_whole, self._ends
            self._before_ends = list(self._replica.vector().items())
            return self._next_batch()
        return b""

    def _is_past_before_ends(self) -> bool:
        """Has the peer been sent all that this node knew when the last row of the snapshots was?

        A row that another stream wrote over is in no snapshot of its own stream. Who took that for all before he had
        the other row would be without both if that was lost with the link and its node.
        """
        while self._before_ends:
            stream, position = self._before_ends[-1]
            is_known = self._follows(stream) and self._replica.position(stream) is not None
            if is_known and self._cursors.get(stream, NOWHERE).sequence < position.sequence:
                return False
            self._before_ends.pop()
        return True

    def _next_end(self) -> bytes:
        """Tell the end of a snapshot, if one is due."""
        if not self._ends:
            return b""
        stream, snapshot = self._ends.popitem(last=False)
        self._targets.pop(stream, None)
        self._sent_at[stream] = self._number
        cursor = self._cursors.get(stream, NOWHERE)
        position = Position(cursor.sequence, self._replica.digest_at(stream, cursor.sequence) or cursor.digest)
        is_known = self._replica.position(stream) is not None
        if not is_known or not may_offer(self._replica, self._peer, stream):
            # This node has forgotten it, or has begun to leave records out of it since.
            position = NOWHERE
        beside = self._replica.rows_beside(stream)
        return encode_snapshot_end(SnapshotEnd(stream, position, snapshot.records, beside))

    def _begin_snapshot(self, now: float) -> _Snapshot | None:
        """Begin the next snapshot, if there is one."""
        while self._fulls:
            stream, anyway = self._fulls.popitem(last=False)
            if stream == self._replica.own:
                # Or rows would go out that no batch has yet.
                self._replica.seal(now)
            position = self._replica.position(stream)
            if position is None:
                # Forgotten meanwhile.
                self._targets.pop(stream, None)
                continue
            self._cursors[stream] = position
            # Not of rows of which nothing is complete: they may be from after what the peer knows.
            is_known = self._theirs.get(stream, NOWHERE).sequence >= position.sequence > 0
            # Others have brought it meanwhile: its end is told, for its beginning was.
            is_needless = (is_known and not self._follows(stream) and not anyway) or not self._replica.rows(stream)
            pieces = (
                iter(())
                if is_needless
                else self._replica.snapshot(stream, now, self._interest, tables=self._peer.tables)
            )
            self._snapshot = _Snapshot(stream, pieces)
            self._await(stream)
            return self._snapshot
        return None

    # ------------------------------------------------------------ batches

    def _next_batch(self) -> bytes:
        self._await_changed()
        for _ in range(len(self._waiting)):
            stream = self._waiting.popitem(last=False)[0]
            # One whose snapshot is not begun comes back with that.
            data = b"" if stream in self._fulls else self._follow(stream)
            if data:
                self._await(stream)
                return data
            if self._announcements:
                return self._announce()
        return b""

    def _await_changed(self) -> None:
        for stream in self._replica.changed_after(self._change):
            if self._follows(stream):
                self._await(stream)
        self._change = self._replica.changes

    def _await(self, stream: StreamId) -> None:
        """Its turn comes after those that wait already, unless it is one of them."""
        self._waiting.setdefault(stream)

    def _follow(self, stream: StreamId) -> bytes:
        """The next batch of a stream; none if there is none, or if the peer must be told of it before."""
        mine, cursor, target = self._replica.position(stream), self._cursors.get(stream), self._targets.get(stream)
        if mine is None:
            # Forgotten: it had no rows.
            self._cursors.pop(stream, None)
            self._targets.pop(stream, None)
            self._sent_at.pop(stream, None)
            return b""
        if target is None and not self._follows(stream):
            return b""
        goal = mine.sequence if target is None or self._follows(stream) else min(mine.sequence, target.sequence)
        read = self._replica.digest_at(stream, cursor.sequence) if cursor is not None else None
        # Otherwise the stream was begun anew from rows that the cursor knows nothing of.
        is_sound = read is not None and cursor is not None and not _are_apart(read, cursor)
        if cursor is not None and cursor.sequence >= goal and (is_sound or not self._follows(stream)):
            if not self._is_under_way(stream):
                self._targets.pop(stream, None)
            return b""
        if cursor is not None and is_sound:
            sequence = cursor.sequence + 1
            batch = self._replica.frame(stream, sequence)
            if batch is not None:
                self._sent_at[stream] = self._number
                self._cursors[stream] = Position(sequence, self._replica.digest_at(stream, sequence) or 0)
                if target is not None and sequence >= target.sequence and not self._is_under_way(stream):
                    del self._targets[stream]
                return self._narrowed(batch, self._cursors[stream].digest)
        if cursor is not None and stream in self._forgotten and cursor.sequence > mine.sequence:
            # The peer forgot it there; others still have rows from before.
            cursor = None
        plan = plan_stream(self._replica, stream, cursor)
        if plan is not None:
            self._take_up(plan)
        return b""

    def _narrowed(self, batch_frame: bytes, digest: int) -> bytes:
        if self._interest is None:
            return batch_frame
        batch = decode_batch(batch_frame[HEADER.size :])
        kept = self._replica.tables.narrow(batch.sections, self._interest)
        if kept == batch.sections:
            return batch_frame
        # The peer cannot make the digest of a batch that it does not see whole.
        told = (DIGEST_SECTION, digest.to_bytes(DIGEST_BYTES))
        narrowed = encode_batch(FrameType.BATCH, Batch(batch.stream, batch.sequence, batch.base, (told, *kept)))
        self.skipped_bytes += len(batch_frame) - len(narrowed)
        return narrowed


def _are_apart(digest: int, cursor: Position) -> bool:
    """Is the digest of this node another one than what the peer was brought to? At 0 all rows are told by it."""
    return differ(digest, cursor.digest) if cursor.sequence else digest != cursor.digest
