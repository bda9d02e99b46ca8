"""The HTTP tracker (BEP 3, 48): a request in, a response out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ipaddress import IPv4Network, IPv6Network

import attrs

from meshtracker.errors import ClientError
from meshtracker.frontends.networks import Networks, forwarded_client
from meshtracker.node.node import Node
from meshtracker.node.refreshes import Refreshes
from meshtracker.wire.http_answer import encode_announce, encode_announce_dictionaries, encode_failure, scrape_pieces
from meshtracker.wire.http_head import RequestHead, RequestHeadError, forwarded_addresses
from meshtracker.wire.http_response import (
    METHOD_NOT_ALLOWED,
    NOT_FOUND,
    OK,
    ok_response,
    response_head,
    status_response,
)
from meshtracker.wire.query import claimed_address, parse_announce, parse_scrape

MAX_FULL_SCRAPES = 4
"""Answers with all swarms, under way at once: each holds a list of them for as long as its client likes to read."""

_ANNOUNCE_PATHS = (b"/announce", b"/announce/")
_SCRAPE_PATHS = (b"/scrape", b"/scrape/")
_TEXTS = {b"/": b"a BitTorrent tracker: /announce, /scrape\n", b"/health": b"ok\n"}


@attrs.frozen
class HttpStatistics:
    """What was asked since the start; every request counts once."""

    announces: int
    scrapes: int
    failures: int
    """Announces and scrapes answered with a failure reason."""
    others: int
    """Health checks, HEAD and the like."""
    refused: int
    """Answered with a status other than 200."""


class HttpFrontend:
    """Answers requests for one node, on any number of connections."""

    __slots__ = (
        "_address_networks",
        "_announces",
        "_failures",
        "_full_scrape",
        "_full_scrapes",
        "_max_scrape_hashes",
        "_node",
        "_others",
        "_proxies",
        "_refused",
        "_scrapes",
    )

    def __init__(
        self,
        *,
        node: Node,
        max_scrape_hashes: int = 100,
        full_scrape: bool = False,
        address_networks: Sequence[IPv4Network | IPv6Network] = (),
        trusted_proxies: Sequence[IPv4Network | IPv6Network] = (),
    ) -> None:
        """Of clients in ``address_networks`` an ``ip=`` is believed, of ``trusted_proxies`` their X-Forwarded-For."""
        self._node = node
        self._max_scrape_hashes = max_scrape_hashes
        self._full_scrape = full_scrape
        self._full_scrapes = 0
        self._address_networks = Networks(address_networks)
        self._proxies = Networks(trusted_proxies) if trusted_proxies else None
        self._announces = 0
        self._scrapes = 0
        self._failures = 0
        self._others = 0
        self._refused = 0

    def refreshes(self, now: float) -> Refreshes:
        """For a service that answers usual announces by itself; not behind a proxy."""
        return self._node.refreshes(now)

    def count_announces(self, announces: int) -> None:
        """A service has answered so many by `refreshes`."""
        self._announces += announces
        self._node.count_announces(announces)

    def answer(self, request: RequestHead, address: bytes, now: float) -> bytes | Iterator[bytes]:
        """The response to a request from a packed address; a long one in pieces, which closing the connection ends.

        Takes any request.
        """
        if request.method != b"GET":
            return self._answer_without_body(request)
        try:
            if request.path in _ANNOUNCE_PATHS:
                return self._announce(request, address, now)
            if request.path in _SCRAPE_PATHS:
                return self._scrape(request)
        except ClientError as error:
            return self._fail(request, error)
        if request.path in _TEXTS:
            self._others += 1
            return ok_response(_TEXTS[request.path], keep_alive=request.keep_alive)
        self._refused += 1
        return status_response(NOT_FOUND, keep_alive=request.keep_alive)

    def refuse(self, error: RequestHeadError) -> bytes:
        """The last response on a connection that cannot be read any further."""
        self._refused += 1
        return status_response(error.status, keep_alive=False)

    def statistics(self) -> HttpStatistics:
        """A snapshot."""
        return HttpStatistics(
            announces=self._announces,
            scrapes=self._scrapes,
            failures=self._failures,
            others=self._others,
            refused=self._refused,
        )

    def _announce(self, request: RequestHead, address: bytes, now: float) -> bytes:
        if self._proxies is not None and address in self._proxies:
            address = forwarded_client(forwarded_addresses(request.fields), peer=address, proxies=self._proxies)
        announce = parse_announce(request.query, address)
        if b"ip" in request.query and address in self._address_networks:
            announce.address = claimed_address(request.query, address)
        answer = self._node.announce(announce, now)
        self._announces += 1
        encode = encode_announce if announce.compact else encode_announce_dictionaries
        return ok_response(encode(answer, address), keep_alive=request.keep_alive)

    def _scrape(self, request: RequestHead) -> bytes | Iterator[bytes]:
        info_hashes = parse_scrape(request.query, max_info_hashes=self._max_scrape_hashes)
        if not info_hashes and not self._full_scrape:
            raise ClientError("scrape without info_hash is not allowed here")
        if not info_hashes and self._full_scrapes >= MAX_FULL_SCRAPES:
            raise ClientError("too many scrapes without info_hash at once", retry_in_minutes=1)
        self._scrapes += 1
        if not info_hashes:
            return self._scrape_all()
        interval_seconds = self._node.policy.min_interval_seconds
        # Sorted, and each once, because they are keys of a dictionary.
        wanted = sorted(set(info_hashes))
        files = zip(wanted, self._node.scrape(wanted), strict=True)
        body = b"".join(scrape_pieces(files, min_request_interval_seconds=interval_seconds))
        return ok_response(body, keep_alive=request.keep_alive)

    def _scrape_all(self) -> Iterator[bytes]:
        """A response that ends with its connection. That is enough: bencode tells where it ends itself."""
        self._full_scrapes += 1
        try:
            yield response_head(OK, keep_alive=False)
            interval_seconds = self._node.policy.min_interval_seconds
            yield from scrape_pieces(self._node.scrape_all(), min_request_interval_seconds=interval_seconds)
        finally:
            self._full_scrapes -= 1

    def _fail(self, request: RequestHead, error: ClientError) -> bytes:
        """Status 200 all the same: clients take any other for a broken tracker (client-quirks 18)."""
        self._failures += 1
        body = encode_failure(
            error,
            interval_seconds=self._node.policy.announce_interval_seconds,
            min_interval_seconds=self._node.policy.min_interval_seconds,
        )
        return ok_response(body, keep_alive=request.keep_alive)

    def _answer_without_body(self, request: RequestHead) -> bytes:
        """HEAD asks whether a path is there, and must change nothing; no other method is of use here."""
        if request.method != b"HEAD":
            self._refused += 1
            return status_response(METHOD_NOT_ALLOWED, keep_alive=request.keep_alive)
        self._others += 1
        known = request.path in _ANNOUNCE_PATHS or request.path in _SCRAPE_PATHS or request.path in _TEXTS
        return response_head(OK if known else NOT_FOUND, keep_alive=request.keep_alive)
