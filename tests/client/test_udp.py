"""The UDP tracker client: against the real service, and against trackers that lose, garble and refuse."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from meshtracker.client.udp import UdpTracker
from meshtracker.errors import ClientError, WireError
from meshtracker.model import AnnounceRequest, Event
from meshtracker.network.datagrams import ReceiveDatagram
from meshtracker.network.udp import UdpService, bind
from meshtracker.swarm.access import Access
from meshtracker.wire import udp
from meshtracker.wire.compact import iterate_peers, iterate_peers6, packed_address
from tests.udp_support import HASH, make_frontend, make_node

ID = b"a tracker's id"[:8]

pytestmark = pytest.mark.timeout(30)


@asynccontextmanager
async def tracker_at(receive_datagram: ReceiveDatagram, host: str = "127.0.0.1") -> AsyncIterator[tuple[str, int]]:
    service = UdpService(
        [bind(host, 0, receive_buffer_bytes=100_000)], receive_datagram=receive_datagram, max_batch_datagrams=256
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(service.run)
        yield service.addresses[0]
        nursery.cancel_scope.cancel()


def never(number: int, answer: bytes) -> None:
    """Answer nothing."""


class ScriptedTracker:
    """Answers as BEP 15 has it unless ``alter`` makes something else of the answer; notes what came and when."""

    def __init__(self, alter: Callable[[int, bytes], bytes | None] = lambda _, answer: answer) -> None:
        self.alter = alter
        self.received: list[tuple[float, bytes]] = []

    def receive_datagram(self, data: bytes, address: bytes, port: int, now: float) -> bytes | None:
        del address, port
        self.received.append((now, data))
        transaction = data[12:16]
        if data[8:12] == udp.CONNECT:
            answer = udp.pack_connect_answer(transaction, ID)
        elif data[8:12] == udp.ANNOUNCE:
            answer = udp.ANNOUNCE + transaction + (1800).to_bytes(4) + bytes(8)
        else:
            answer = udp.pack_scrape_answer(transaction, [])
        return self.alter(len(self.received), answer)

    @property
    def actions(self) -> list[int]:
        return [data[11] for _, data in self.received]


def a_request(*, port: int = 6881, event: Event = Event.STARTED, left: int = 5) -> AnnounceRequest:
    return AnnounceRequest(
        info_hash=HASH,
        peer_id=b"-MT0001-%012d" % port,
        key=port,
        address=b"",
        port=port,
        event=event,
        left=left,
        numwant=50,
    )


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_announce_and_scrape(host: str) -> None:
    async with (
        tracker_at(make_frontend().receive_datagram, host) as (_, port),
        UdpTracker(host, port) as first,
        UdpTracker(host, port) as second,
    ):
        await first.announce(a_request(port=6881, left=0), url=b"/announce?x=y")
        answer = await second.announce(a_request(port=6882))
        peers = [*iterate_peers(answer.peers), *iterate_peers6(answer.peers6)]
        assert peers == [(packed_address(host), 6881)]
        assert (answer.complete, answer.incomplete) == (1, 1)
        [counts, unknown] = await first.scrape([HASH, bytes(20)])
        assert (counts.complete, counts.incomplete, unknown.complete) == (1, 1, 0)


async def test_it_sends_from_the_local_address() -> None:
    async with tracker_at(make_frontend().receive_datagram) as (host, port):
        async with UdpTracker(host, port, local_address="127.9.8.7") as tracker:
            await tracker.announce(a_request())
        async with UdpTracker(host, port) as other:
            answer = await other.announce(a_request(port=7000))
        assert list(iterate_peers(answer.peers)) == [(b"\x7f\x09\x08\x07", 6881)]


async def test_the_trackers_refusal_is_raised_and_the_next_request_is_served() -> None:
    node = make_node(access=Access("deny", frozenset({HASH})))
    async with tracker_at(make_frontend(node).receive_datagram) as (host, port), UdpTracker(host, port) as tracker:
        with pytest.raises(ClientError, match="not registered"):
            await tracker.announce(a_request())
        assert len(await tracker.scrape([HASH])) == 1


async def test_options_are_sent() -> None:
    script = ScriptedTracker()
    async with tracker_at(script.receive_datagram) as (host, port), UdpTracker(host, port) as tracker:
        await tracker.announce(a_request(), url=b"/announce/" + b"k" * 300)
    assert udp.announced_url(script.received[-1][1]) == b"/announce/" + b"k" * 300


async def test_a_connection_id_is_used_for_a_minute(autojump_clock: trio.testing.MockClock) -> None:
    script = ScriptedTracker()
    async with tracker_at(script.receive_datagram) as (host, port), UdpTracker(host, port) as tracker:
        for pause in (0, 59.9, 0.1):
            await trio.sleep(pause)
            await tracker.announce(a_request())
    assert script.actions == [0, 1, 1, 0, 1]
    assert all(data[:8] == ID for _, data in script.received if data[11] == 1)


async def test_lost_packets_are_sent_again_at_bep_15s_times(autojump_clock: trio.testing.MockClock) -> None:
    script = ScriptedTracker(lambda number, answer: answer if number in (3, 5, 6) else None)
    async with tracker_at(script.receive_datagram) as (host, port), UdpTracker(host, port) as tracker:
        start = trio.current_time()
        await tracker.announce(a_request())
    assert [round(now - start) for now, _ in script.received] == [0, 15, 45, 45, 105, 105]
    assert script.actions == [0, 0, 0, 1, 0, 1]  # the first id is a minute old when the announce has to be sent again


async def test_a_connection_outlives_a_lost_announce(autojump_clock: trio.testing.MockClock) -> None:
    script = ScriptedTracker(lambda number, answer: answer if number != 2 else None)
    async with tracker_at(script.receive_datagram) as (host, port), UdpTracker(host, port) as tracker:
        await tracker.announce(a_request())
    assert script.actions == [0, 1, 1]
    assert len({data[12:16] for _, data in script.received}) == 1


async def test_it_gives_up_after_the_last_retransmission(autojump_clock: trio.testing.MockClock) -> None:
    script = ScriptedTracker(never)
    async with (
        tracker_at(script.receive_datagram) as (host, port),
        UdpTracker(host, port, first_timeout_seconds=1.0, max_retransmissions=3) as tracker,
    ):
        start = trio.current_time()
        with pytest.raises(trio.TooSlowError, match=f"udp://{host}:{port}"):
            await tracker.announce(a_request())
        assert trio.current_time() - start == pytest.approx(1 + 2 + 4 + 8)
    assert script.actions == [0, 0, 0, 0]


async def test_by_default_it_waits_as_long_as_bep_15(autojump_clock: trio.testing.MockClock) -> None:
    script = ScriptedTracker(never)
    async with tracker_at(script.receive_datagram) as (host, port), UdpTracker(host, port) as tracker:
        start = trio.current_time()
        with pytest.raises(trio.TooSlowError):
            await tracker.scrape([HASH])
        assert trio.current_time() - start == pytest.approx(sum(15 * 2**n for n in range(9)))


async def test_answers_to_others_are_passed_over(autojump_clock: trio.testing.MockClock) -> None:
    def alter(number: int, answer: bytes) -> bytes:
        match number:
            case 1:
                return answer[:4] + bytes(byte ^ 0xFF for byte in answer[4:8]) + answer[8:]
            case 2:
                return udp.SCRAPE + answer[4:]
            case 3:
                return answer[:7]
        return answer

    script = ScriptedTracker(alter)
    async with tracker_at(script.receive_datagram) as (host, port), UdpTracker(host, port) as tracker:
        assert (await tracker.announce(a_request())).interval_seconds == 1800
    assert script.actions == [0, 0, 0, 0, 1]


async def test_a_torn_answer_is_a_wire_error() -> None:
    script = ScriptedTracker(lambda number, answer: answer[:12] if number == 2 else answer)
    async with tracker_at(script.receive_datagram) as (host, port), UdpTracker(host, port) as tracker:
        with pytest.raises(WireError):
            await tracker.announce(a_request())


async def test_a_restarted_tracker_is_asked_again_with_a_fresh_id() -> None:
    frontend = make_frontend(secret=b"before")

    def receive(data: bytes, address: bytes, port: int, now: float) -> bytes | None:
        return frontend.receive_datagram(data, address, port, now)

    async with tracker_at(receive) as (host, port), UdpTracker(host, port) as tracker:
        await tracker.announce(a_request())
        frontend = make_frontend(secret=b"after")
        assert (await tracker.announce(a_request())).incomplete == 1
        statistics = frontend.statistics()
        assert (statistics.bad_connection_ids, statistics.connects, statistics.announces) == (1, 1, 1)


async def test_requests_of_several_tasks_wait_for_each_other() -> None:
    async with tracker_at(make_frontend().receive_datagram) as (host, port), UdpTracker(host, port) as tracker:
        answers = []

        async def announce(peer_port: int) -> None:
            answers.append(await tracker.announce(a_request(port=peer_port)))

        async with trio.open_nursery() as nursery:
            for peer_port in range(7000, 7010):
                nursery.start_soon(announce, peer_port)
        assert sorted(len(answer.peers) // 6 for answer in answers) == list(range(10))


async def test_a_port_where_nobody_listens_is_told_at_once() -> None:
    with bind("127.0.0.1", 0, receive_buffer_bytes=100_000) as listener:
        host, port = listener.getsockname()
    async with UdpTracker(host, port) as tracker:
        with pytest.raises(ConnectionRefusedError):
            await tracker.announce(a_request())


async def test_it_can_be_used_again_after_close() -> None:
    async with tracker_at(make_frontend().receive_datagram) as (host, port):
        tracker = UdpTracker(host, port)
        tracker.close()
        await tracker.announce(a_request())
        tracker.close()
        await tracker.announce(a_request())
        tracker.close()
