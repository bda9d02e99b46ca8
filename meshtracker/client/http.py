"""A client of HTTP trackers (BEP 3, 7, 23, 48): one connection a request, no redirects, no TLS."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self
from urllib.parse import urlsplit

import trio

from meshtracker.errors import ClientError, WireError
from meshtracker.model import AnnounceAnswer, AnnounceRequest, ScrapeAnswer
from meshtracker.wire.http_answer import MAX_ANSWER_BYTES, decode_announce, decode_scrape
from meshtracker.wire.http_response import Response, parse_response
from meshtracker.wire.query import announce_query, scrape_query

RECEIVE_BYTES = 65_536
MAX_HEAD_BYTES = 65_536
"""Room that the head of a response has beside its body."""


class HttpTracker:
    """One tracker by its announce URL.

    Error handling: requests raise `ClientError` with the tracker's reason, `WireError` when the answer is none of a
    tracker, ``trio.TooSlowError`` when it is not whole in time, and OSError for a host that is not found, refuses or
    cannot be reached.
    """

    def __init__(self, url: str, *, local_address: str | None = None, timeout_seconds: float = 30.0) -> None:
        """``url`` is ``http://host[:port]/path[?query]``, else ValueError; ``local_address`` the one to send from."""
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname:
            raise ValueError(f"{url} is not http://host[:port]/path")
        self._host = parts.hostname
        self._port = parts.port or 80
        self._authority = parts.netloc.rpartition("@")[2].encode("idna")
        self._path = (parts.path or "/").encode()
        self._query = parts.query.encode()
        self._local_address = local_address
        self._timeout_seconds = timeout_seconds

    async def announce(self, request: AnnounceRequest) -> AnnounceAnswer:
        """Announce to a swarm."""
        return decode_announce(await self._get(self._path, announce_query(request)))

    async def scrape(self, info_hashes: Sequence[bytes]) -> list[ScrapeAnswer]:
        """Counts of swarms, in the order asked for."""
        before, slash, last = self._path.rpartition(b"/")
        if not last.startswith(b"announce"):
            raise ClientError("by its announce URL this tracker has no scrape (BEP 48)")
        path = before + slash + b"scrape" + last.removeprefix(b"announce")
        return decode_scrape(await self._get(path, scrape_query(info_hashes)), info_hashes)

    def close(self) -> None:
        """Nothing is held between requests; this is so that a caller need not know which kind of tracker it has."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    async def _get(self, path: bytes, query: bytes) -> bytes:
        """The body of a response of status 200."""
        target = path + b"?" + b"&".join(part for part in (self._query, query) if part)
        with trio.fail_after(self._timeout_seconds):
            stream = await trio.open_tcp_stream(self._host, self._port, local_address=self._local_address)
            async with stream:
                await stream.send_all(
                    b"GET %b HTTP/1.1\r\nHost: %b\r\nUser-Agent: meshtracker\r\nConnection: close\r\n\r\n"
                    % (target, self._authority)
                )
                response = await _receive(stream)
        if response.status != 200:
            raise WireError(f"HTTP status {response.status} {response.reason}")
        return response.body


async def _receive(stream: trio.SocketStream) -> Response:
    data = bytearray()
    while True:
        received = await stream.receive_some(RECEIVE_BYTES)
        data += received
        if len(data) > MAX_HEAD_BYTES + MAX_ANSWER_BYTES:
            raise WireError(f"a response of more than {MAX_ANSWER_BYTES} bytes")
        response = parse_response(bytes(data), ended=not received)
        if response is not None:
            return response
