"""The HTTP service on loopback sockets: slow, stuck, many and hostile clients, and those that must not notice them."""

from __future__ import annotations

import random
import resource
import socket
import struct
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial

import attrs
import pytest
import trio
import trio.testing

from meshtracker.errors import StartError
from meshtracker.frontends.http import HttpFrontend
from meshtracker.network.http import HttpService, bind
from meshtracker.wire.http_answer import decode_announce, decode_scrape
from meshtracker.wire.http_response import parse_response
from tests.http_support import LIMITS, announce_target, escape, fuzzed_requests, make_frontend, request

CLOSE = b"Connection: close"
HEALTH = request(b"/health")
OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: keep-alive\r\nContent-Length: 3\r\n\r\nok\n"
BIND_ALL = [("127.0.0.1", 0)]

pytestmark = pytest.mark.timeout(60)


def make_service(
    frontend: HttpFrontend | None = None,
    *hosts: str,
    max_connections: int = 1000,
    max_batch_connections: int = 256,
) -> HttpService:
    return HttpService(
        [bind(host, 0) for host in hosts or ["127.0.0.1"]],
        frontend=frontend or make_frontend(),
        limits=LIMITS,
        max_connections=max_connections,
        max_batch_connections=max_batch_connections,
        write_timeout_seconds=10.0,
    )


@asynccontextmanager
async def running(service: HttpService) -> AsyncIterator[tuple[str, int]]:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(service.run)
        yield service.addresses[0]
        nursery.cancel_scope.cancel()


async def receive_all(stream: trio.SocketStream) -> bytes:
    return b"".join([data async for data in stream])


async def receive_exactly(stream: trio.SocketStream, size: int) -> bytes:
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


# ---------------------------------------------------------------- as it should be


async def test_a_client_of_each_family_is_answered() -> None:
    service = make_service(None, "127.0.0.1", "127.0.0.2", "::1")
    async with running(service):
        assert [host for host, _ in service.addresses] == ["127.0.0.1", "127.0.0.2", "::1"]
        for number, address in enumerate(service.addresses, 1):
            assert await announce(address, peer_id=b"%020d" % number) == number
    assert service.statistics().accepted == 3


async def test_a_connection_may_be_kept() -> None:
    service = make_service()
    async with running(service) as address, await trio.open_tcp_stream(*address) as stream:
        for _ in range(3):
            await stream.send_all(HEALTH)
            assert await receive_exactly(stream, len(OK)) == OK
        assert service.statistics().accepted == service.statistics().connections == 1


async def test_quirk_17_pipelining() -> None:
    async with running(make_service()) as address, await trio.open_tcp_stream(*address) as stream:
        await stream.send_all(HEALTH * 50)
        assert await receive_exactly(stream, 50 * len(OK)) == OK * 50


async def test_a_request_may_come_in_pieces() -> None:
    async with running(make_service()) as address, await trio.open_tcp_stream(*address) as stream:
        for at in range(len(HEALTH)):
            await stream.send_all(HEALTH[at : at + 1])
            await settled()
        assert await receive_exactly(stream, len(OK)) == OK


async def test_a_client_may_close_its_half_first() -> None:
    async with running(make_service()) as address, await trio.open_tcp_stream(*address) as stream:
        await stream.send_all(HEALTH)
        await stream.send_eof()
        assert await receive_all(stream) == OK


@pytest.mark.parametrize("max_batch_connections", [1, 10, 256])
async def test_what_waits_is_served_in_batches(max_batch_connections: int) -> None:
    service = make_service(max_batch_connections=max_batch_connections)
    clients = [socket.create_connection(service.addresses[0]) for _ in range(20)]
    for client in clients:
        client.sendall(request(b"/health", CLOSE))
    async with running(service):
        await settled()
        assert service.statistics().batches == -(-20 // max_batch_connections) + (20 % max_batch_connections == 0)
        for client in clients:
            assert client.recv(1000).endswith(b"ok\n")
            assert client.recv(1000) == b""
            client.close()


async def test_all_sockets_are_closed_at_the_end() -> None:
    listener = bind("127.0.0.1", 0)
    service = HttpService(
        [listener],
        frontend=make_frontend(),
        limits=LIMITS,
        max_connections=10,
        max_batch_connections=10,
        write_timeout_seconds=1.0,
    )
    async with running(service) as address:
        client = await trio.open_tcp_stream(*address)
        await client.send_all(HEALTH)
        assert await receive_exactly(client, len(OK)) == OK
    assert listener.fileno() == -1
    assert service.statistics().connections == 0
    async with client:
        assert await receive_all(client) == b""


def test_a_port_in_use_names_the_setting() -> None:
    with bind("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(StartError, match=rf"^http\.listen 127\.0\.0\.1:{port}: address already in use$"):
            bind("127.0.0.1", port)


# ---------------------------------------------------------------- slow clients


async def test_slowloris_has_a_deadline_for_the_whole_head(mock_clock: trio.testing.MockClock) -> None:
    service = make_service()
    async with running(service) as address, await trio.open_tcp_stream(*address) as stream:
        for _ in range(3):
            await stream.send_all(b"x")
            await settled()
            mock_clock.jump(3.0)
            await settled()
        assert service.statistics().connections == 1
        await stream.send_all(b"x")
        mock_clock.jump(2.0)
        assert await receive_all(stream) == b""
        assert service.statistics().timed_out == 1


async def test_a_connection_without_a_request_has_a_deadline(mock_clock: trio.testing.MockClock) -> None:
    service = make_service()
    async with running(service) as address, await trio.open_tcp_stream(*address) as stream:
        await settled()
        mock_clock.jump(9.0)
        await settled()
        assert service.statistics().connections == 1
        mock_clock.jump(2.0)
        assert await receive_all(stream) == b""
        assert service.statistics().timed_out == 1


async def test_an_idle_connection_has_a_deadline(mock_clock: trio.testing.MockClock) -> None:
    service = make_service()
    async with running(service) as address, await trio.open_tcp_stream(*address) as stream:
        for seconds in (0.0, 29.0, 29.0):
            mock_clock.jump(seconds)
            await settled()
            await stream.send_all(HEALTH)
            assert await receive_exactly(stream, len(OK)) == OK
        mock_clock.jump(31.0)
        assert await receive_all(stream) == b""


def large_frontend() -> HttpFrontend:
    """One whose scrape of everything is more than the sockets' buffers hold."""
    frontend = make_frontend(full_scrape=True)
    node = frontend._node
    for number in range(60_000):
        node.registry.swarm(number.to_bytes(20)).count_completed(0, 1)
    return frontend


async def slow_reader(address: tuple[str, int]) -> trio.SocketStream:
    client = trio.socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    await client.connect(address)
    stream = trio.SocketStream(client)
    await stream.send_all(HEALTH * 200_000)
    return stream
