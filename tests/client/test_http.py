"""The HTTP tracker client: against the real service, and against trackers that are slow, odd and broken."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio
import trio.testing

from meshtracker.client.http import HttpTracker
from meshtracker.errors import ClientError, WireError
from meshtracker.model import SCRAPE_UNKNOWN, AnnounceRequest, Event, ScrapeAnswer
from meshtracker.network.http import bind
from meshtracker.wire.compact import iterate_peers, iterate_peers6, packed_address
from meshtracker.wire.http_response import ok_response
from tests.http_support import HASH
from tests.network.http_service import make_service, running

ANSWER = ok_response(b"d8:intervali1800ee", keep_alive=False)

pytestmark = pytest.mark.timeout(30)


@asynccontextmanager
async def tracker_at(host: str = "127.0.0.1") -> AsyncIterator[str]:
    """A real tracker; yields its announce URL."""
    async with running(make_service(None, host)) as (_, port):
        yield f"http://[{host}]:{port}/announce" if ":" in host else f"http://{host}:{port}/announce"


@asynccontextmanager
async def scripted_tracker(*pieces: bytes, end: bool = True) -> AsyncIterator[tuple[str, list[bytes]]]:
    """One that answers anything with ``pieces``; yields its root URL, and the requests as they come."""
    requests: list[bytes] = []

    async def serve(stream: trio.SocketStream) -> None:
        async with stream:
            requests.append(await stream.receive_some(10_000))
            for piece in pieces:
                await stream.send_all(piece)
                await trio.testing.wait_all_tasks_blocked(0.005)
            if not end:
                await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        [listener] = await nursery.start(partial(trio.serve_tcp, serve, 0, host="127.0.0.1"))
        yield f"http://127.0.0.1:{listener.socket.getsockname()[1]}", requests
        nursery.cancel_scope.cancel()


def request_of(number: int, *, event: Event = Event.STARTED, left: int = 10, peer_ids: bool = False) -> AnnounceRequest:
    return AnnounceRequest(
        HASH, b"%020d" % number, number, b"", 1000 + number, event=event, left=left, with_peer_ids=peer_ids
    )


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_a_real_tracker(host: str) -> None:
    async with tracker_at(host) as url, HttpTracker(url) as tracker:
        assert (await tracker.announce(request_of(1, left=0))).complete == 1
        answer = await tracker.announce(request_of(2))
        peers = {*iterate_peers(answer.peers), *iterate_peers6(answer.peers6)}
        assert peers == {(packed_address(host), 1001)}
        assert answer.peer_ids == answer.peer_ids6 == ()
        assert (answer.complete, answer.incomplete, answer.min_interval_seconds) == (1, 1, 900)
        answer = await tracker.announce(request_of(2, peer_ids=True))
        assert answer.peer_ids + answer.peer_ids6 == (b"%020d" % 1,)
        await tracker.announce(request_of(2, event=Event.STOPPED))
        assert await tracker.scrape([bytes(20), HASH]) == [SCRAPE_UNKNOWN, ScrapeAnswer(1, 0, 0, 0)]


async def test_the_local_address_can_be_chosen() -> None:
    async with tracker_at() as url:
        await HttpTracker(url, local_address="127.0.0.77").announce(request_of(1))
        answer = await HttpTracker(url).announce(request_of(2))
        assert list(iterate_peers(answer.peers)) == [(packed_address("127.0.0.77"), 1001)]


async def test_failures_are_client_errors() -> None:
    async with tracker_at() as url:
        with pytest.raises(ClientError, match="scrape without info_hash"):
            await HttpTracker(url).scrape([])


async def test_a_url_may_have_a_query_of_its_own() -> None:
    async with scripted_tracker(ANSWER) as (root, requests):
        await HttpTracker(root + "/announce?passkey=1").announce(request_of(1))
        await HttpTracker(root).announce(request_of(1))
    assert requests[0].startswith(b"GET /announce?passkey=1&info_hash=")
    assert f"\r\nHost: {root.removeprefix('http://')}\r\n".encode() in requests[0]
    assert requests[1].startswith(b"GET /?info_hash=")


@pytest.mark.parametrize(
    ("path", "scrape"),
    [
        ("/announce", b"/scrape"),
        ("/x/announce.php", b"/x/scrape.php"),
        ("/announce/announce2?a=b", b"/announce/scrape2"),
    ],
)
async def test_the_scrape_url_comes_of_the_announce_url(path: str, scrape: bytes) -> None:
    async with scripted_tracker(ok_response(b"d5:filesdee", keep_alive=False)) as (root, requests):
        assert await HttpTracker(root + path).scrape([HASH]) == [SCRAPE_UNKNOWN]
    assert requests[0].startswith(b"GET " + scrape + b"?")
    with pytest.raises(ClientError, match="no scrape"):
        await HttpTracker("http://127.0.0.1/tracker").scrape([HASH])


@pytest.mark.parametrize(
    "pieces",
    [
        [ANSWER],
        [ANSWER[at : at + 1] for at in range(len(ANSWER))],
        [b"HTTP/1.1 200 OK\r\n\r\nd8:intervali1", b"800ee"],
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nd8:interv\r\n", b"9\r\nali1800ee\r\n0\r\n\r\n"],
    ],
)
async def test_any_way_to_send_a_body(pieces: list[bytes]) -> None:
    async with scripted_tracker(*pieces) as (root, _):
        assert (await HttpTracker(root).announce(request_of(1))).interval_seconds == 1800


async def test_a_tracker_need_not_close() -> None:
    async with scripted_tracker(ANSWER, end=False) as (root, _):
        assert (await HttpTracker(root).announce(request_of(1))).interval_seconds == 1800


@pytest.mark.parametrize(
    ("piece", "problem"),
    [
        (b"", "ended after 0 bytes"),
        (ANSWER[:-1], "ended after 17 bytes of an HTTP body"),
        (b"SSH-2.0\r\n\r\n", "not an HTTP response"),
        (b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n", "HTTP status 302 Found"),
        (b"HTTP/1.1 200 OK\r\n\r\n<html>", "no bencoded value"),
        (b"x" * 5_000_000, "more than"),
    ],
)
async def test_what_is_no_tracker_s_answer(piece: bytes, problem: str) -> None:
    async with scripted_tracker(piece) as (root, _):
        with pytest.raises(WireError, match=problem):
            await HttpTracker(root).announce(request_of(1))


async def test_a_tracker_that_does_not_answer(autojump_clock: trio.testing.MockClock) -> None:
    async with scripted_tracker(ANSWER[:-1], end=False) as (root, _):
        with pytest.raises(trio.TooSlowError):
            await HttpTracker(root, timeout_seconds=20.0).announce(request_of(1))


async def test_a_tracker_that_is_not_there() -> None:
    with bind("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(OSError, match="all attempts to connect"):
        await HttpTracker(f"http://127.0.0.1:{port}/announce").announce(request_of(1))


@pytest.mark.parametrize("url", ["", "udp://a:1/announce", "https://a/announce", "http:///announce", "http://a:x/"])
def test_what_is_no_url_of_an_http_tracker(url: str) -> None:
    with pytest.raises(ValueError, match=r"is not http://|Port could not"):
        HttpTracker(url)
