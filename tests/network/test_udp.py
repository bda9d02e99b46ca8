"""The UDP service on loopback sockets."""

from __future__ import annotations

import random
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from meshtracker.errors import StartError
from meshtracker.network.datagrams import ReceiveDatagram
from meshtracker.network.udp import UdpService, bind
from meshtracker.wire import udp
from tests.udp_support import TRANSACTION, Caller, fuzzed_datagrams, make_frontend, total

BUFFER_BYTES = 1_048_576

pytestmark = pytest.mark.timeout(30)


def echo(data: bytes, address: bytes, port: int, now: float) -> bytes:
    return data


@asynccontextmanager
async def serving(
    receive_datagram: ReceiveDatagram, *hosts: str, max_batch_datagrams: int = 256
) -> AsyncIterator[UdpService]:
    sockets = [bind(host, 0, receive_buffer_bytes=BUFFER_BYTES) for host in hosts or ["127.0.0.1"]]
    service = UdpService(sockets, receive_datagram=receive_datagram, max_batch_datagrams=max_batch_datagrams)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(service.run)
        yield service
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def client_of(address: tuple[str, int], *, host: str | None = None) -> AsyncIterator[trio.socket.SocketType]:
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    with trio.socket.socket(family, socket.SOCK_DGRAM) as client:
        if host is not None:
            await client.bind((host, 0))
        await client.connect(address)
        yield client


async def test_a_client_of_each_family_is_answered() -> None:
    sources = []

    def receive(data: bytes, address: bytes, port: int, now: float) -> bytes:
        sources.append((address, port))
        return data[::-1]

    async with serving(receive, "127.0.0.1", "127.0.0.2", "::1") as service:
        assert [host for host, _ in service.addresses] == ["127.0.0.1", "127.0.0.2", "::1"]
        expected = []
        for address in service.addresses:
            async with client_of(address) as client:
                await client.send(b"hello")
                assert await client.recv(100) == b"olleh"
                host, port = client.getsockname()[:2]
                family = socket.AF_INET6 if ":" in host else socket.AF_INET
                expected.append((socket.inet_pton(family, host), port))
    assert sources == expected
    assert service.statistics().datagrams == 3


async def test_now_is_trios_time() -> None:
    times = []

    def receive(data: bytes, address: bytes, port: int, now: float) -> bytes:
        times.append(now)
        return data

    async with serving(receive) as service, client_of(service.addresses[0]) as client:
        before = trio.current_time()
        await client.send(b"hello")
        await client.recv(100)
        assert before <= times[0] <= trio.current_time()


async def test_no_answer_is_none() -> None:
    def receive(data: bytes, address: bytes, port: int, now: float) -> bytes | None:
        return None if data == b"silence" else data

    async with serving(receive) as service, client_of(service.addresses[0]) as client:
        await client.send(b"silence")
        await client.send(b"")
        await client.send(b"word")
        assert await client.recv(100) == b""
        assert await client.recv(100) == b"word"


@pytest.mark.parametrize(("max_batch_datagrams", "batches"), [(1, 50), (10, 5), (256, 1)])
async def test_what_waits_is_answered_in_batches(max_batch_datagrams: int, batches: int) -> None:
    listener = bind("127.0.0.1", 0, receive_buffer_bytes=BUFFER_BYTES)
    service = UdpService([listener], receive_datagram=echo, max_batch_datagrams=max_batch_datagrams)
    async with client_of(service.addresses[0]) as client, trio.open_nursery() as nursery:
        for number in range(50):
            await client.send(b"%d" % number)
        nursery.start_soon(service.run)
        assert [await client.recv(100) for _ in range(50)] == [b"%d" % number for number in range(50)]
        statistics = service.statistics()
        assert (statistics.batches, statistics.datagrams) == (batches, 50)
        nursery.cancel_scope.cancel()


async def test_answers_that_cannot_be_sent_are_counted() -> None:
    def receive(data: bytes, address: bytes, port: int, now: float) -> bytes:
        return bytes(70_000) if data == b"too much" else data

    async with serving(receive) as service, client_of(service.addresses[0]) as client:
        await client.send(b"too much")
        await client.send(b"little")
        assert await client.recv(100) == b"little"
        assert service.statistics().send_failures == 1


async def test_icmp_errors_about_answers_are_counted() -> None:
    """A client that is gone when its answer comes: its system says "port unreachable"."""
    listener = bind("127.0.0.1", 0, receive_buffer_bytes=BUFFER_BYTES)
    service = UdpService([listener], receive_datagram=echo, max_batch_datagrams=256)
    async with client_of(service.addresses[0]) as gone:
        source = gone.getsockname()
        await gone.send(b"answer me")
    listener.connect(source)  # Linux tells such errors to connected sockets alone
    async with trio.open_nursery() as nursery:
        nursery.start_soon(service.run)
        await trio.testing.wait_all_tasks_blocked()
        statistics = service.statistics()
        assert statistics.receive_failures + statistics.send_failures == 1
        with trio.socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            await client.bind(source)
            await client.connect(service.addresses[0])
            await client.send(b"me too")
            assert await client.recv(100) == b"me too"
        nursery.cancel_scope.cancel()


async def test_sockets_are_closed_at_the_end() -> None:
    listener = bind("127.0.0.1", 0, receive_buffer_bytes=BUFFER_BYTES)
    async with trio.open_nursery() as nursery:
        service = UdpService([listener], receive_datagram=echo, max_batch_datagrams=256)
        nursery.start_soon(service.run)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert listener.fileno() == -1


def test_the_receive_buffer_is_asked_for() -> None:
    with (
        bind("127.0.0.1", 0, receive_buffer_bytes=10_000) as small,
        bind("127.0.0.1", 0, receive_buffer_bytes=100_000) as large,
    ):
        sizes = [listener.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) for listener in (small, large)]
        assert sizes == [20_000, 200_000]  # socket(7): the system doubles it


def test_a_port_in_use_names_the_setting() -> None:
    with bind("127.0.0.1", 0, receive_buffer_bytes=BUFFER_BYTES) as first:
        port = first.getsockname()[1]
        with pytest.raises(StartError, match=rf"^udp\.listen 127\.0\.0\.1:{port}: address already in use$"):
            bind("127.0.0.1", port, receive_buffer_bytes=BUFFER_BYTES)


async def fuzz(*, count: int, seed: int) -> None:
    """Datagrams of all kinds at a real tracker; then a client must be served as if nothing had been."""
    rng = random.Random(seed)
    frontend = make_frontend()
    async with (
        serving(frontend.receive_datagram) as service,
        client_of(service.addresses[0], host="127.0.0.66") as fuzzer,
        client_of(service.addresses[0]) as client,
    ):
        await fuzzer.send(udp.pack_connect_request(TRANSACTION))
        connection_id = udp.parse_connect_answer(await fuzzer.recv(16))
        for number, data in enumerate(fuzzed_datagrams(rng, connection_id, count=count), 1):
            await fuzzer.send(data)
            if number % 100 == 0:  # fewer than the receive buffer holds
                while total(frontend) < number + 1:
                    await trio.lowlevel.checkpoint()
        assert total(frontend) == count + 1
        caller = Caller(frontend, host="127.0.0.1")
        await client.send(udp.pack_connect_request(TRANSACTION))
        connection_id = udp.parse_connect_answer(await client.recv(16))
        await client.send(caller.announce_packet(info_hash=b"afterwards, a client", connection_id=connection_id))
        assert udp.parse_announce_answer(await client.recv(2048), ipv6=False).incomplete == 1


async def test_fuzzed_datagrams() -> None:
    await fuzz(count=1_000, seed=1)


@pytest.mark.long
async def test_many_fuzzed_datagrams() -> None:
    await fuzz(count=20_000, seed=2)
