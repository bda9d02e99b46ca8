"""What the tests of the HTTP service share: a service on loopback sockets, and clients of it."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import trio
import trio.testing

from meshtracker.frontends.http import HttpFrontend
from meshtracker.network.http import HttpService, OpenConnection, bind
from meshtracker.wire.http_answer import decode_announce
from meshtracker.wire.http_response import parse_response
from tests.http_support import LIMITS, announce_target, connection_opener, make_frontend, request

CLOSE = b"Connection: close"
HEALTH = request(b"/health")
OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: keep-alive\r\nContent-Length: 3\r\n\r\nok\n"


def make_service(
    frontend: HttpFrontend | None = None,
    *hosts: str,
    listeners: Sequence[socket.socket] = (),
    max_connections: int = 1000,
    max_batch_connections: int = 256,
    open_connection: OpenConnection | None = None,
    refreshes: bool = True,
) -> HttpService:
    """A service of a front end, by default of one of its own, on free ports of ``hosts`` or on ``listeners``.

    ``refreshes``: it may answer usual announces itself.
    """
    frontend = frontend or make_frontend()
    return HttpService(
        listeners or [bind(host, 0) for host in hosts or ["127.0.0.1"]],
        open_connection=open_connection or connection_opener(frontend),
        frontend=frontend if refreshes else None,
        max_connections=max_connections,
        max_batch_connections=max_batch_connections,
        head_timeout_seconds=LIMITS.head_timeout_seconds,
        idle_timeout_seconds=LIMITS.idle_timeout_seconds,
        write_timeout_seconds=10.0,
    )


@asynccontextmanager
async def running(service: HttpService) -> AsyncIterator[tuple[str, int]]:
    """A service at work; yields its first address."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(service.run)
        yield service.addresses[0]
        nursery.cancel_scope.cancel()


async def receive_all(stream: trio.SocketStream) -> bytes:
    """All until the other side closes."""
    return b"".join([data async for data in stream])


async def receive_exactly(stream: trio.SocketStream, size: int) -> bytes:
    """The next ``size`` bytes."""
    data = b""
    while len(data) < size:
        received = await stream.receive_some(size - len(data))
        assert received, f"ended after {data!r}"
        data += received
    return data


async def announce(address: tuple[str, int], **parameters: bytes | int | None) -> int:
    """Announce as most clients do, on a connection that the server closes; returns ``incomplete``."""
    async with await trio.open_tcp_stream(*address) as stream:
        await stream.send_all(request(announce_target(**parameters), CLOSE))
        response = parse_response(await receive_all(stream), ended=True)
        assert response is not None
        return decode_announce(response.body).incomplete


async def settled() -> None:
    """Until the service has seen all that was sent to it."""
    await trio.testing.wait_all_tasks_blocked(0.01)
