"""What comes in over a link once both vectors are known: bursts, batches, snapshots, and who may send them.

The counterpart of `sender`. It keeps no data: every frame is applied as it comes.
"""

from __future__ import annotations

import attrs

from meshtracker.errors import CloseCode, LinkError
from meshtracker.link.replica import Replica, Taken
from meshtracker.link.resync_plan import resync_text
from meshtracker.wire.batch import Batch
from meshtracker.wire.link import BatchFrame, Burst, Hello, SnapshotEnd, StreamPlan
from meshtracker.wire.vector import MAX_STREAMS, NOWHERE, Position, StreamId, Vector


@attrs.define
class _UnderWay:
    """A snapshot that is coming."""

    is_conflict: bool
    before: Position | None
    """Where the stream was known then."""
    was_narrowed: bool
    """Were records left out of it? Then this brings what was left out."""
    records: int = 0
    news: int = 0
    """Records that changed something."""
    newest: int = 0
    """The latest stamp in them."""
    beside: int = 0
    """Records of batches that came between the pieces."""
    latest: int | None = None
    """Sequence of the last batch that came between its pieces."""

    def take(self, taken: Taken) -> None:
        """Some of its rows have come."""
        self.news += taken.news
        self.newest = max(self.newest, taken.newest)


class Receiver:
    """The receiving side of a session. Every method raises `LinkError` or `WireError` for what must end the link."""

    def __init__(self, replica: Replica, peer: Hello, *, may_speak: bool) -> None:
        """``may_speak``: is the peer believed what it says of other nodes' streams?"""
        self.resync: dict[str, str] = {}
        """By node: how the peer last brought up a stream of its, for the operator."""
        self.batches = 0
        self.records = 0
        self.refused_records = 0
        """Of streams for which there was no room."""
        self.dropped_records = 0
        """Not taken: see `Replica.dropped_records`."""
        self.unshared_rows = 0
        """Rows of streams in conflict that the peer lacks and takes none of."""
        self.conflicts: list[StreamId] = []
        """Streams that are in conflict and whose rows the peer lacks: the session has them sent."""
        self._replica = replica
        self._peer = peer
        self._may_speak = may_speak
        self._snapshots: dict[StreamId, _UnderWay] = {}
        self._refused: set[StreamId] = set()
        """Streams for which there was no room: a part of one must not be taken for all."""

    def burst(self, burst: Burst, now: float) -> list[str]:
        """Streams are announced; returns what to tell the operator."""
        return [self._begin(plan, now) for plan in burst.plans]

    def _begin(self, plan: StreamPlan, now: float) -> str:
        stream = plan.stream
        self._check_speaker(stream)
        if self._takes(stream):
            before = self._snapshots.pop(stream, None)
            news = before.news if before is not None else 0
            if plan.full:
                if len(self._snapshots) >= MAX_STREAMS:
                    raise LinkError(f"more than {MAX_STREAMS} snapshots at once", code=CloseCode.FLOOD)
                known = self._replica.position(stream)
                self._snapshots[stream] = _UnderWay(
                    is_conflict=plan.conflict,
                    before=known,
                    was_narrowed=not self._replica.keeps(stream),
                    news=news,
                )
                self._replica.begin_snapshot(stream)
            elif before is not None:
                self._give_up(stream, before, now)
        if stream.name in self.resync or len(self.resync) < MAX_STREAMS:
            self.resync[stream.name] = resync_text(plan)
        how = f"full resync: {plan.reason}" if plan.full else f"partial resync after batch {plan.after}"
        return f"{stream.name}: {how}"

    def _defers(self, stream: StreamId) -> bool:
        """In a conflict, does only the peer's word count, for it takes nothing of that stream from this node?"""
        return not (self._replica.forwards or self._peer.may_speak or stream.name == self._replica.name)

    def batch(self, frame: BatchFrame, now: float) -> bool:
        """A batch; was it news?"""
        batch = frame.batch
        self._check_speaker(batch.stream)
        if not self._takes(batch.stream):
            return False
        is_direct = batch.stream == self._peer.stream
        under_way = self._snapshots.get(batch.stream)
        if under_way is not None:
            _check_next(under_way, batch)
        if under_way is not None and self._is_ahead(batch):
            # The snapshot will bring what lies between; its end says that this batch was in it.
            taken = self._replica.apply_rows(batch, now, is_direct=is_direct, is_part=True)
            under_way.take(taken)
            records: int | None = taken.records
        else:
            records = self._replica.apply_batch(batch, frame.payload, now, is_direct=is_direct)
        if under_way is not None:
            under_way.latest = batch.sequence
            under_way.beside += records or 0
        if records is not None:
            self.batches += 1
            self.records += records
        return records is not None

    def _is_ahead(self, batch: Batch) -> bool:
        """Does a batch come after a gap that a snapshot is about to fill?"""
        known = self._replica.position(batch.stream)
        return known is None or batch.sequence > known.sequence + 1

    def snapshot(self, batch: Batch, now: float) -> None:
        """A piece of a snapshot."""
        self._check_speaker(batch.stream)
        if not self._takes(batch.stream):
            return
        under_way = self._under_way(batch.stream)
        is_direct = batch.stream == self._peer.stream
        taken = self._replica.apply_rows(batch, now, is_direct=is_direct, is_part=True)
        under_way.take(taken)
        under_way.records += taken.records

    def end_snapshot(self, end: SnapshotEnd, now: float) -> None:
        """A snapshot is complete, if all records that were sent have come."""
        self._check_speaker(end.stream)
        if not self._takes(end.stream):
            return
        under_way = self._under_way(end.stream)
        name = end.stream.name
        if end.records != under_way.records:
            raise LinkError(f"a snapshot of {name} holds {under_way.records} records where {end.records} were sent")
        if under_way.latest not in (None, end.position.sequence):
            raise LinkError(f"a snapshot of {name} ends at {end.position.sequence} after batch {under_way.latest}")
        del self._snapshots[end.stream]
        self.records += end.records
        is_conflict = under_way.is_conflict
        replaces = is_conflict and self._defers(end.stream)
        if is_conflict and not replaces and not self._replica.keeps(end.stream):
            # Of a part nothing is given back. What came further over another link stays where that link counts on it.
            mine = self._replica.position(end.stream)
            is_conflict = replaces = mine is None or mine.sequence <= end.position.sequence
        self._replica.finish_snapshot(
            end.stream,
            end.position,
            now,
            tables=self._peer.tables,
            newest=under_way.newest,
            beside=end.beside,
            is_conflict=is_conflict,
            replaces=replaces,
        )
        if is_conflict and not replaces:
            self.conflicts.append(end.stream)
        more = self._replica.rows(end.stream) - end.records - under_way.beside
        if replaces:
            self.unshared_rows += max(0, more)
        elif self._brought_rows_beside(end, under_way, more):
            self._replica.note_rows_beside(end.stream, now)

    def _brought_rows_beside(self, end: SnapshotEnd, under_way: _UnderWay, more: int) -> bool:
        """Are rows here of which the stream's position says nothing? ``more``: than the snapshot has brought."""
        if under_way.was_narrowed:
            return False
        mine = self._replica.position(end.stream)
        before = under_way.before or NOWHERE
        # Others have the digest from before that lack what came.
        stayed = mine is not None and mine.digest == before.digest
        if not end.position.sequence:
            return under_way.news > 0 and mine is not None and (mine.sequence > 0 or stayed)
        if not before.sequence:
            # What came before without a position is a part of the snapshot, if all are honest.
            return more > 0
        # A stream that was known that far when its snapshot began brings nothing new, if all are honest.
        is_known = end.position.sequence <= before.sequence
        return under_way.news > 0 and (is_known or (under_way.is_conflict and stayed))

    def stop(self, now: float) -> None:
        """The link is over: what came of snapshots that did not end is to reach the others all the same."""
        for stream, under_way in self._snapshots.items():
            self._give_up(stream, under_way, now)
        self._snapshots.clear()

    def _give_up(self, stream: StreamId, under_way: _UnderWay, now: float) -> None:
        # The stream's own node may be about to send the rest.
        if under_way.news and stream != self._peer.stream:
            self._replica.note_rows_beside(stream, now)

    def swarms(self, batch: Batch, now: float) -> None:
        """Rows of some swarms that this node asked for, of any stream."""
        if not self._peer.forwards:
            raise LinkError(f"a leaf sent swarms of {batch.stream.name}", code=CloseCode.FORGED)
        if batch.stream != self._replica.own and self._takes(batch.stream):
            is_direct = batch.stream == self._peer.stream
            self.records += self._replica.apply_rows(batch, now, is_direct=is_direct, is_part=False).records

    def lacks(self, theirs: Vector) -> int:
        """Batches that the peer knows, and would send, and that are not known here.

        Streams that this node refused are taken out of ``theirs``.
        """
        lacking = 0
        for stream, position in list(theirs.items()):
            mine = self._replica.position(stream)
            if mine is None and stream in self._refused:
                del theirs[stream]
            elif mine is None and self._replica.has_forgotten(stream):
                # The peer may know it all the same, and need not be told if it comes back.
                continue
            elif stream != self._replica.own and (self._peer.forwards or stream == self._peer.stream):
                lacking += max(0, position.sequence - (mine.sequence if mine is not None else 0))
        return lacking

    def _under_way(self, stream: StreamId) -> _UnderWay:
        try:
            return self._snapshots[stream]
        except KeyError:
            raise LinkError(f"a snapshot of {stream.name} that no burst announced") from None

    def _takes(self, stream: StreamId) -> bool:
        """Is there room for a stream? One that was refused stays so for this link."""
        if stream not in self._refused and self._replica.has_room(stream):
            return True
        self.refused_records += 1
        if len(self._refused) < MAX_STREAMS:
            self._refused.add(stream)
        return False

    def _check_speaker(self, stream: StreamId) -> None:
        """Has the peer any business sending that stream?"""
        if stream == self._replica.own:
            raise LinkError(f"another node writes under this node's name, {stream.name}", code=CloseCode.FORGED)
        if not self._may_speak and stream.name != self._peer.name:
            raise LinkError(f"{self._peer.name} sent the stream of another node, {stream.name}", code=CloseCode.FORGED)


def _check_next(under_way: _UnderWay, batch: Batch) -> None:
    """Batches between the pieces of a snapshot follow one another too."""
    if under_way.latest is not None and batch.sequence != under_way.latest + 1:
        name = batch.stream.name
        raise LinkError(f"batch {batch.sequence} of {name} came after {under_way.latest}", code=CloseCode.GAP)
