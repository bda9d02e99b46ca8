"""Clients of the HTTP service that send nonsense or hang up: they hurt nobody."""

from __future__ import annotations

import random
import socket
import struct
from contextlib import suppress

import pytest
import trio
import trio.testing

from meshtracker.network.lobby import RECEIVE_BYTES
from meshtracker.wire.http_response import parse_response
from tests.http_support import fuzzed_requests, make_frontend, request
from tests.network.http_service import HEALTH, announce, make_service, receive_all, running, settled

pytestmark = pytest.mark.timeout(60)


async def test_a_refused_client_can_read_why_while_it_still_sends() -> None:
    service = make_service()
    async with running(service) as address, await trio.open_tcp_stream(*address) as stream:
        await stream.send_all(request(b"/announce", b"Content-Length: 1000000"))
        for _ in range(20):
            await stream.send_all(bytes(50_000))
            await settled()
        response = parse_response(await receive_all(stream), ended=True)
        assert response is not None
        assert response.status == 400
        assert service.statistics().connections == 1
        await stream.aclose()
        await settled()
        assert service.statistics().connections == service.statistics().broken == 0


async def test_a_refused_client_cannot_stay(mock_clock: trio.testing.MockClock) -> None:
    service = make_service()
    async with running(service) as address, await trio.open_tcp_stream(*address) as stream:
        await stream.send_all(b"nonsense\r\n\r\n")
        assert (await receive_all(stream)).startswith(b"HTTP/1.1 400 ")
        await stream.send_all(HEALTH)
        mock_clock.jump(3.0)
        await settled()
        assert service.statistics().connections == 0


async def test_an_answer_is_sent_before_its_connection_ends_with_more_unread() -> None:
    """Closing then sends a reset, which takes with it whatever the system still holds back of the answer."""
    head = b"GET /health HTTP/1.1\r\nConnection: close\r\nX: "
    whole = head.ljust(RECEIVE_BYTES - 4, b"x") + b"\r\n\r\n"
    service = make_service()
    async with running(service) as address, await trio.open_tcp_stream(*address) as stream:
        await stream.send_all(whole + b"GET / HTTP/1.1\r\n")
        await settled()
        assert (await stream.receive_some()).startswith(b"HTTP/1.1 200 ")


async def test_resets_are_counted_and_hurt_nobody() -> None:
    service = make_service()
    async with running(service) as address:
        for data in (b"", b"GET /announce", HEALTH, HEALTH * 2000):
            stream = await trio.open_tcp_stream(*address)
            await stream.send_all(data)
            await settled()
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            await stream.aclose()
            await settled()
            assert service.statistics().connections == 0
        assert service.statistics().broken == 4
        assert await announce(address) == 1


# ---------------------------------------------------------------- fuzz


async def fuzz(*, count: int, seed: int) -> None:
    """Requests of all kinds at a real tracker; then a client must be served as if nothing had been."""
    service = make_service(make_frontend(full_scrape=True))
    rng = random.Random(seed)
    requests = list(fuzzed_requests(rng, count=count))
    async with running(service) as address:
        while requests:
            several = b"".join(requests.pop() for _ in range(min(len(requests), rng.randrange(1, 4))))
            async with await trio.open_tcp_stream(*address) as stream:
                cut = rng.randrange(len(several) + 1)
                # Broken is what it is for a client that sends more after the request that it said was its last.
                with suppress(trio.BrokenResourceError):
                    for part in (several[:cut], several[cut:]):
                        await stream.send_all(part)
                        await trio.lowlevel.checkpoint()
                    await stream.send_eof()
                    async for _ in stream:
                        pass
        await settled()
        assert service.statistics().connections == 0
        assert await announce(address, info_hash=b"a hash never seen!!!") == 1


async def test_fuzzed_requests() -> None:
    await fuzz(count=1_000, seed=1)


@pytest.mark.long
async def test_many_fuzzed_requests() -> None:
    await fuzz(count=20_000, seed=2)
