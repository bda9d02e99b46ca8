"""The HTTP service on loopback sockets, as it should be: what clients get, when, and what is left at the end."""

from __future__ import annotations

import socket

import pytest
import trio
import trio.testing

from meshtracker.errors import StartError
from meshtracker.network.http import ACCEPTED_AT_ONCE, TURN_SECONDS, bind
from meshtracker.wire.http_answer import decode_announce
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


class DearConnection:
    """Each of its requests takes longer than a turn; only an answer in the lobby takes none."""

    deadline = float("inf")
    should_close = is_unread = has_more = is_idle = False

    def __init__(self, clock: trio.testing.MockClock, turns: list[str]) -> None:
        self._clock = clock
        self._turns = turns

    def was_refreshed(self, now: float, *, keep_alive: bool) -> None:
        raise AssertionError("such a connection never comes from the lobby")

    def receive_data(self, data: bytes, now: float) -> bytes:
        self._clock.jump(2 * TURN_SECONDS)
        self._turns.append("request")
        return OK

    def resume(self, now: float) -> bytes:
        return b""


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


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_announces_that_change_nothing_are_answered_as_the_first_was(host: str) -> None:
    """On connections that are kept and on such as are not, wherever they are answered."""
    frontend = make_frontend()
    service = make_service(frontend, host)
    target = announce_target(key=b"0000ABCD")
    async with running(service) as address:
        for ended in range(5):
            assert await announce(address, key=b"0000ABCD") == 1
            await settled()
            assert (service.statistics().accepted, service.statistics().connections) == (ended + 1, 0)
        async with await trio.open_tcp_stream(*address) as stream:
            for _ in range(5):
                await stream.send_all(request(target))
                await settled()
                head, _, body = (await stream.receive_some()).partition(b"\r\n\r\n")
                assert b"Connection: keep-alive" in head
                assert decode_announce(body).incomplete == 1
            assert service.statistics().connections == 1
            await stream.send_all(request(target) * 3 + request(target, CLOSE))
            assert (await receive_all(stream)).count(b"HTTP/1.1 200 OK") == 4
    assert service.statistics().connections == 0
    assert frontend.statistics().announces == 14
    assert frontend._node.statistics(trio.current_time()).tracker.announces == 14


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


async def test_others_get_their_turn_within_a_batch(mock_clock: trio.testing.MockClock) -> None:
    """However long its requests take."""
    turns: list[str] = []

    async def other() -> None:
        while True:
            await trio.lowlevel.checkpoint()
            turns.append("other")

    service = make_service(open_connection=lambda address, now: DearConnection(mock_clock, turns), refreshes=False)
    clients = [socket.create_connection(service.addresses[0]) for _ in range(10)]
    async with running(service):
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


async def test_dear_requests_of_new_connections_do_not_take_one_turn_together(
    mock_clock: trio.testing.MockClock,
) -> None:
    """Nor beside announces that change nothing, and so cost no time worth asking for."""
    frontend = make_frontend()
    turns: list[str] = []

    async def other() -> None:
        while True:
            await trio.lowlevel.checkpoint()
            turns.append("other")

    refresh = request(announce_target(key=b"0000ABCD"), CLOSE)
    service = make_service(frontend, open_connection=lambda address, now: DearConnection(mock_clock, turns))
    clients = [socket.create_connection(service.addresses[0]) for _ in range(8 * ACCEPTED_AT_ONCE)]
    async with running(make_service(frontend)) as address:
        assert await announce(address, key=b"0000ABCD") == 1
    for number, client in enumerate(clients):
        client.sendall(HEALTH if number % 8 else refresh)
    async with running(service), trio.open_nursery() as nursery:
        nursery.start_soon(other)
        while turns.count("request") < 7 * ACCEPTED_AT_ONCE:
            await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()
    for client in clients:
        client.close()
    longest = max(len(run.split()) for run in " ".join(turns).split("other"))
    assert longest <= 2 * ACCEPTED_AT_ONCE


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
