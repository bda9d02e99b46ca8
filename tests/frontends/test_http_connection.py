"""One HTTP connection as a conversation: split, pipelined, too long, too slow, and fuzzed."""

from __future__ import annotations

import random

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtracker.frontends.http_connection import HttpConnection, HttpLimits
from meshtracker.wire.http_response import Response, parse_response
from tests.http_support import HASH, LIMITS, Caller, announce_target, drain, fuzzed_requests, make_frontend, request

HEALTH = request(b"/health")
OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: keep-alive\r\nContent-Length: 3\r\n\r\nok\n"
CLOSING_OK = OK.replace(b"keep-alive", b"close")


def connect(limits: HttpLimits = LIMITS, now: float = 0.0) -> HttpConnection:
    return Caller(make_frontend(), now=now).connect(limits)


def responses(data: bytes) -> list[Response]:
    """The responses in ``data``, one after another."""
    found = []
    while data:
        response = parse_response(data, ended=False)
        assert response is not None
        found.append(response)
        data = data[data.index(b"\r\n\r\n") + 4 + len(response.body) :]
    return found


@pytest.mark.parametrize(
    "requests",
    [
        HEALTH,
        request(announce_target()),
        request(b"/health", version=b"HTTP/1.0"),
        HEALTH * 3,
        b"\r\n\n" + HEALTH + b"\r\n" + b"GET /health HTTP/1.1\n\n" + HEALTH + b"\n\r\n",
        HEALTH + request(b"/health", b"Connection: close") + HEALTH,
        HEALTH + b"nonsense\r\n\r\n" + HEALTH,
        request(b"/health", b"Content-Length: 5") + b"12345",
    ],
)
def test_where_a_request_is_cut_does_not_matter(requests: bytes) -> None:
    whole = connect()
    # The interval has a random part, which two nodes from the same seed have in common.
    expected = drain(whole, requests)
    assert expected
    for cut in range(len(requests) + 1):
        connection = connect()
        assert drain(connection, requests[:cut]) + drain(connection, requests[cut:]) == expected
        assert connection.should_close is whole.should_close
        assert connection.deadline == whole.deadline
    connection = connect()
    assert b"".join(drain(connection, requests[at : at + 1]) for at in range(len(requests))) == expected


@given(st.integers(0), st.lists(st.integers(1, 400), min_size=1))
def test_where_anything_is_cut_does_not_matter(seed: int, sizes: list[int]) -> None:
    data = b"".join(fuzzed_requests(random.Random(seed), count=5))
    whole, cut = connect(), connect()
    expected = drain(whole, data)
    answers: list[bytes] = []
    while data:
        size = sizes[len(answers) % len(sizes)]
        answers.append(drain(cut, data[:size]))
        data = data[size:]
    assert b"".join(answers) == expected
    assert cut.should_close is whole.should_close


@given(st.lists(st.binary(max_size=300), max_size=5))
def test_arbitrary_bytes(pieces: list[bytes]) -> None:
    connection = connect()
    for piece in pieces:
        drain(connection, piece)
    assert connection.should_close or drain(connection, b"x\r\n\r\n") != b""


def test_quirk_17_keep_alive_and_pipelining_in_order() -> None:
    targets = [announce_target(info_hash=b"%020d" % number, left=number % 2) for number in range(20)]
    connection = connect()
    answers = responses(drain(connection, b"".join(map(request, targets))))
    assert [b"8:completei1e" in answer.body for answer in answers] == [number % 2 == 0 for number in range(20)]
    assert not connection.should_close
    assert drain(connection, HEALTH) == OK


def test_pipelined_requests_are_answered_in_bounded_portions() -> None:
    connection = connect(attrs.evolve(LIMITS, max_head_bytes=1 << 20))
    answers = [connection.receive_data(HEALTH * 3000, 0.0)]
    while connection.has_more:
        answers.append(connection.resume(0.0))
    assert len(answers) > 3
    assert max(map(len, answers)) < 16_384 + len(OK)
    assert b"".join(answers) == OK * 3000


def test_after_the_last_response_nothing_is_answered() -> None:
    connection = connect()
    assert drain(connection, request(b"/health", b"Connection: close")) == CLOSING_OK
    assert connection.should_close
    assert not connection.is_unread
    assert connection.receive_data(HEALTH, 0.0) == b""


def test_what_comes_behind_the_last_request_is_left_unread() -> None:
    connection = connect()
    assert drain(connection, request(b"/health", b"Connection: close") + HEALTH) == CLOSING_OK
    assert connection.is_unread
    assert not connection.has_more


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET /health\r\n\r\n", 400),
        (request(b"/health", b"Content-Length: 1") + b"x", 400),
        (request(b"/health", b"Transfer-Encoding: chunked"), 400),
        (request(b"/health", version=b"HTTP/2.0"), 505),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n\n", 400),
    ],
)
def test_what_cannot_be_read_on_is_refused_and_closed(data: bytes, status: int) -> None:
    connection = connect(now=5.0)
    [response] = responses(drain(connection, data + HEALTH, 5.0))
    assert response.status == status
    assert connection.should_close
    assert connection.is_unread
    assert connection.deadline == 7.0


def test_heads_are_bounded_wherever_they_are_cut() -> None:
    longest = request(b"/health", b"Padding: ")
    longest = longest.replace(b"Padding: ", b"Padding: " + b"x" * (LIMITS.max_head_bytes - len(longest)))
    too_long = longest.replace(b"xx", b"xxx", 1)
    refusal = drain(connect(), too_long)
    assert responses(refusal)[0].reason == "Request-URI Too Long"
    for cut in (0, 1, 1000, len(longest) - 4, len(longest) - 1, len(longest), len(too_long) - 1):
        connection = connect()
        assert drain(connection, longest[:cut]) + drain(connection, longest[cut:]) == OK
        connection = connect()
        assert drain(connection, too_long[:cut]) + drain(connection, too_long[cut:]) == refusal
        assert connection.is_unread


def test_a_head_without_end_is_refused_as_soon_as_it_is_too_long() -> None:
    connection = connect()
    for _ in range(LIMITS.max_head_bytes):
        assert drain(connection, b"x") == b""
    assert drain(connection, b"x").startswith(b"HTTP/1.1 414 Request-URI Too Long\r\n")


def test_deadlines() -> None:
    connection = connect(now=100.0)
    assert connection.deadline == 110.0
    connection.receive_data(HEALTH[:5], 105.0)
    assert connection.deadline == 115.0
    connection.receive_data(HEALTH[5:10], 114.0)
    assert connection.deadline == 115.0  # or a byte now and then would keep it open
    connection.receive_data(HEALTH[10:], 114.5)
    assert connection.deadline == 144.5
    connection.receive_data(b"\r\n\r\n", 140.0)
    assert connection.deadline == 144.5
    connection.receive_data(HEALTH + HEALTH[:5], 141.0)
    assert connection.deadline == 151.0


def test_a_connection_holds_no_more_than_a_head() -> None:
    connection = connect()
    for _ in range(1000):
        drain(connection, b"\r\n" * 500)
    assert drain(connection, HEALTH) == OK


def fuzz(seed: int, count: int) -> None:
    """Invariant: whatever came before, on whatever connection, a valid announce is answered."""
    rng = random.Random(seed)
    frontend = make_frontend(full_scrape=True)
    caller = Caller(frontend)
    connection = caller.connect()
    for data in fuzzed_requests(rng, count=count):
        cut = rng.randrange(len(data) + 1)
        for part in (data[:cut], data[cut:]):
            drain(connection, part, caller.now)
        caller.now += 0.001
        if connection.should_close or rng.random() < 0.05:
            caller.host = rng.choice(["192.0.2.1", "198.51.100.200", "2001:db8::1"])
            connection = caller.connect()
    caller.announce(info_hash=b"a hash never seen!!!", key=1)
    assert caller.announce(info_hash=b"a hash never seen!!!", key=1).incomplete == 1
    statistics = frontend.statistics()
    assert min(attrs.astuple(statistics)) > count // 1000


def test_fuzz() -> None:
    fuzz(seed=1, count=5_000)


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", range(4))
def test_fuzz_long(seed: int) -> None:
    fuzz(seed=seed, count=100_000)


def test_the_node_is_the_same_for_all_connections() -> None:
    caller = Caller(make_frontend())
    drain(caller.connect(), request(announce_target()))
    assert caller.scrape(HASH)[0].incomplete == 1
