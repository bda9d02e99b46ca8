"""What the tests of the HTTP tracker share: a front end on a real node, clients of it, and requests of all kinds."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from ipaddress import IPv4Network, IPv6Network, ip_address
from urllib.parse import quote_from_bytes

import attrs

from meshtracker.errors import ClientError
from meshtracker.frontends.http import HttpFrontend
from meshtracker.frontends.http_connection import HttpConnection, HttpLimits
from meshtracker.model import AnnounceAnswer, ScrapeAnswer
from meshtracker.node.node import Node
from meshtracker.wire.http_answer import decode_announce, decode_scrape
from meshtracker.wire.http_response import Response, parse_response
from tests.udp_support import make_node

HASH = bytes(range(200, 220))
PEER_ID = b"-TS0001-%\x00\xff+& abcde\n"[:20]
LIMITS = HttpLimits(max_head_bytes=8192, head_timeout_seconds=10.0, idle_timeout_seconds=30.0)


def make_frontend(
    node: Node | None = None,
    *,
    max_scrape_hashes: int = 100,
    full_scrape: bool = False,
    address_networks: tuple[IPv4Network | IPv6Network, ...] = (),
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = (),
) -> HttpFrontend:
    """A front end on a node, by default one of its own."""
    return HttpFrontend(
        node=node or make_node(),
        max_scrape_hashes=max_scrape_hashes,
        full_scrape=full_scrape,
        address_networks=address_networks,
        trusted_proxies=trusted_proxies,
    )


def escape(value: bytes) -> bytes:
    """All of ``value`` that may be escaped, escaped."""
    return quote_from_bytes(value, safe="").encode()


def announce_target(**parameters: bytes | int | None) -> bytes:
    """The target of an announce; ``parameters`` are written as they are, and None leaves one out."""
    values: dict[str, bytes | int | None] = {
        "info_hash": escape(HASH),
        "peer_id": escape(PEER_ID),
        "port": 6881,
        "uploaded": 0,
        "downloaded": 0,
        "left": 1000,
        **parameters,
    }
    query = b"&".join(
        name.encode() + b"=" + (b"%d" % value if isinstance(value, int) else value)
        for name, value in values.items()
        if value is not None
    )
    return b"/announce?" + query


def request(target: bytes, *fields: bytes, version: bytes = b"HTTP/1.1", method: bytes = b"GET") -> bytes:
    """A whole request."""
    return b"\r\n".join([b"%b %b %b" % (method, target, version), b"Host: tracker", *fields, b"", b""])


def drain(connection: HttpConnection, data: bytes, now: float = 0.0) -> bytes:
    """All that a connection answers to ``data``, however many times it has to be asked."""
    answers = [connection.receive_data(data, now)]
    while connection.has_more:
        answers.append(connection.resume(now))
    return b"".join(answers)


def connection_opener(frontend: HttpFrontend) -> Callable[[bytes, float], HttpConnection]:
    """Connections to a front end, as a service opens them."""

    def open_connection(address: bytes, now: float) -> HttpConnection:
        return HttpConnection(frontend=frontend, limits=LIMITS, address=address, now=now)

    return open_connection


@attrs.define
class Caller:
    """A client that calls a front end without a socket, over a new connection each time."""

    frontend: HttpFrontend
    host: str = "192.0.2.1"
    now: float = 0.0

    @property
    def address(self) -> bytes:
        return ip_address(self.host).packed

    def connect(self, limits: HttpLimits = LIMITS) -> HttpConnection:
        return HttpConnection(frontend=self.frontend, limits=limits, address=self.address, now=self.now)

    def send(self, data: bytes) -> Response:
        response = parse_response(drain(self.connect(), data, self.now), ended=True)
        assert response is not None
        return response

    def get(self, target: bytes, *fields: bytes) -> Response:
        return self.send(request(target, *fields))

    def announce(self, target: bytes | None = None, *fields: bytes, **parameters: bytes | int | None) -> AnnounceAnswer:
        response = self.get(target or announce_target(**parameters), *fields)
        assert response.status == 200
        return decode_announce(response.body)

    def scrape(self, *info_hashes: bytes) -> list[ScrapeAnswer]:
        query = b"&".join(b"info_hash=" + escape(info_hash) for info_hash in info_hashes)
        response = self.get(b"/scrape?" + query)
        assert response.status == 200
        return decode_scrape(response.body, info_hashes)

    def reason(self, target: bytes) -> str:
        """The failure reason that a request is answered with."""
        response = self.get(target)
        assert response.status == 200
        try:
            decode_announce(response.body)
        except ClientError as error:
            return error.reason
        raise AssertionError(f"no failure: {response.body!r}")


def fuzzed_requests(rng: random.Random, *, count: int) -> Iterator[bytes]:
    """Requests as an attacker or a broken client would send them: random, cut, lengthened, with bytes turned.

    About half of them are whole, or the fuzz would see little of what lies behind the parsers.
    """
    info_hashes = [rng.randbytes(20) for _ in range(50)]
    for _ in range(count):
        data = bytearray(_valid_request(rng, info_hashes))
        match rng.randrange(8):
            case 0:
                yield rng.randbytes(rng.randrange(300)) + rng.choice([b"", b"\r\n\r\n", b"\n\n"])
                continue
            case 1:
                del data[rng.randrange(len(data) + 1) :]
            case 2:
                at = rng.randrange(len(data))
                data[at:at] = rng.randbytes(rng.randrange(300))
            case 3:
                for _ in range(rng.randrange(1, 10)):
                    data[rng.randrange(len(data))] = rng.randrange(256)
            case 4:
                at = rng.randrange(len(data))
                data[at : at + 1] = rng.choice([b"%", b"%%", b"&", b"=", b"?", b" ", b"\n", b"\r\n\r\n", b"\\", b"\0"])
        yield bytes(data)


def _valid_request(rng: random.Random, info_hashes: list[bytes]) -> bytes:
    fields = rng.choices(
        [
            b"Connection: close",
            b"Connection: keep-alive",
            b"Content-Length: 0",
            b"X-Forwarded-For: 198.51.100.7, 127.0.0.1",
            b"X-Forwarded-For: unknown",
            b"Accept-Encoding: gzip",
        ],
        k=rng.randrange(3),
    )
    kind = rng.randrange(10)
    if kind == 0:
        target = rng.choice([b"/", b"/health", b"/nowhere", b"http://tracker/announce", b"*"])
    elif kind == 1:
        chosen = rng.choices(info_hashes, k=rng.randrange(80))
        target = b"/scrape?" + b"&".join(b"info_hash=" + escape(info_hash) for info_hash in chosen)
    else:
        target = announce_target(
            info_hash=escape(rng.choice(info_hashes)),
            peer_id=escape(rng.randrange(2000).to_bytes(20)),
            port=rng.randrange(65_536),
            left=rng.choice([0, 1, 2**63 - 1]),
            key=rng.choice([b"", b"7F3A00B1", b"-5", rng.randbytes(4)]),
            numwant=rng.choice([-1, 0, 1, 50, 2**31 - 1]),
            compact=rng.randrange(2),
            event=rng.choice([b"", b"started", b"stopped", b"completed", b"paused", b"unheard-of"]),
            ip=rng.choice([b"", b"198.51.100.9", b"2001:db8::9", b"example.i2p"]),
        )
    method = rng.choice([b"GET"] * 8 + [b"HEAD", b"POST"])
    return request(target, *fields, version=rng.choice([b"HTTP/1.1", b"HTTP/1.0"]), method=method)
