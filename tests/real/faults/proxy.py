"""A proxy in the middle of a link in the clear: it knows frames, and swallows those it is told to."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Iterator

import trio

from meshtracker.wire.frame import DATA_FRAMES, HEADER, FrameType
from tests.real.plan import HOST
from tests.real.processes import free_port

READ_BYTES = 65_536

TO_HUB = "to the hub"
TO_LEAF = "to the leaf"


class Proxy:
    """Accepts leaves at ``port`` and dials their hub at ``hub_port`` for each."""

    def __init__(self) -> None:
        self.port, self.hub_port = free_port(HOST), free_port(HOST)
        self.passed = {TO_HUB: Counter[FrameType](), TO_LEAF: Counter[FrameType]()}
        """Frames since the start, by direction and type."""
        self.swallowed = {TO_HUB: Counter[FrameType](), TO_LEAF: Counter[FrameType]()}
        self._swallows: set[str] = set()
        self._hold: tuple[str, FrameType, int] | None = None
        self._held = trio.Event()

    @contextlib.contextmanager
    def swallowing(self, *directions: str) -> Iterator[None]:
        """Let no data through these ways as long as the block lasts."""
        self._swallows.update(directions)
        try:
            yield
        finally:
            self._swallows.difference_update(directions)

    def hold_after(self, direction: str, kind: FrameType, count: int) -> trio.Event:
        """From now on carry so many more frames of that kind that way, then nothing more that way on that connection.

        The event tells that it came to that; whatever follows passes again.
        """
        self._hold = (direction, kind, self.passed[direction][kind] + count)
        self._held = trio.Event()
        return self._held

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Serve as long as the block lasts."""
        async with trio.open_nursery() as nursery:
            listeners = await trio.open_tcp_listeners(self.port, host=HOST)
            nursery.start_soon(trio.serve_listeners, self._serve, listeners)
            yield
            nursery.cancel_scope.cancel()

    async def _serve(self, leaf: trio.SocketStream) -> None:
        # Whoever is gone, the other end is told by a plain hang-up.
        with contextlib.suppress(OSError, trio.BrokenResourceError):
            async with await trio.open_tcp_stream(HOST, self.hub_port) as hub, trio.open_nursery() as nursery:
                nursery.start_soon(self._carry, leaf, hub, TO_HUB, nursery.cancel_scope)
                nursery.start_soon(self._carry, hub, leaf, TO_LEAF, nursery.cancel_scope)

    async def _carry(
        self, source: trio.SocketStream, target: trio.SocketStream, direction: str, connection: trio.CancelScope
    ) -> None:
        unread = bytearray()
        with contextlib.suppress(trio.BrokenResourceError):
            async for data in source:
                unread += data
                for kind, frame in _take_frames(unread):
                    swallow = direction in self._swallows and kind in DATA_FRAMES
                    (self.swallowed if swallow else self.passed)[direction][kind] += 1
                    if not swallow:
                        await target.send_all(frame)
                    if self._hold == (direction, kind, self.passed[direction][kind]):
                        self._hold = None
                        self._held.set()
                        await trio.sleep_forever()
        connection.cancel()


def _take_frames(unread: bytearray) -> Iterator[tuple[FrameType, bytes]]:
    """Take the whole frames off the front."""
    while len(unread) >= HEADER.size:
        _, kind, _, length = HEADER.unpack_from(unread)
        end = HEADER.size + length
        if len(unread) < end:
            return
        frame = bytes(unread[:end])
        del unread[:end]
        yield FrameType(kind), frame
