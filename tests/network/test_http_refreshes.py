"""`network/_http.c` beside its oracle: a front end that reads every request in Python says the same."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import quote_from_bytes

import pytest

from meshtracker.frontends.http import HttpFrontend
from meshtracker.frontends.http_connection import HttpConnection
from meshtracker.node.policy import TrackerPolicy
from meshtracker.swarm.access import Access
from meshtracker.wire.http_answer import decode_announce
from meshtracker.wire.http_response import parse_response
from tests.http_support import LIMITS, announce_target, request
from tests.sanitizers import run_sanitized
from tests.udp_support import make_node

try:
    from meshtracker.network._http import Refresher
except ImportError:  # these tests are not selected then
    Refresher = None  # type: ignore[assignment,misc]  # a class, or none where there is no such module

pytestmark = [pytest.mark.compiled, pytest.mark.timeout(100)]

HASHES = [bytes([number]) * 20 for number in range(1, 5)]
NAMES = (b"info_hash", b"peer_id", b"port", b"left", b"event", b"numwant", b"key", b"compact", b"ip", b"supportcrypto")
ODD_KEYS = (b"", b"77", b"00000000", b"0000000g")
FIELDS = (
    b"Host: tracker.example:6969",
    b"User-Agent: qBittorrent/4.5.2",
    b"Accept-Encoding: gzip",
    b"Connection: close",
    b"connection : Keep-Alive",
    b"CONNECTION: keep-alive, Upgrade",
    b"Content-Length: 0",
    b"Content-Length: 3",
    b"Transfer-Encoding: chunked",
    b"X-Connection: close",
    b"Connections: close",
)
USUAL = request(announce_target(key=b"0000ABCD", numwant=50, compact=1))


class Twins:
    """The same node twice, before one of which announces are answered in C as far as that can be."""

    def __init__(self, stack: ExitStack, access: Access | None = None) -> None:
        nodes = [make_node(policy=TrackerPolicy(announce_jitter_seconds=0), access=access) for _ in range(2)]
        self.native, self.oracle = (HttpFrontend(node=node) for node in nodes)
        self.refreshed = 0
        self._refresher = Refresher(7)
        self._ours, self._client = (stack.enter_context(end) for end in socket.socketpair())

    def refresh(self, data: bytes, address: bytes, now: float) -> tuple[bytes, bool] | None:
        """What the native one sends back by itself, if it does, and is the connection to be kept?"""
        self._client.sendall(data)
        outcome = self._refresher.receive(self._ours.fileno(), address, self.native.refreshes(now))
        if isinstance(outcome, bytes):
            assert outcome == data
            return None
        unsent, keep_alive = outcome
        assert not unsent
        self.native.count_refreshes(1)
        self.refreshed += 1
        return self._client.recv(65_536), keep_alive

    def ask(self, data: bytes, address: bytes, now: float) -> tuple[bytes, bytes]:
        """What both send back on a connection of their own; they leave it in the same state."""
        native, oracle = (
            HttpConnection(frontend=frontend, limits=LIMITS, address=address, now=now)
            for frontend in (self.native, self.oracle)
        )
        refreshed = self.refresh(data, address, now) if data else None
        if refreshed is None:
            answer = native.receive_data(data, now)
        else:
            answer, keep_alive = refreshed
            native.was_refreshed(now, keep_alive=keep_alive)
        answers = answer, oracle.receive_data(data, now)
        for name in ("should_close", "is_unread", "has_more", "is_idle", "deadline"):
            assert getattr(native, name) == getattr(oracle, name), (name, data)
        return answers


@contextmanager
def twins(access: Access | None = None) -> Iterator[Twins]:
    with ExitStack() as stack:
        yield Twins(stack, access)


def same(native: bytes, oracle: bytes) -> bool:
    """Equal, but for which peers an announce is given where there are more than it wants."""
    if native == oracle:
        return True
    answers = []
    for data in (native, oracle):
        response = parse_response(data, ended=True)
        assert response is not None
        answers.append(decode_announce(response.body))
    one, other = answers
    given = [len(answer.peers) // 6 + len(answer.peers6) // 18 for answer in answers]
    for answer in answers:
        answer.peers = answer.peers6 = b""
        answer.peer_ids = answer.peer_ids6 = ()
    return given[0] == given[1] < one.complete + one.incomplete and one == other


def rows(frontend: HttpFrontend) -> dict[bytes, list[tuple[object, bytes]]]:
    swarms = frontend._node.registry.swarms.items()
    return {key: sorted(entry for pack in swarm.packs() for entry in pack.entries()) for key, swarm in swarms}


def usual(rng: random.Random, port: int) -> dict[bytes, bytes]:
    """The parameters of a client that announces again, mostly as it did before."""
    event = rng.choice((b"",) * 20 + (b"started", b"stopped", b"completed", b"paused", b"odd"))
    values = {
        b"info_hash": quote_from_bytes(rng.choice(HASHES), safe="").encode(),
        b"peer_id": quote_from_bytes(b"-XX0001-%012d" % port, safe=rng.choice(("", "-0123456789"))).encode(),
        b"port": b"%d" % port,
        b"uploaded": b"0",
        b"left": b"%d" % (port % 2 if rng.random() < 0.95 else rng.choice((0, 7, 2**63))),
        b"key": b"%08X" % (port * 1_000_003) if rng.random() < 0.95 else rng.choice(ODD_KEYS),
        b"numwant": rng.choice((b"50", b"3", b"0", b"200", b"1000", b"-1", b"", b"x")) if port % 3 else b"50",
        b"compact": rng.choice((b"1",) * 9 + (b"0", b"")),
    }
    if event:
        values[b"event"] = event
    return values


def head(values: Iterable[tuple[bytes, bytes]], version: bytes, fields: Iterable[bytes]) -> bytes:
    query = b"&".join(name + b"=" + value for name, value in values)
    return b"\r\n".join([b"GET /announce?%b HTTP/%b" % (query, version), *fields, b"", b""])


def story(rng: random.Random, acts: int) -> Iterator[tuple[bytes, bytes, float]]:
    """Requests, the addresses they come from, and when."""
    now = 0.0
    for _ in range(acts):
        now += rng.choice((0.0, 0.0, 0.1, 1.0, 400.0 if rng.random() < 0.02 else 0.0))
        port = rng.randrange(1, 13)
        values = list(usual(rng, port).items())
        if rng.random() < 0.1:
            rng.shuffle(values)
        if rng.random() < 0.05:
            values.append((rng.choice(NAMES), rng.choice((b"", b"1", b"%41", b"%4", b"192.0.2.7", b"0", b"stopped"))))
        if rng.random() < 0.03:
            values.pop(rng.randrange(len(values)))
        fields = tuple(rng.choices(FIELDS, k=rng.randrange(4))) if rng.random() < 0.2 else FIELDS[:3]
        version = b"1.1" if rng.random() < 0.95 else rng.choice((b"1.0", b"1.2", b"2"))
        address = bytes((192, 0, 2, port))
        if rng.random() < 0.05:
            # Another's address; IPv6 clients are few, or no swarm would be without one.
            address = bytes(15) + b"\1" if rng.random() < 0.02 else bytes((192, 0, 2, 1))
        yield head(values, version, fields), address, now


@pytest.mark.parametrize(
    "access",
    [None, Access("allow", frozenset(HASHES[:2])), Access("deny", frozenset(HASHES[:1]))],
    ids=["open", "allow", "deny"],
)
def test_both_answer_the_same_and_come_to_the_same_rows(access: Access | None) -> None:
    with twins(access) as pair:
        for data, address, now in story(random.Random(1), 6000):
            native, oracle = pair.ask(data, address, now)
            assert same(native, oracle), (data, native, oracle)
        assert 600 < pair.refreshed < 5800, "of both kinds there were some"
        assert rows(pair.native) == rows(pair.oracle)
        assert pair.native.statistics() == pair.oracle.statistics()
        assert pair.native._node.statistics(0.0).tracker == pair.oracle._node.statistics(0.0).tracker


def test_what_is_not_one_whole_usual_request_is_for_python() -> None:
    address = bytes((192, 0, 2, 1))
    with twins() as pair:
        pair.ask(USUAL, address, 0.0)
        refreshed = pair.refresh(USUAL, address, 0.0)
        assert refreshed is not None
        assert refreshed[1]
        doubled = USUAL + USUAL
        for odd in (doubled, USUAL + b"x", b"\r\n" + USUAL, USUAL.replace(b"GET", b"HEAD"), USUAL[1:]):
            assert pair.refresh(odd, address, 0.0) is None, odd
        for cut in range(1, len(USUAL)):
            assert pair.refresh(USUAL[:cut], address, 0.0) is None, cut
        assert pair.refresh(USUAL, bytes(16), 0.0) is None


def test_a_client_that_reads_nothing_is_owed_the_rest() -> None:
    address = bytes((192, 0, 2, 1))
    with twins() as pair:
        pair.ask(USUAL, address, 0.0)
        pair._ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        sent = 0
        for _ in range(1000):
            pair._client.sendall(USUAL)
            outcome = pair._refresher.receive(pair._ours.fileno(), address, pair.native.refreshes(0.0))
            assert not isinstance(outcome, bytes)
            unsent, keep_alive = outcome
            assert keep_alive
            if unsent:
                break
            sent += 1
        assert sent
        received = pair._client.recv(1_000_000, socket.MSG_WAITALL | socket.MSG_DONTWAIT)
        whole = len(received + unsent) // (sent + 1)
        assert (received + unsent)[-whole:] == received[:whole]


def test_an_error_of_the_network_is_one_of_the_call() -> None:
    address = bytes((192, 0, 2, 1))
    with twins() as pair:
        with pytest.raises(BlockingIOError):
            pair._refresher.receive(pair._ours.fileno(), address, pair.native.refreshes(0.0))
        with pytest.raises(OSError, match="Bad file descriptor"):
            pair._refresher.receive(-1, address, pair.native.refreshes(0.0))
        pair.ask(USUAL, address, 0.0)
        pair._client.sendall(USUAL)
        pair._client.close()
        outcome = pair._refresher.receive(pair._ours.fileno(), address, pair.native.refreshes(0.0))
        assert not isinstance(outcome, bytes)
        unsent, _ = outcome
        assert unsent, "it was answered, and whoever sends that meets the error"
        with pytest.raises(BrokenPipeError):
            pair._ours.send(unsent)


def fuzz(seed: int, count: int) -> None:
    """Requests with bytes changed, cut out and put in; run by itself under sanitizers too."""
    rng = random.Random(seed)
    with twins() as pair:
        for data, address, now in story(rng, count):
            turned = bytearray(data)
            for _ in range(rng.choice((0, 1, 1, 3))):
                at = rng.randrange(len(turned))
                put_in = rng.choice((b"", b"%", b"&", b"=", b"\r\n", b" ", rng.randbytes(1)))
                turned[at : at + rng.choice((0, 1, 1, 5))] = put_in
            whole = bytes(turned)
            native, oracle = pair.ask(whole, address, now)
            assert same(native, oracle), (whole, native, oracle)
        assert rows(pair.native) == rows(pair.oracle)


def test_fuzzed_requests() -> None:
    fuzz(3, 6000)


@pytest.mark.long
def test_fuzzed_requests_under_sanitizers(tmp_path: Path) -> None:
    run_sanitized(
        "from tests.network.test_http_refreshes import fuzz\nfor seed in range(4): fuzz(seed, 15_000)", into=tmp_path
    )
