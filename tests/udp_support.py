"""What the tests of the UDP tracker share: a front end on a real node, clients of it, and datagrams of all kinds."""

from __future__ import annotations

import random
from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network, ip_address

import attrs

from meshtracker.errors import ClientError
from meshtracker.frontends.udp import UdpFrontend
from meshtracker.link.clock import HybridClock
from meshtracker.model import AnnounceAnswer, AnnounceRequest, Event, ScrapeAnswer
from meshtracker.node.node import Node
from meshtracker.node.policy import TrackerPolicy
from meshtracker.swarm.access import Access
from meshtracker.throttle import Throttle
from meshtracker.wire import udp
from meshtracker.wire.connection_id import ConnectionIds

WALL_OFFSET_SECONDS = 1_700_000_040.0
"""Wall time at ``now`` 0: the first second of an epoch of connection ids."""
TRANSACTION = b"\xde\xad\xbe\xef"
HASH = bytes(range(20))


def make_node(
    *,
    policy: TrackerPolicy | None = None,
    access: Access | None = None,
    wall_offset_seconds: float = WALL_OFFSET_SECONDS,
    max_peers: int = 1_000_000,
) -> Node:
    """A node without links."""
    return Node(
        name="udp-test",
        incarnation=1,
        clock=HybridClock(wall_offset_seconds=wall_offset_seconds),
        rng=random.Random(1),
        tracker=policy,
        access=access,
        max_peers=max_peers,
    )


def make_frontend(
    node: Node | None = None,
    *,
    secret: bytes = b"secret",
    address_networks: tuple[IPv4Network | IPv6Network, ...] = (),
) -> UdpFrontend:
    """A front end on a node, by default one of its own; 10 bad connection ids in two minutes are the limit."""
    return UdpFrontend(
        node=node or make_node(),
        connection_ids=ConnectionIds(secret),
        throttle=Throttle(limit=10, window_seconds=120.0, max_sources=1000),
        address_networks=address_networks,
    )


@attrs.define
class Caller:
    """A client that calls a front end without a socket."""

    frontend: UdpFrontend
    host: str = "192.0.2.1"
    port: int = 6881
    now: float = 0.0

    @property
    def address(self) -> bytes:
        return ip_address(self.host).packed

    def send(self, data: bytes) -> bytes | None:
        return self.frontend.receive_datagram(data, self.address, self.port, self.now)

    def connect(self) -> bytes:
        answer = self.send(udp.pack_connect_request(TRANSACTION))
        assert answer is not None
        assert answer[4:8] == TRANSACTION
        return udp.parse_connect_answer(answer)

    def announce_packet(
        self,
        *,
        info_hash: bytes = HASH,
        event: Event = Event.STARTED,
        left: int = 1000,
        numwant: int = 50,
        port: int | None = None,
        ip: bytes = udp.NO_ADDRESS,
        key: int = 7,
        connection_id: bytes | None = None,
    ) -> bytes:
        """An announce of this client, whose peer id comes of its address and port."""
        request = AnnounceRequest(
            info_hash=info_hash,
            peer_id=f"{self.host}:{self.port}".encode().ljust(20, b"-")[-20:],
            key=key,
            address=self.address,
            port=self.port if port is None else port,
            event=event,
            left=left,
            numwant=numwant,
        )
        return udp.pack_announce_request(connection_id or self.connect(), TRANSACTION, request=request, ip=ip)

    def announce(self, packet: bytes | None = None) -> AnnounceAnswer:
        answer = self.send(packet or self.announce_packet())
        assert answer is not None
        assert answer[4:8] == TRANSACTION
        return udp.parse_announce_answer(answer, ipv6=len(self.address) == 16)

    def scrape(self, *info_hashes: bytes) -> list[ScrapeAnswer]:
        answer = self.send(udp.pack_scrape_request(self.connect(), TRANSACTION, info_hashes=info_hashes))
        assert answer is not None
        assert answer[4:8] == TRANSACTION
        return udp.parse_scrape_answer(answer)

    def reason(self, packet: bytes) -> str:
        """The reason of the error that the packet is answered with."""
        answer = self.send(packet)
        assert answer is not None
        try:
            udp.parse_scrape_answer(answer)
        except ClientError as error:
            return error.reason
        raise AssertionError(f"no error: {answer.hex()}")


def total(frontend: UdpFrontend) -> int:
    """Datagrams by all counters of a front end together."""
    return sum(attrs.astuple(frontend.statistics()))


def fuzzed_datagrams(rng: random.Random, connection_id: bytes, *, count: int) -> Iterator[bytes]:
    """Datagrams as an attacker or a broken client would send them: random, cut, lengthened, with bits turned.

    Most bear a good connection id, for what comes without one is soon dropped.
    """
    info_hashes = [rng.randbytes(20) for _ in range(50)]
    for _ in range(count):
        data = bytearray(_valid_request(rng, connection_id, info_hashes))
        match rng.randrange(6):
            case 0:
                yield rng.randbytes(rng.randrange(300))
                continue
            case 1:
                del data[rng.randrange(len(data) + 1) :]
            case 2:
                data += rng.randbytes(rng.randrange(300))
            case 3:
                for _ in range(rng.randrange(1, 10)):
                    data[rng.randrange(len(data))] = rng.randrange(256)
            case 4:
                start = rng.randrange(len(data))
                extreme = rng.choice([b"\0", b"\xff", b"\x7f", b"\x80"]) * rng.choice([1, 2, 4, 8, 20])
                data[start : start + len(extreme)] = extreme
        yield bytes(data)


def _valid_request(rng: random.Random, connection_id: bytes, info_hashes: list[bytes]) -> bytes:
    transaction = rng.randbytes(4)
    kind = rng.randrange(8)
    if kind == 0:
        return udp.pack_connect_request(transaction)
    if kind == 1:
        chosen = rng.choices(info_hashes, k=rng.randrange(1, 80))
        return udp.pack_scrape_request(connection_id, transaction, info_hashes=chosen)
    request = AnnounceRequest(
        info_hash=rng.choice(info_hashes),
        peer_id=rng.randrange(2000).to_bytes(20),
        key=rng.randrange(3),
        address=b"",
        port=rng.randrange(65_536),
        event=rng.choice(list(Event)),
        left=rng.choice([0, 1, 2**63 - 1]),
        numwant=rng.choice([-1, 0, 1, 50, 2**31 - 1]),
    )
    url = rng.randbytes(rng.choice([0, 0, 10, 300]))
    return udp.pack_announce_request(connection_id, transaction, request=request, ip=rng.randbytes(4), url=url)
