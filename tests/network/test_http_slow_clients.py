"""Clients of the HTTP service that send or read slowly or not at all: each deadline."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
import trio
import trio.testing

from meshtracker.frontends.http_connection import HttpConnection
from meshtracker.network.http import CLOSED_AT_ONCE, HttpService, bind
from meshtracker.wire.http_answer import decode_scrape
from meshtracker.wire.http_response import parse_response
from tests.http_support import Caller, escape, make_frontend, request
from tests.network.http_service import (
    HEALTH,
    OK,
    announce,
    make_service,
    receive_all,
    receive_exactly,
    running,
    settled,
)

pytestmark = pytest.mark.timeout(60)


@pytest.mark.parametrize("piece", [b"x", b"\r\n"])
async def test_slowloris_has_a_deadline_for_the_whole_head(piece: bytes, mock_clock: trio.testing.MockClock) -> None:
    service = make_service()
    async with running(service) as address, await trio.open_tcp_stream(*address) as stream:
        for _ in range(3):
            await stream.send_all(piece)
            await settled()
            mock_clock.jump(3.0)
            await settled()
        assert service.statistics().connections == 1
        await stream.send_all(piece)
        mock_clock.jump(2.0)
        assert await receive_all(stream) == b""
        assert service.statistics().timed_out == 1


async def test_a_crowd_that_says_nothing_leaves_at_its_deadline(mock_clock: trio.testing.MockClock) -> None:
    crowd = CLOSED_AT_ONCE + 44
    service = make_service()
    async with running(service) as address, AsyncExitStack() as stack:
        streams = [await stack.enter_async_context(await trio.open_tcp_stream(*address)) for _ in range(crowd)]
        await settled()
        assert service.statistics().connections == crowd
        mock_clock.jump(11.0)
        for stream in streams:
            assert await receive_all(stream) == b""
        assert (service.statistics().connections, service.statistics().timed_out) == (0, crowd)


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


SWARMS = 3000


@asynccontextmanager
async def large_scrape() -> AsyncIterator[tuple[HttpService, trio.SocketStream]]:
    """A client that has asked for everything, which is more than the sockets between it and the service hold."""
    frontend = make_frontend(full_scrape=True)
    caller = Caller(frontend)
    for number in range(SWARMS):
        caller.announce(info_hash=escape(number.to_bytes(20)))
    listener = bind("127.0.0.1", 0)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    service = make_service(frontend, listeners=[listener])
    client = trio.socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    async with running(service) as address:
        await client.connect(address)
        async with trio.SocketStream(client) as stream:
            await stream.send_all(request(b"/scrape"))
            await settled()
            yield service, stream


async def test_responses_are_written_as_the_client_reads(mock_clock: trio.testing.MockClock) -> None:
    async with large_scrape() as (service, stream):
        first = await receive_exactly(stream, 1000)
        for _ in range(5):
            # Reads something now and then, which is enough.
            mock_clock.jump(9.0)
            first += await receive_exactly(stream, 20_000)
            await settled()
        assert await announce(service.addresses[0]) == 1
        response = parse_response(first + await receive_all(stream), ended=True)
        assert response is not None
        counts = decode_scrape(response.body, [number.to_bytes(20) for number in range(SWARMS)])
        assert {count.incomplete for count in counts} == {1}
        assert service.statistics().timed_out == 0


async def test_a_client_that_does_not_read_is_dropped(mock_clock: trio.testing.MockClock) -> None:
    async with large_scrape() as (service, stream):
        mock_clock.jump(9.0)
        await settled()
        assert service.statistics().connections == 1
        mock_clock.jump(3.0)
        await settled()
        statistics = service.statistics()
        assert (statistics.connections, statistics.timed_out) == (0, 1)
        assert len(await receive_all(stream)) < SWARMS * 80


async def test_requests_are_not_read_while_responses_are_not() -> None:
    """A client that only sends is held up by its own connection, and costs no memory."""
    service = make_service()

    async def send_for_ever(stream: trio.SocketStream) -> None:
        while True:
            await stream.send_all(HEALTH * 1000)

    async with (
        running(service) as address,
        await trio.open_tcp_stream(*address) as stream,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(send_for_ever, stream)
        await settled()  # the client waits for room to send
        [client] = service._clients.values()
        assert client.unsent
        assert len(client.unsent) < 100_000
        assert isinstance(client.connection, HttpConnection)
        assert len(client.connection._buffer) < 10_000
        assert await announce(address) == 1
        nursery.cancel_scope.cancel()
