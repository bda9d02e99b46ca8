"""A TCP proxy between two nodes that counts what passes, and can be cut like a cable.

What it counts is the payload of TCP: TLS with all its overhead, but not the headers of TCP and IP.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator

import attrs
import trio

from tests.real.mesh import endpoint
from tests.real.processes import free_port

HOST = "127.0.0.1"
_CHUNK_BYTES = 262_144


@attrs.define
class Wiretap:
    """Listens on ``at`` and passes all on to ``target``; dial ``at`` instead of the target."""

    target: tuple[str, int]
    at: str
    bytes_up: int = 0
    """From the dialer to the listener, over all connections."""
    bytes_down: int = 0
    connected_at: float = 0.0
    """When the last connection was accepted: Unix seconds."""
    _restored: trio.Event = attrs.field(factory=trio.Event)
    _connections: set[trio.CancelScope] = attrs.field(factory=set)

    @property
    def total_bytes(self) -> int:
        """Both ways."""
        return self.bytes_up + self.bytes_down

    def cut(self) -> None:
        """End what there is; further connections are ended as soon as they come."""
        self._restored = trio.Event()
        for scope in self._connections:
            scope.cancel()

    def restore(self) -> None:
        """Let connections pass again."""
        self._restored.set()

    async def _serve(self, dialer: trio.SocketStream) -> None:
        if not self._restored.is_set():
            return
        self.connected_at = time.time()
        with trio.CancelScope() as scope:
            self._connections.add(scope)
            try:
                async with dialer, await trio.open_tcp_stream(*self.target) as listener:
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(self._pass_on, dialer, listener, True)
                        await self._pass_on(listener, dialer, False)
                        nursery.cancel_scope.cancel()
            except* (OSError, trio.BrokenResourceError):
                pass  # either end is gone: the nodes say what it means
            finally:
                self._connections.discard(scope)

    async def _pass_on(self, source: trio.SocketStream, sink: trio.SocketStream, up: bool) -> None:
        with contextlib.suppress(trio.BrokenResourceError):
            while data := await source.receive_some(_CHUNK_BYTES):
                if up:
                    self.bytes_up += len(data)
                else:
                    self.bytes_down += len(data)
                await sink.send_all(data)
            await sink.send_eof()


@contextlib.asynccontextmanager
async def wiretap(target: tuple[str, int]) -> AsyncIterator[Wiretap]:
    """A proxy as long as the block lasts."""
    port = free_port(HOST)
    tap = Wiretap(target, endpoint(HOST, port))
    tap.restore()
    async with trio.open_nursery() as nursery:
        await nursery.start(trio.serve_tcp, tap._serve, port)  # its own factory
        yield tap
        nursery.cancel_scope.cancel()
