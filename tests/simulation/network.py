"""Ways between nodes, and the bytes on them: latency, bandwidth, bounded buffers, chunks, and what goes wrong there."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterator
from typing import Literal, Protocol, TypeAlias

import attrs

from meshtracker.wire.frame import DATA_FRAMES, HEADER
from tests.simulation.timeline import Process, Timeline

WayFault: TypeAlias = Literal["stall", "black hole", "slow", "swallow"]

_SEGMENT_BYTES = 1448
_ANYWHERE = -1
_SLOW_BYTES_PER_SECOND = 1_000
"""So slow that a frame trickles in: a second's worth at a time."""
_FOREVER = float("inf")


class Reader(Protocol):
    """Who takes bytes off a pipe."""

    process: Process

    def receive(self, data: bytes) -> None:
        """Bytes have come; none: the stream is at its end."""


@attrs.define(eq=False)
class Way:
    """One direction between two nodes; it outlives connections, and so do its faults."""

    latency_seconds: float
    bytes_per_second: float
    window_bytes: int
    """What both kernels hold for a reader that does not read."""
    stalled: bool = False
    largest_bytes: float = _FOREVER
    """A larger piece does not get through, nor does anything after it."""
    swallows: bool = False
    """Are frames that carry data taken out?"""
    rate: float = 0.0
    pipes: list[Pipe] = attrs.field(factory=list)
    _faults: list[tuple[WayFault, float]] = attrs.field(factory=list)

    def __attrs_post_init__(self) -> None:
        self._reckon()

    def begin(self, fault: WayFault, value: float = 0.0) -> None:
        """Something is wrong from now on."""
        self._faults.append((fault, value))
        self._reckon()

    def end(self, fault: WayFault, value: float = 0.0) -> None:
        """It is over, and what was held up goes on."""
        self._faults.remove((fault, value))
        self._reckon()
        for pipe in list(self.pipes):
            pipe.resume()

    @property
    def is_faulty(self) -> bool:
        return bool(self._faults)

    def _reckon(self) -> None:
        kinds = [kind for kind, _ in self._faults]
        self.stalled = "stall" in kinds
        self.swallows = "swallow" in kinds
        self.largest_bytes = min((value for kind, value in self._faults if kind == "black hole"), default=_FOREVER)
        slow = min((value for kind, value in self._faults if kind == "slow"), default=_FOREVER)
        self.rate = min(self.bytes_per_second, slow)


class Pipe:
    """One direction of one connection."""

    def __init__(self, timeline: Timeline, way: Way, rng: random.Random, reader: Reader) -> None:
        self.way = way
        self.held_bytes = 0
        """Written and not read yet."""
        self.is_dead = False
        """Does everything vanish, without a word?"""
        self.is_read = True
        """Does the reader take anything at present?"""
        self.on_stuck: Callable[[], None] = lambda: None
        """A piece does not get through."""
        self.on_flow: Callable[[], None] = lambda: None
        """All that was held up has come."""
        self.on_swallow: Callable[[], None] = lambda: None
        """A frame with data was taken out."""
        self._timeline = timeline
        self._reader = reader
        self._rng = rng
        self._room: Callable[[], None] = lambda: None
        self._segment_bytes = rng.choice((0, 0, _SEGMENT_BYTES, 100, _ANYWHERE))
        self._leaves = 0.0
        self._flight: deque[bytes] = deque()
        self._stuck: deque[bytes] = deque()
        way.pipes.append(self)

    def on_room(self, call: Callable[[], None]) -> None:
        """Who wants to write when there is room again."""
        self._room = call

    @property
    def has_room(self) -> bool:
        return self.held_bytes < self.way.window_bytes

    def write(self, data: bytes) -> None:
        """Whole frames."""
        if self.way.swallows:
            data = b"".join(self._without_data(data))
            if not data:
                return
        self.held_bytes += len(data)
        for piece in self._pieces(data):
            self._send(piece)

    def end(self) -> None:
        """The writer is done."""
        self._send(b"")

    def lose(self, kept_bytes: int) -> None:
        """The wire is cut: of what is under way the first bytes may still come, then the end."""
        self.is_dead = True
        data = b"".join((*self._stuck, *self._flight))[:kept_bytes]
        for last in (data, b"") if data else (b"",):
            self._timeline.at(self._timeline.now, self._reader.process, self._reader.receive, last)

    def resume(self) -> None:
        """Let through what was held up, if it may pass."""
        while self._stuck and self._may_pass(self._stuck[0]) and not self.is_dead:
            self._deliver(self._stuck.popleft())
        if not self._stuck:
            self.on_flow()

    def _send(self, piece: bytes) -> None:
        self._flight.append(piece)
        self._leaves = max(self._leaves, self._timeline.now) + len(piece) / self.way.rate
        self._timeline.at(self._leaves + self.way.latency_seconds, self._reader.process, self._arrive)

    def _arrive(self) -> None:
        if self.is_dead:
            return
        piece = self._flight.popleft()
        if self._stuck or not self._may_pass(piece):
            if self.is_read:
                self.on_stuck()
            self._stuck.append(piece)
        else:
            self._deliver(piece)

    def _may_pass(self, piece: bytes) -> bool:
        return self.is_read and not self.way.stalled and len(piece) <= self.way.largest_bytes

    def _deliver(self, piece: bytes) -> None:
        full = not self.has_room
        self.held_bytes -= len(piece)
        self._reader.receive(piece)
        if full and self.has_room:
            self._room()

    def _pieces(self, data: bytes) -> Iterator[bytes]:
        step = self._segment_bytes if self.way.rate > _SLOW_BYTES_PER_SECOND else int(self.way.rate)
        if step == _ANYWHERE:
            cut = self._rng.randrange(len(data))
            if cut:
                yield data[:cut]
            yield data[cut:]
        elif not step or len(data) <= step:
            yield data
        else:
            for start in range(0, len(data), step):
                yield data[start : start + step]

    def _without_data(self, data: bytes) -> Iterator[bytes]:
        at = 0
        while at < len(data):
            _, kind, _, length = HEADER.unpack_from(data, at)
            end = at + HEADER.size + length
            if kind in DATA_FRAMES:
                self.on_swallow()
            else:
                yield data[at:end]
            at = end
