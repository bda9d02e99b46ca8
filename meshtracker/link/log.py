"""Recent batches of every stream, as the frames they came in: what a link that lags reads from.

One ring a stream, one bound in bytes over all of them; the oldest batch of all goes first.
"""

from __future__ import annotations

from collections import OrderedDict, deque

import attrs

from meshtracker.wire.frame import HEADER
from meshtracker.wire.vector import MAX_STREAMS, Position, StreamId, Vector, chain

_ENTRY_BYTES = 200
"""What keeping a frame costs besides its bytes, so that many small ones are bounded too."""


@attrs.frozen(kw_only=True)
class LogStatistics:
    """How much outage the logs cover."""

    batches: int
    bytes: int
    max_bytes: int
    covered_seconds: float
    """Age of the oldest batch still kept."""


class _Stream:
    """One stream's recent batches."""

    __slots__ = ("before", "frames", "heard_at", "position")

    def __init__(self, position: Position, now: float) -> None:
        self.position = position
        """Kept as it is told: links ask for it far more often than it changes."""
        self.frames: deque[tuple[bytes, int]] = deque()
        """Frames of the last ``len(frames)`` batches up to ``position``, without a gap, and the digest after each."""
        self.before = position.digest
        """The digest before the first of the frames."""
        self.heard_at = now
        """When it last grew or began."""


class Logs:
    """Streams; their positions are the node's vector."""

    def __init__(self, *, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._streams: dict[StreamId, _Stream] = {}
        self._ages: deque[tuple[_Stream, float]] = deque()
        """Every kept batch in the order of arrival, with when it came."""
        self._forgotten: dict[StreamId, Position] = {}
        self.changes = 0
        """Of all streams since the start."""
        self._changed: OrderedDict[StreamId, int] = OrderedDict()
        """The number of each stream's latest change, the latest of all at the end: in a dict whose last entries are
        moved all the time, who looks from the end would have to pass all the holes that they left."""

    def position(self, stream: StreamId) -> Position | None:
        """How far a stream has been applied."""
        known = self._streams.get(stream)
        return None if known is None else known.position

    def vector(self) -> Vector:
        """All positions."""
        return {stream: known.position for stream, known in self._streams.items()}

    def changed_after(self, change: int) -> list[StreamId]:
        """Streams that have changed since `changes` was ``change``, also those forgotten since; the latest last."""
        streams = []
        for stream, latest in reversed(self._changed.items()):
            if latest <= change:
                break
            streams.append(stream)
        streams.reverse()
        return streams

    def start(self, stream: StreamId, position: Position, now: float) -> None:
        """Begin a stream, or begin it anew, at a position: a snapshot that leapt over a gap."""
        # The old one's frames stay counted until their turn to be evicted comes, but can no longer be read.
        self._streams[stream] = _Stream(position, now)
        self._forgotten.pop(stream, None)
        self._count_change(stream)

    def forget(self, stream: StreamId) -> None:
        """Know a stream no longer, that has no rows; for some time only how far it was known."""
        self._forgotten[stream] = self._streams.pop(stream).position
        if len(self._forgotten) > MAX_STREAMS:
            oldest = next(iter(self._forgotten))
            del self._forgotten[oldest]
            self._changed.pop(oldest, None)
        self._count_change(stream)

    def forgotten(self, stream: StreamId) -> Position | None:
        """How far a stream was known that was forgotten."""
        return self._forgotten.get(stream)

    def append(self, stream: StreamId, frame: bytes, now: float, *, digest: int | None = None) -> None:
        """Add the next batch of a stream that was started; ``digest`` after it, if the frame is not the whole batch."""
        known = self._streams[stream]
        sequence, before = known.position
        digest = chain(before, frame[HEADER.size :]) if digest is None else digest
        known.position = Position(sequence + 1, digest)
        known.frames.append((frame, digest))
        known.heard_at = now
        self._count_change(stream)
        self._ages.append((known, now))
        self._bytes += len(frame) + _ENTRY_BYTES
        while self._bytes > self._max_bytes and self._ages:
            oldest, _ = self._ages.popleft()
            evicted, oldest.before = oldest.frames.popleft()
            self._bytes -= len(evicted) + _ENTRY_BYTES

    def _count_change(self, stream: StreamId) -> None:
        self.changes += 1
        self._changed[stream] = self.changes
        self._changed.move_to_end(stream)

    def silent_since(self, moment: float) -> list[StreamId]:
        """Streams that have not grown since then."""
        return [stream for stream, known in self._streams.items() if known.heard_at < moment]

    def digest_at(self, stream: StreamId, sequence: int) -> int | None:
        """The digest after a batch of which all that came later is kept; None if it is not."""
        known = self._streams.get(stream)
        if known is None:
            return None
        behind = known.position.sequence - sequence
        if behind == 0:
            return known.position.digest
        if not 0 < behind <= len(known.frames):
            return None
        return known.before if behind == len(known.frames) else known.frames[-behind - 1][1]

    def frame(self, stream: StreamId, sequence: int) -> bytes | None:
        """The BATCH frame of one sequence, if it is still kept."""
        known = self._streams.get(stream)
        if known is None:
            return None
        index = sequence - known.position.sequence + len(known.frames) - 1
        return known.frames[index][0] if 0 <= index < len(known.frames) else None

    def statistics(self, now: float) -> LogStatistics:
        """A frozen snapshot of the figures."""
        return LogStatistics(
            batches=len(self._ages),
            bytes=self._bytes,
            max_bytes=self._max_bytes,
            covered_seconds=now - self._ages[0][1] if self._ages else 0.0,
        )
