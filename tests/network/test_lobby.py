"""The lobby, and `network/_http.c`, beside their oracle: a front end that reads every request says the same."""

from __future__ import annotations

import errno
import os
import random
import select
import socket
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import quote_from_bytes

import pytest

from meshtracker.frontends.http import HttpFrontend
from meshtracker.frontends.http_connection import HttpConnection
from meshtracker.network.lobby import Lobby, Other, PlainLobby
from meshtracker.node.policy import TrackerPolicy
from meshtracker.swarm.access import Access
from meshtracker.wire.http_answer import decode_announce
from meshtracker.wire.http_response import parse_response
from tests.http_support import LIMITS, announce_target, request
from tests.sanitizers import run_sanitized
from tests.udp_support import make_node

pytestmark = pytest.mark.timeout(100)

LOBBIES = tuple(dict.fromkeys((Lobby, PlainLobby)))
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
    """The same node twice, before one of which announces are answered in a lobby as far as that can be."""

    def __init__(self, stack: ExitStack, kind: type[Lobby], access: Access | None, max_peers: int) -> None:
        policy = TrackerPolicy(announce_jitter_seconds=0)
        nodes = [make_node(policy=policy, access=access, max_peers=max_peers) for _ in range(2)]
        self.native, self.oracle = (HttpFrontend(node=node) for node in nodes)
        self.refreshed = 0
        self.epoll = stack.enter_context(select.epoll())
        self.lobby = kind(self.epoll, 7, LIMITS.head_timeout_seconds, LIMITS.idle_timeout_seconds)
        stack.callback(self.lobby.close_all)
        self._stack = stack

    def enter(self, address: bytes, now: float) -> tuple[int, socket.socket]:
        """Another connection of the lobby: its descriptor, and the client's end."""
        ours, client = socket.socketpair()
        self._stack.enter_context(client)
        descriptor = ours.detach()
        self.epoll.register(descriptor, select.EPOLLIN)
        self.lobby.add(descriptor, address, now + LIMITS.head_timeout_seconds)
        return descriptor, client

    def serve(self, now: float) -> tuple[int, list[Other]]:
        """Answer what can be, by the lobby alone; returns how many, and what else came, which has left."""
        refreshed, broken, others = self.lobby.serve(100, now, self.native.refreshes(now))
        assert not broken
        self.native.count_announces(refreshed)
        self.refreshed += refreshed
        return refreshed, others

    def refresh(self, data: bytes, address: bytes, now: float) -> tuple[bytes, bool] | None:
        """What the native one sends back by itself, if it does, and is the connection to be kept?"""
        descriptor, client = self.enter(address, now)
        with client:
            client.sendall(data)
            refreshed, others = self.serve(now)
            if not refreshed:
                os.close(descriptor)
                assert others == [(descriptor, address, now + LIMITS.head_timeout_seconds, data)]
                return None
            assert not others
            kept = self.lobby.deadlines()
            assert kept in ([], [(now + LIMITS.idle_timeout_seconds, descriptor)])
            self.lobby.close_all()
            return client.recv(65_536), bool(kept)

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
def twins(kind: type[Lobby], access: Access | None = None, max_peers: int = 1_000_000) -> Iterator[Twins]:
    with ExitStack() as stack:
        yield Twins(stack, kind, access, max_peers)


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
        b"downloaded": b"%d" % rng.randrange(3),
        b"left": b"%d" % (port % 2 if rng.random() < 0.95 else rng.choice((0, 7, 2**63))),
        b"key": b"%08X" % (port * 1_000_003 + (rng.random() < 0.05)) if rng.random() < 0.95 else rng.choice(ODD_KEYS),
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


@pytest.mark.parametrize("kind", LOBBIES)
@pytest.mark.parametrize(
    ("access", "max_peers"),
    [
        (None, 1_000_000),
        (Access("allow", frozenset(HASHES[:2])), 1_000_000),
        (Access("deny", frozenset(HASHES[:1])), 1_000_000),
        (None, 15),
    ],
    ids=["open", "allow", "deny", "full"],
)
def test_both_answer_the_same_and_come_to_the_same_rows(
    kind: type[Lobby], access: Access | None, max_peers: int
) -> None:
    with twins(kind, access, max_peers) as pair:
        for number, (data, address, now) in enumerate(story(random.Random(1), 6000)):
            if number in (3000, 4500):
                for frontend in (pair.native, pair.oracle):
                    frontend._node.set_access(Access("deny", frozenset(HASHES[number // 1500 - 1 :])), now)
            native, oracle = pair.ask(data, address, now)
            assert same(native, oracle), (data, native, oracle)
        assert 600 < pair.refreshed < 5800, "of both kinds there were some"
        assert rows(pair.native) == rows(pair.oracle)
        assert pair.native.statistics() == pair.oracle.statistics()
        assert pair.native._node.statistics(0.0).tracker == pair.oracle._node.statistics(0.0).tracker
        assert pair.native._node.registry.statistics() == pair.oracle._node.registry.statistics()


@pytest.mark.parametrize("kind", LOBBIES)
def test_what_is_not_one_whole_usual_request_is_for_python(kind: type[Lobby]) -> None:
    address = bytes((192, 0, 2, 1))
    with twins(kind) as pair:
        pair.ask(USUAL, address, 0.0)
        refreshed = pair.refresh(USUAL, address, 0.0)
        assert refreshed is not None
        assert refreshed[1]
        doubled, crowded = USUAL + USUAL, USUAL.replace(b"&key=", b"&" * 60 + b"key=")
        for odd in (doubled, crowded, USUAL + b"x", b"\r\n" + USUAL, USUAL.replace(b"GET", b"HEAD"), USUAL[1:]):
            assert pair.refresh(odd, address, 0.0) is None, odd
        for cut in range(1, len(USUAL)):
            assert pair.refresh(USUAL[:cut], address, 0.0) is None, cut
        assert pair.refresh(USUAL, bytes(16), 0.0) is None


@pytest.mark.parametrize("kind", LOBBIES)
def test_a_client_that_reads_nothing_is_owed_the_rest(kind: type[Lobby]) -> None:
    address = bytes((192, 0, 2, 1))
    with twins(kind) as pair:
        pair.ask(USUAL, address, 0.0)
        descriptor, client = pair.enter(address, 0.0)
        with socket.socket(socket.AF_UNIX, fileno=os.dup(descriptor)) as ours:
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        sent = 0
        for _ in range(1000):
            client.sendall(USUAL)
            refreshed, others = pair.serve(0.0)
            assert refreshed
            if others:
                break
            sent += 1
        assert sent
        [(_, _, _, outcome)] = others
        assert isinstance(outcome, tuple)
        unsent, keep_alive = outcome
        assert unsent
        assert keep_alive
        os.close(descriptor)
        received = client.recv(1_000_000, socket.MSG_WAITALL | socket.MSG_DONTWAIT)
        whole = len(received + unsent) // (sent + 1)
        assert (received + unsent)[-whole:] == received[:whole]


@pytest.mark.parametrize("kind", LOBBIES)
def test_who_is_gone_leaves_the_lobby(kind: type[Lobby]) -> None:
    with twins(kind) as pair:
        _, client = pair.enter(bytes((192, 0, 2, 1)), 0.0)
        assert pair.serve(0.0) == (0, [])
        assert len(pair.lobby) == 1
        client.close()
        assert pair.serve(0.0) == (0, [])
        assert len(pair.lobby) == 0


@pytest.mark.parametrize("kind", LOBBIES)
def test_an_answer_that_the_network_does_not_take_is_owed(kind: type[Lobby]) -> None:
    address = bytes((192, 0, 2, 1))
    with twins(kind) as pair:
        pair.ask(USUAL, address, 0.0)
        _, client = pair.enter(address, 0.0)
        client.sendall(USUAL)
        client.close()
        refreshed, [(descriptor, _, _, outcome)] = pair.serve(0.0)
        assert refreshed == 1
        assert isinstance(outcome, tuple)
        unsent, _ = outcome
        assert unsent, "it was answered, and whoever sends that meets the error"
        with pytest.raises(BrokenPipeError), socket.socket(socket.AF_UNIX, fileno=descriptor) as ours:
            ours.send(unsent)


@pytest.mark.parametrize("kind", LOBBIES)
def test_an_error_of_the_node_is_not_taken_for_one_of_the_network(kind: type[Lobby]) -> None:
    def fail(*announce: object) -> int | None:
        raise OSError(errno.EIO, "the node's own")

    with twins(kind) as pair:
        _, client = pair.enter(bytes((192, 0, 2, 1)), 0.0)
        client.sendall(USUAL)
        with pytest.raises(OSError, match="the node's own"):
            pair.lobby.serve(100, 0.0, pair.native.refreshes(0.0)._replace(take=fail))


@pytest.mark.parametrize("kind", LOBBIES)
def test_a_descriptor_that_is_nobodys_here_is_named(kind: type[Lobby]) -> None:
    with twins(kind) as pair:
        ours, client = socket.socketpair()
        with ours, client:
            pair.epoll.register(ours.fileno(), select.EPOLLIN)
            client.sendall(USUAL)
            assert pair.serve(0.0) == (0, [(ours.fileno(), b"", 0.0, None)])


@pytest.mark.parametrize("kind", LOBBIES)
def test_who_waits_beyond_its_deadline_leaves(kind: type[Lobby]) -> None:
    address = bytes((192, 0, 2, 1))
    with twins(kind) as pair:
        (early, _), (late, _) = pair.enter(address, 0.0), pair.enter(address, 5.0)
        head = LIMITS.head_timeout_seconds
        assert sorted(pair.lobby.deadlines()) == [(head, early), (5.0 + head, late)]
        assert pair.lobby.expire(head, 0) == 0
        assert pair.lobby.expire(head, 10) == 1
        assert pair.lobby.deadlines() == [(5.0 + head, late)]
        assert pair.lobby.expire(head, 10) == 0
        pair.lobby.close(early)
        assert len(pair.lobby) == 1, "that one had left"
        pair.lobby.close(late)
        assert len(pair.lobby) == 0
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(late)


@pytest.mark.parametrize("kind", LOBBIES)
def test_at_the_bound_one_more_is_left_to_python(kind: type[Lobby]) -> None:
    with twins(kind) as pair, socket.create_server(("127.0.0.1", 0)) as listener, ExitStack() as stack:
        listener.setblocking(False)
        clients = [stack.enter_context(socket.create_connection(listener.getsockname())) for _ in range(4)]
        refreshes = pair.native.refreshes(0.0)
        accepted, refreshed, broken, error, others = pair.lobby.accept(listener, 16, 2, 0.0, refreshes)
        assert (accepted, refreshed, broken, error, len(pair.lobby)) == (3, 0, 0, 0, 2)
        [(descriptor, address, deadline, outcome)] = others
        os.close(descriptor)
        assert (address, deadline, outcome) == (bytes((127, 0, 0, 1)), LIMITS.head_timeout_seconds, None)
        # One that is answered and stays takes a place, too.
        clients[3].sendall(USUAL)
        accepted, refreshed, _, _, others = pair.lobby.accept(listener, 16, 0, 0.0, refreshes)
        [(descriptor, _, deadline, outcome)] = others
        os.close(descriptor)
        assert (accepted, refreshed) == (1, 1)
        assert (deadline, outcome) == (LIMITS.idle_timeout_seconds, (b"", True))


@pytest.mark.parametrize("kind", LOBBIES)
def test_one_that_is_served_to_its_end_needs_no_room(kind: type[Lobby]) -> None:
    ending = request(announce_target(key=b"0000ABCD"), b"Connection: close")
    with twins(kind) as pair, socket.create_server(("::1", 0), family=socket.AF_INET6, dualstack_ipv6=False) as six:
        six.setblocking(False)
        with socket.create_server(("127.0.0.1", 0)) as four:
            four.setblocking(False)
            for listener, is_answered in ((four, True), (six, False)):
                with socket.create_connection(listener.getsockname()[:2]) as client:
                    client.sendall(ending)
                    accepted, refreshed, _, _, others = pair.lobby.accept(
                        listener, 16, 0, 0.0, pair.native.refreshes(0.0)
                    )
                    assert (accepted, refreshed) == (1, int(is_answered))
                    assert len(others) == 1 - is_answered, "IPv6 clients are for Python"
                    for descriptor, address, _, outcome in others:
                        assert (address, outcome) == (bytes(15) + b"\1", ending)
                        os.close(descriptor)
        assert len(pair.lobby) == 0


def fuzz(kind: type[Lobby], seed: int, count: int) -> None:
    """Requests with bytes changed, cut out and put in; run by itself under sanitizers too."""
    rng = random.Random(seed)
    with twins(kind) as pair:
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


@pytest.mark.parametrize("kind", LOBBIES)
def test_fuzzed_requests(kind: type[Lobby]) -> None:
    fuzz(kind, 3, 6000)


@pytest.mark.compiled
@pytest.mark.long
def test_fuzzed_requests_under_sanitizers(tmp_path: Path) -> None:
    program = "from tests.network.test_lobby import Lobby, fuzz\nfor seed in range(4): fuzz(Lobby, seed, 15_000)"
    run_sanitized(program, into=tmp_path)
