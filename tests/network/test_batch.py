"""Refreshes answered by `_batch.c` and by `BatchedDatagrams`, beside the oracle: the front end itself says the same."""

from __future__ import annotations

import random
import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from ipaddress import ip_network
from pathlib import Path
from typing import TypeAlias

import pytest

from meshtracker.frontends.udp import UdpFrontend
from meshtracker.model import Event
from meshtracker.network.datagrams import SLOTS, BatchedDatagrams, NativeDatagrams
from meshtracker.node.policy import TrackerPolicy
from meshtracker.swarm.access import Access
from meshtracker.wire import udp
from tests.sanitizers import run_sanitized
from tests.udp_support import Caller, fuzzed_datagrams, make_frontend, make_node

pytestmark = pytest.mark.timeout(100)

Way: TypeAlias = type[NativeDatagrams | BatchedDatagrams]
WAYS = [pytest.param(NativeDatagrams, marks=pytest.mark.compiled), BatchedDatagrams]

HASHES = [bytes([number]) * 20 for number in range(1, 9)]
HOSTS = [f"127.0.0.{number}" for number in range(1, 6)]
BELIEVED = "127.0.0.9"
"""Where clients are that may say their address."""


class Twins:
    """A front end behind a socket and one that is asked directly; both see what clients of several addresses send."""

    def __init__(
        self,
        stack: ExitStack,
        way: Way,
        *,
        numwant_max: int = 200,
        access: Access | None = None,
        max_peers: int = 1_000_000,
    ) -> None:
        policy = TrackerPolicy(announce_jitter_seconds=0, numwant_max=numwant_max)
        self.native, self.oracle = (
            make_frontend(
                make_node(policy=policy, access=access, max_peers=max_peers),
                address_networks=(ip_network(f"{BELIEVED}/32"),),
            )
            for _ in range(2)
        )
        listener = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        listener.bind(("127.0.0.1", 0))
        listener.setblocking(False)
        self.exchange = way(listener, self.native)
        self.asked = 0
        """Datagrams of which `exchange` had to ask its front end."""
        self._clients = {}
        for host in (*HOSTS, BELIEVED):
            client = self._clients[host] = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            client.bind((host, 0))
            client.connect(listener.getsockname())
            client.setblocking(False)

    def caller(self, host: str) -> Caller:
        """A client of the oracle, to make packets and connection ids with."""
        return Caller(self.oracle, host, self._clients[host].getsockname()[1])

    def send(self, host: str, data: bytes, now: float) -> tuple[bytes | None, bytes | None]:
        """What both answer to a datagram."""
        self._clients[host].send(data)
        assert self.exchange.exchange(self._receive, now, SLOTS) == 1
        try:
            answer: bytes | None = self._clients[host].recv(65_536)
        except BlockingIOError:
            answer = None
        source = socket.inet_aton(host), self._clients[host].getsockname()[1]
        return answer, self.oracle.receive_datagram(data[: udp.MAX_DATAGRAM_BYTES], *source, now)

    def _receive(self, data: bytes, address: bytes, port: int, now: float) -> bytes | None:
        self.asked += 1
        return self.native.receive_datagram(data, address, port, now)


@contextmanager
def twins(
    way: Way, *, numwant_max: int = 200, access: Access | None = None, max_peers: int = 1_000_000
) -> Iterator[Twins]:
    with ExitStack() as stack:
        yield Twins(stack, way, numwant_max=numwant_max, access=access, max_peers=max_peers)


def rows(frontend: UdpFrontend) -> dict[bytes, list[tuple[object, bytes]]]:
    registry = frontend._node.registry
    return {info_hash: sorted(swarm.v4.entries()) for info_hash, swarm in registry.swarms.items()}


def same(pair: Twins, host: str, packet: bytes, now: float) -> bool:
    """Do both answer the same, but for which peers are given where there are more than an announce wants?"""
    native, oracle = pair.send(host, packet, now)
    if native == oracle or native is None or oracle is None:
        return native == oracle
    swarm = pair.oracle._node.registry.get(packet[16:36])
    is_there = swarm is not None and swarm.v4.find_address(socket.inet_aton(host) + packet[96:98]) >= 0
    others = int.from_bytes(native[12:16], "big") + int.from_bytes(native[16:20], "big") - is_there
    chosen = native[:4] == udp.ANNOUNCE and (len(native) - 20) // 6 < others
    return chosen and native[:20] == oracle[:20] and len(native) == len(oracle)


def story(pair: Twins, rng: random.Random, acts: int) -> Iterator[tuple[str, bytes, float]]:
    """Announces of a few clients again and again, with all that one can say differently the next time."""
    now = 0.0
    for _ in range(acts):
        now += rng.choice((0.0, 0.0, 0.1, 1.0, 400.0 if rng.random() < 0.02 else 0.0))
        port = 1 + rng.randrange(12)
        host = rng.choice(HOSTS) if rng.random() < 0.05 else HOSTS[port % len(HOSTS)]
        caller = pair.caller(host)
        caller.now = now
        packet = caller.announce_packet(
            info_hash=rng.choice(HASHES[:3]),
            event=rng.choice((Event.NONE,) * 20 + tuple(Event)),
            left=rng.choice((0, 5, 2**63 - 1)) if rng.random() < 0.1 else port % 2,
            numwant=rng.choice((-1, 0, 3, 50, 1000)),
            port=0 if rng.random() < 0.05 else port,
            key=rng.choice((7,) * 20 + (0, 8, 0x80000000, 0x80000007)),
            ip=rng.choice((udp.NO_ADDRESS,) * 20 + (b"\x01\x02\x03\x04",)),
        )
        # One client a port: else most of these would be clients that take each other's place.
        packet = packet[:36] + b"-XX0001-".ljust(18, b"x") + packet[96:98] + packet[56:]
        # The oracle's caller connected there; the native one has to hear of it too.
        pair.send(host, udp.pack_connect_request(b"conn"), now)
        yield host, packet, now


@pytest.mark.parametrize("way", WAYS)
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
def test_both_answer_the_same_and_come_to_the_same_rows(way: Way, access: Access | None, max_peers: int) -> None:
    with twins(way, access=access, max_peers=max_peers) as pair:
        asked = 0
        for number, (host, packet, now) in enumerate(story(pair, random.Random(1), 4000)):
            if number in (2000, 3000):
                for frontend in (pair.native, pair.oracle):
                    frontend._node.set_access(Access("deny", frozenset(HASHES[number // 1000 - 1 :])), now)
            before = pair.asked
            assert same(pair, host, packet, now), packet.hex()
            asked += pair.asked - before
        assert rows(pair.native) == rows(pair.oracle)
        assert 50 < asked < 3600, "of both kinds there were some"
        told = [frontend.statistics() for frontend in (pair.native, pair.oracle)]
        assert [figures.announces for figures in told] == [told[0].announces] * 2
        native_figures, oracle_figures = (each._node.statistics(0.0).tracker for each in (pair.native, pair.oracle))
        assert native_figures == oracle_figures
        assert pair.native._node.registry.statistics() == pair.oracle._node.registry.statistics()


@pytest.mark.parametrize("way", WAYS)
def test_large_swarms_are_drawn_from_as_the_oracle_does(way: Way) -> None:
    """Which peers is a matter of luck, but not how many of which kind, and never the asker or one of them twice."""
    with twins(way, numwant_max=60) as pair:
        rng = random.Random(2)
        pair.send(HOSTS[0], udp.pack_connect_request(b"conn"), 0.0)
        caller = pair.caller(HOSTS[0])
        connection_id = caller.connect()
        kinds: dict[bytes, int] = {}
        packets = []
        for port in range(1, 400):
            left = rng.choice((0, 9))
            packet = caller.announce_packet(left=left, numwant=50, port=port, connection_id=connection_id)
            packet = packet[:36] + struct.pack("!20s", b"%d" % port) + packet[56:]
            packets.append(packet)
            kinds[socket.inet_aton(HOSTS[0]) + port.to_bytes(2, "big")] = left
            pair.send(HOSTS[0], packet, 0.0)
        seen: dict[bytes, int] = dict.fromkeys(kinds, 0)
        for number in range(4000):
            packet = rng.choice(packets)
            wanted = rng.choice((1, 7, 50, 60, 500)) if number % 2 else 50
            packet = packet[:92] + struct.pack("!i", wanted) + packet[96:]
            before = pair.asked
            native, oracle = pair.send(HOSTS[0], packet, 1.0)
            assert pair.asked == before, "it was a refresh"
            assert native is not None
            assert oracle is not None
            assert native[:20] == oracle[:20]
            assert len(native) == len(oracle)
            peers = [native[at : at + 6] for at in range(20, len(native), 6)]
            theirs = [oracle[at : at + 6] for at in range(20, len(oracle), 6)]
            assert len(set(peers)) == len(peers)
            assert socket.inet_aton(HOSTS[0]) + packet[96:98] not in peers
            seeders = [sum(kinds[peer] == 0 for peer in some) for some in (peers, theirs)]
            assert abs(seeders[0] - seeders[1]) <= 1
            for peer in peers:
                seen[peer] += 1
        # Each leecher had the same chance in some 4,000 answers; so had each seeder. Five times the spread of luck.
        for kind in (0, 9):
            counts = [count for peer, count in seen.items() if kinds[peer] == kind]
            mean = sum(counts) / len(counts)
            assert max(abs(count - mean) for count in counts) < 5 * mean**0.5 + 5


@pytest.mark.parametrize("way", WAYS)
def test_a_refresh_that_is_due_is_written_and_an_old_connection_id_is_for_the_front_end(way: Way) -> None:
    with twins(way) as pair:
        connected_at = 0.0
        pair.send(HOSTS[0], udp.pack_connect_request(b"conn"), connected_at)
        packet = pair.caller(HOSTS[0]).announce_packet()
        for now, asks, changes in ((0.0, 0, 1), (1.0, 0, 0), (60.0, 0, 0), (125.0, 1, 0), (899.0, 0, 0), (901.0, 0, 1)):
            if now - connected_at > 240:
                connected_at = now
                pair.send(HOSTS[0], udp.pack_connect_request(b"conn"), now)
                caller = pair.caller(HOSTS[0])
                caller.now = now
                packet = caller.announce_packet()
            asked, changed = pair.asked, pair.native._node.statistics(now).tracker.changes
            native, oracle = pair.send(HOSTS[0], packet, now)
            assert native == oracle
            assert pair.native._node.statistics(now).tracker.changes - changed == changes, now
            assert pair.asked - asked == asks, now


@pytest.mark.parametrize("way", WAYS)
def test_a_client_that_may_say_its_address_is_for_the_front_end(way: Way) -> None:
    with twins(way) as pair:
        pair.send(BELIEVED, udp.pack_connect_request(b"conn"), 0.0)
        said = b"\1\2\3\4"
        for ip in (udp.NO_ADDRESS, said, said, udp.NO_ADDRESS, said):
            native, oracle = pair.send(BELIEVED, pair.caller(BELIEVED).announce_packet(ip=ip), 1.0)
            assert native == oracle
            address = (said if ip == said else socket.inet_aton(BELIEVED)) + pair.caller(BELIEVED).port.to_bytes(
                2, "big"
            )
            assert [found for (_, found) in rows(pair.native)[pair.caller(BELIEVED).announce_packet()[16:36]]] == [
                address
            ]


@pytest.mark.parametrize("way", WAYS)
def test_counts_of_a_swarm_with_ipv6_peers_are_of_both_families(way: Way) -> None:
    with twins(way) as pair:
        pair.send(HOSTS[0], udp.pack_connect_request(b"conn"), 0.0)
        packet = pair.caller(HOSTS[0]).announce_packet()
        for frontend in (pair.native, pair.oracle):
            Caller(frontend, "2001:db8::1").announce()
        for _ in range(3):
            native, oracle = pair.send(HOSTS[0], packet, 1.0)
            assert native == oracle
            assert native is not None
            assert udp.parse_announce_answer(native, ipv6=False).incomplete == 2


def fuzz(seed: int, count: int, way: Way = NativeDatagrams) -> None:
    """Any bytes, and announces with bits turned; run by itself under sanitizers too."""
    rng = random.Random(seed)
    with twins(way) as pair:
        pair.send(HOSTS[0], udp.pack_connect_request(b"conn"), 0.0)
        connection_id = pair.caller(HOSTS[0]).connect()
        for datagram in fuzzed_datagrams(rng, connection_id, count=count):
            assert same(pair, HOSTS[0], datagram, 1.0), datagram.hex()
        for host, packet, now in story(pair, rng, count // 4):
            turned = bytearray(packet)
            turned[rng.randrange(len(turned))] ^= 1 << rng.randrange(8)
            assert same(pair, host, bytes(turned[: rng.randrange(200)]), now), turned.hex()
        assert rows(pair.native) == rows(pair.oracle)


@pytest.mark.parametrize("way", WAYS)
def test_fuzzed_datagrams(way: Way) -> None:
    fuzz(3, 4000, way)


@pytest.mark.long
@pytest.mark.compiled
def test_fuzzed_datagrams_under_sanitizers(tmp_path: Path) -> None:
    run_sanitized("from tests.network.test_batch import fuzz\nfor seed in range(4): fuzz(seed, 20_000)", into=tmp_path)
