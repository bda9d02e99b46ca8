"""Recent batches of every origin, as the frames they came in: what a link that lags reads from.

One ring an origin, one bound in bytes over all of them; the oldest batch of all goes first.
"""

from __future__ import annotations

from collections import deque

import attrs

from meshtracker.wire.vector import Position, Vector

_ENTRY_BYTES = 150
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
    """One origin's recent batches."""

    __slots__ = ("frames", "position")

    def __init__(self, position: Position) -> None:
        self.position = position
        """Kept as it is told: links ask for it far more often than it changes."""
        self.frames: deque[bytes] = deque()
        """Frames of the last ``len(frames)`` sequences up to ``position``, without a gap."""


class Logs:
    """Streams by origin name; their positions are the node's vector."""

    def __init__(self, *, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._streams: dict[str, _Stream] = {}
        self._ages: deque[tuple[_Stream, float]] = deque()
        """Every kept batch in the order of arrival, with when it came."""
        self.changes = 0
        """Of all streams since the start."""
        self._changed: dict[str, int] = {}
        """The number of each origin's latest change, the latest of all at the end."""

    def position(self, origin: str) -> Position | None:
        """How far an origin's stream has been applied."""
        stream = self._streams.get(origin)
        return None if stream is None else stream.position

    def vector(self) -> Vector:
        """All positions."""
        return {origin: stream.position for origin, stream in self._streams.items()}

    def changed_after(self, change: int) -> list[str]:
        """Origins whose streams have changed since `changes` was ``change``, the latest at the end."""
        origins = []
        for origin, latest in reversed(self._changed.items()):
            if latest <= change:
                break
            origins.append(origin)
        origins.reverse()
        return origins

    def start(self, origin: str, position: Position) -> None:
        """Begin a stream anew at a position: a new incarnation, or a snapshot that leapt over a gap."""
        # The old stream's frames stay counted until their turn to be evicted comes, but can no longer be read.
        self._streams[origin] = _Stream(position)
        self._count_change(origin)

    def append(self, origin: str, frame: bytes, now: float) -> None:
        """Add the next batch of a stream that was started."""
        stream = self._streams[origin]
        stream.position = Position(stream.position.incarnation, stream.position.sequence + 1)
        stream.frames.append(frame)
        self._count_change(origin)
        self._ages.append((stream, now))
        self._bytes += len(frame) + _ENTRY_BYTES
        while self._bytes > self._max_bytes and self._ages:
            oldest, _ = self._ages.popleft()
            self._bytes -= len(oldest.frames.popleft()) + _ENTRY_BYTES

    def _count_change(self, origin: str) -> None:
        self.changes += 1
        self._changed.pop(origin, None)
        self._changed[origin] = self.changes

    def covers(self, origin: str, position: Position) -> bool:
        """Can a reader at ``position`` be given everything that came after it?"""
        stream = self._streams.get(origin)
        if stream is None or stream.position.incarnation != position.incarnation:
            return False
        newest = stream.position.sequence
        return newest - len(stream.frames) <= position.sequence <= newest

    def frame(self, origin: str, sequence: int) -> bytes | None:
        """The BATCH frame of one sequence, if it is still kept."""
        stream = self._streams.get(origin)
        if stream is None:
            return None
        index = sequence - stream.position.sequence + len(stream.frames) - 1
        return stream.frames[index] if 0 <= index < len(stream.frames) else None

    def statistics(self, now: float) -> LogStatistics:
        """A frozen snapshot of the figures."""
        return LogStatistics(
            batches=len(self._ages),
            bytes=self._bytes,
            max_bytes=self._max_bytes,
            covered_seconds=now - self._ages[0][1] if self._ages else 0.0,
        )
