"""The HTTP service on loopback sockets: slow, stuck, many and hostile clients, and those that must not notice them."""

from __future__ import annotations

import random
import resource
import socket
import struct
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from functools import partial

import attrs
import pytest
import trio
import trio.testing

from meshtracker.errors import StartError
from meshtracker.frontends.http import HttpFrontend
from meshtracker.frontends.http_connection import HttpConnection
from meshtracker.network.http import TURN_SECONDS, HttpService, bind
from meshtracker.wire.http_answer import decode_announce, decode_scrape
from meshtracker.wire.http_head import RequestHead
from meshtracker.wire.http_response import parse_response
from tests.http_support import (
    Caller,
    announce_target,
    connection_opener,
    escape,
    fuzzed_requests,
    make_frontend,
    request,
)
from tests.udp_support import make_node

CLOSE = b"Connection: close"
HEALTH = request(b"/health")
OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: keep-alive\r\nContent-Length: 3\r\n\r\nok\n"

pytestmark = pytest.mark.timeout(60)


def make_service(
    frontend: HttpFrontend | None = None,
    *hosts: str,
    listeners: Sequence[socket.socket] = (),
    max_connections: int = 1000,
    max_batch_connections: int = 256,
) -> HttpService:
    return HttpService(
        listeners or [bind(host, 0) for host in hosts or ["127.0.0.1"]],
        open_connection=connection_opener(frontend or make_frontend()),
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
            assert await announce(address, peer_id=b"%020d" % number, port=number) == number
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
        assert service.statistics().batches == -(-20 // max_batch_connections)
        for client in clients:
            assert client.recv(1000).endswith(b"ok\n")
            assert client.recv(1000) == b""
            client.close()


@pytest.mark.parametrize("connected_first", [False, True])
async def test_others_get_their_turn_within_a_batch(connected_first: bool, mock_clock: trio.testing.MockClock) -> None:
    """However long its requests take, and also where they came with their connections."""
    turns: list[str] = []

    class DearFrontend(HttpFrontend):
        def answer(self, request: RequestHead, address: bytes, now: float) -> bytes | Iterator[bytes]:
            mock_clock.jump(2 * TURN_SECONDS)
            turns.append("request")
            return super().answer(request, address, now)

    async def other() -> None:
        while True:
            await trio.lowlevel.checkpoint()
            turns.append("other")

    service = make_service(DearFrontend(node=make_node()))
    clients = [socket.create_connection(service.addresses[0]) for _ in range(10)]
    async with running(service):
        if connected_first:
            await settled()
        for client in clients:
            client.sendall(HEALTH)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(other)
            while turns.count("request") < len(clients):
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
        for client in clients:
            assert client.recv(1000) == OK
            client.close()
    first, last = turns.index("request"), len(turns) - turns[::-1].index("request")
    # trio shuffles who goes first, so two may follow each other.
    assert "request request request" not in " ".join(turns[first:last])


async def test_all_sockets_are_closed_at_the_end() -> None:
    listener = bind("127.0.0.1", 0)
    service = make_service(listeners=[listener])
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


# ---------------------------------------------------------------- broken clients


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


# ---------------------------------------------------------------- many clients


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


async def test_without_descriptors_the_service_waits_for_better_times(mock_clock: trio.testing.MockClock) -> None:
    service = make_service()
    async with running(service) as address, AsyncExitStack() as stack:
        streams = [await stack.enter_async_context(await trio.open_tcp_stream(*address)) for _ in range(5)]
        await settled()
        waiting = []
        clients = [trio.socket.socket(socket.AF_INET, socket.SOCK_STREAM) for _ in range(5)]
        with descriptors_for(2):
            for client in clients:
                await client.connect(address)
                waiting.append(await stack.enter_async_context(trio.SocketStream(client)))
            await settled()
            statistics = service.statistics()
            assert (statistics.accepted, statistics.accept_pauses) == (7, 1)
            await settled()
            assert service.statistics().batches == statistics.batches  # it does not spin
            for stream in [*streams, *waiting[:2]]:
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
