"""Datagrams in batches and one by one: the same answers to the same datagrams, whatever the system does."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from meshtracker.compiled import is_compiled
from meshtracker.network.datagrams import (
    SLOTS,
    BatchedDatagrams,
    Datagrams,
    NativeDatagrams,
    SingleDatagrams,
    datagrams,
)
from meshtracker.wire.udp import MAX_DATAGRAM_BYTES

WAYS: list[type[Datagrams]] = [SingleDatagrams, BatchedDatagrams, *([NativeDatagrams] if is_compiled() else [])]

pytestmark = pytest.mark.timeout(30)


@contextmanager
def sockets(host: str = "127.0.0.1") -> Iterator[tuple[socket.socket, socket.socket]]:
    """A listener that never blocks, and a client connected to it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as listener, socket.socket(family, socket.SOCK_DGRAM) as client:
        listener.bind((host, 0))
        listener.setblocking(False)
        client.connect(listener.getsockname())
        client.settimeout(5)
        yield listener, client


def reverse(data: bytes, address: bytes, port: int, now: float) -> bytes:
    return data[::-1]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_what_comes_is_handed_over_with_its_source(way: type[Datagrams], host: str) -> None:
    seen = []

    def receive(data: bytes, address: bytes, port: int, now: float) -> bytes:
        seen.append((data, address, port, now))
        return data[::-1]

    with sockets(host) as (listener, client):
        client.send(b"hello")
        exchange = way(listener)
        assert exchange.exchange(receive, 7.0, SLOTS) == 1
        assert client.recv(100) == b"olleh"
        packed = socket.inet_pton(listener.family, host)
        assert seen == [(b"hello", packed, client.getsockname()[1], 7.0)]
        assert exchange.exchange(receive, 8.0, SLOTS) == 0


@pytest.mark.parametrize("way", WAYS)
def test_an_ipv4_client_of_a_dual_stack_socket_has_its_ipv4_address(way: type[Datagrams]) -> None:
    seen = []

    def receive(data: bytes, address: bytes, port: int, now: float) -> bytes:
        seen.append(address)
        return data

    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as listener:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.bind(("::", 0))
        listener.setblocking(False)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(5)
            client.sendto(b"hello", ("127.0.0.1", listener.getsockname()[1]))
            assert way(listener).exchange(receive, 0.0, SLOTS) == 1
            assert client.recv(100) == b"hello"
    assert seen == [b"\x7f\0\0\1"]


@pytest.mark.parametrize("way", WAYS)
def test_no_more_than_asked_for_come_at_once_and_in_order(way: type[Datagrams]) -> None:
    with sockets() as (listener, client):
        for number in range(SLOTS + 6):
            client.send(b"%d" % number)
        exchange = way(listener)
        assert [exchange.exchange(reverse, 0.0, most) for most in (3, SLOTS, SLOTS)] == [3, SLOTS, 3]
        assert [client.recv(100)[::-1] for _ in range(SLOTS + 6)] == [b"%d" % number for number in range(SLOTS + 6)]


@pytest.mark.parametrize("way", WAYS)
def test_datagrams_of_every_length_and_answers_of_many(way: type[Datagrams]) -> None:
    """Answers that need more room than a batch has among them, and some that there are none to."""
    rng = random.Random(6)

    def receive(data: bytes, address: bytes, port: int, now: float) -> bytes | None:
        size = int.from_bytes(data[:2], "big") if len(data) > 1 else 0
        return None if size % 7 == 3 else data[:2] + bytes(size)

    with sockets() as (listener, client):
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 22)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        exchange = way(listener)
        for _ in range(40):
            sent = [rng.randrange(20_000).to_bytes(2, "big") + bytes(rng.randrange(1500)) for _ in range(8)]
            for data in sent:
                client.send(data)
            assert exchange.exchange(receive, 0.0, SLOTS) == len(sent)
            for data in sent:
                size = int.from_bytes(data[:2], "big")
                if size % 7 != 3:
                    assert client.recv(30_000) == data[:2] + bytes(size)
        assert (exchange.send_failures, exchange.receive_failures) == (0, 0)


@pytest.mark.parametrize("way", WAYS)
def test_what_is_too_long_is_cut(way: type[Datagrams]) -> None:
    with sockets() as (listener, client):
        client.send(bytes(MAX_DATAGRAM_BYTES + 50))
        way(listener).exchange(reverse, 0.0, SLOTS)
        assert client.recv(10_000) == bytes(MAX_DATAGRAM_BYTES)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("size", [70_000, 200_000], ids=["more than a datagram", "more than the buffer"])
def test_an_answer_that_cannot_be_sent_costs_no_other(way: type[Datagrams], size: int) -> None:
    def receive(data: bytes, address: bytes, port: int, now: float) -> bytes:
        return bytes(size) if data == b"much" else data

    with sockets() as (listener, client):
        for data in (b"one", b"much", b"two", b"much", b"much", b"three"):
            client.send(data)
        exchange = way(listener)
        assert exchange.exchange(receive, 0.0, SLOTS) == 6
        assert [client.recv(100) for _ in range(3)] == [b"one", b"two", b"three"]
        assert exchange.send_failures == 3


@pytest.mark.parametrize("way", WAYS)
def test_errors_of_the_socket_are_counted(way: type[Datagrams]) -> None:
    with sockets() as (listener, _):
        exchange = way(listener)
        listener.close()
        assert exchange.exchange(reverse, 0.0, SLOTS) == 0
        assert exchange.receive_failures == 1


@pytest.mark.parametrize("way", WAYS)
def test_a_crash_of_the_receiver_is_not_hidden(way: type[Datagrams]) -> None:
    def receive(data: bytes, address: bytes, port: int, now: float) -> bytes:
        raise RuntimeError("crash")

    with sockets() as (listener, client):
        client.send(b"hello")
        with pytest.raises(RuntimeError, match="crash"):
            way(listener).exchange(receive, 0.0, SLOTS)


def test_the_fastest_way_is_taken() -> None:
    with sockets() as (listener, _):
        assert isinstance(datagrams(listener), NativeDatagrams if is_compiled() else BatchedDatagrams)


def test_where_there_are_no_batches_one_by_one_does() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as neither:
        assert isinstance(datagrams(neither), SingleDatagrams)
