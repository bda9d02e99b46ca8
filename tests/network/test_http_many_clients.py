"""Very many clients of the HTTP service: who makes room, and those that must not notice them."""

from __future__ import annotations

import resource
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from functools import partial

import attrs
import pytest
import trio
import trio.testing

from meshtracker.frontends.http import HttpFrontend
from meshtracker.network.http import HttpService
from tests.http_support import announce_target, make_frontend, request
from tests.network.http_service import (
    CLOSE,
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


async def test_at_the_bound_the_oldest_make_room(mock_clock: trio.testing.MockClock) -> None:
    service = make_service(max_connections=10)
    async with running(service) as address, AsyncExitStack() as stack:
        streams = []
        for _ in range(10):
            streams.append(await stack.enter_async_context(await trio.open_tcp_stream(*address)))
            await settled()
            mock_clock.jump(0.5)
        for stream in streams[:5]:
            await stream.send_all(HEALTH)
            await receive_exactly(stream, len(OK))
        with socket.create_connection(address) as client:
            client.sendall(request(announce_target(), CLOSE))
            await settled()
            assert client.recv(1000).endswith(b"e")
        assert service.statistics().evicted == 0  # a connection that comes with its request never needs a place
        another = await stack.enter_async_context(await trio.open_tcp_stream(*address))
        await settled()
        assert service.statistics().evicted == 1
        # The sixth had been waiting longest; the first five, idle for now, have shown that they are clients.
        assert await receive_all(streams[5]) == b""
        for stream in [*streams[:5], *streams[6:], another]:
            await stream.send_all(HEALTH)
            assert await receive_exactly(stream, len(OK)) == OK
        assert service.statistics().connections == 10


@contextmanager
def descriptors_for(count: int) -> Iterator[None]:
    """Let this process open no more than ``count`` further descriptors."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    probes = [socket.socket() for _ in range(count + 1)]
    limit = max(probe.fileno() for probe in probes)
    for probe in probes:
        probe.close()
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("listeners", [1, 2])
async def test_without_descriptors_the_service_waits_for_better_times(
    listeners: int, mock_clock: trio.testing.MockClock
) -> None:
    service = make_service(None, *["127.0.0.1"] * listeners)
    async with running(service) as address, AsyncExitStack() as stack:
        streams = [await stack.enter_async_context(await trio.open_tcp_stream(*address)) for _ in range(5)]
        await settled()
        waiting = []
        clients = [socket.socket(socket.AF_INET, socket.SOCK_STREAM) for _ in range(5)]
        with descriptors_for(2):
            for number, client in enumerate(clients):
                # Without a turn for the service, so that it finds them at all its listeners at once.
                client.connect(service.addresses[number % listeners])
                stream = trio.SocketStream(trio.socket.from_stdlib_socket(client))
                waiting.append(await stack.enter_async_context(stream))
            await settled()
            statistics = service.statistics()
            assert (statistics.accepted, statistics.accept_pauses) == (7, 1)
            await settled()
            assert service.statistics().batches == statistics.batches  # it does not spin
            for stream in streams:
                await stream.send_all(HEALTH)
                assert await receive_exactly(stream, len(OK)) == OK
        mock_clock.jump(1.0)
        await settled()
        for stream in waiting:
            await stream.send_all(HEALTH)
        for stream in waiting[2:]:
            assert await receive_exactly(stream, len(OK)) == OK


async def test_2000_idle_connections_disturb_no_announce() -> None:
    frontend = make_frontend()
    service = make_service(frontend, max_connections=5000)
    async with running(service) as address:
        idle = [socket.create_connection(address) for _ in range(2000)]
        for number, client in enumerate(idle):
            # A third each: silent, in the middle of a head, and with a request behind them.
            client.sendall((b"", b"GET /announce?info_hash=", HEALTH)[number % 3])
        await wait_until_idle(service, frontend, connections=2000)
        await announces_stay_quick(service)
        for client in idle:
            client.close()


@pytest.mark.long
@pytest.mark.timeout(300)
async def test_10000_idle_connections_disturb_no_announce() -> None:
    """As above; they are held by another process, since one may not have so many descriptors."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    frontend = make_frontend()
    service = make_service(frontend, max_connections=12_000)
    async with running(service) as (host, port), trio.open_nursery() as nursery:
        script = (
            "import resource, socket, sys\n"
            "_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)\n"
            "resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))\n"
            f"idle = [socket.create_connection(({host!r}, {port})) for _ in range(10_000)]\n"
            "for number, client in enumerate(idle):\n"
            f"    client.sendall((b'', b'GET /', {HEALTH!r})[number % 3])\n"
            "sys.stdin.read()\n"
        )
        await nursery.start(partial(trio.run_process, [sys.executable, "-c", script], stdin=subprocess.PIPE))
        await wait_until_idle(service, frontend, connections=10_000)
        await announces_stay_quick(service)
        nursery.cancel_scope.cancel()
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def wait_until_idle(service: HttpService, frontend: HttpFrontend, *, connections: int) -> None:
    with trio.fail_after(60):
        while service.statistics().connections < connections or frontend.statistics().others < connections // 3:
            await trio.lowlevel.checkpoint()


async def announces_stay_quick(service: HttpService) -> None:
    """An announce is one connection accepted and served: two turns of the service at most, whoever else is there."""
    before = service.statistics()
    for number in range(300):
        assert await announce(service.addresses[0], peer_id=b"%020d" % number, port=number + 1) == number + 1
    after = service.statistics()
    assert after.batches - before.batches <= 600
    assert attrs.evolve(after, batches=0, accepted=0) == attrs.evolve(before, batches=0, accepted=0)
