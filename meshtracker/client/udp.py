"""A client of UDP trackers (BEP 15): retransmission, and connection ids for as long as they are good."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from typing import Self, TypeVar

import trio

from meshtracker.errors import ClientError
from meshtracker.model import AnnounceAnswer, AnnounceRequest, ScrapeAnswer
from meshtracker.wire import udp

CONNECTION_ID_SECONDS = 60.0
"""BEP 15: how long a client may use an id."""
MAX_ANSWER_BYTES = 65_535

Answer = TypeVar("Answer")


class UdpTracker:
    """One tracker at a host and port; requests of several tasks wait for each other.

    Resource handling: holds one socket from the first request on; close it, or use ``async with``.

    Error handling: requests raise `ClientError` with the tracker's reason, `WireError` when the answer is none of
    BEP 15, ``trio.TooSlowError`` when all retransmissions go unanswered, and OSError for a host that is not found,
    refuses or cannot be reached.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        local_address: str | None = None,
        first_timeout_seconds: float = 15.0,
        max_retransmissions: int = 8,
    ) -> None:
        """``local_address`` is the IP address to send from. Defaults are BEP 15's: 15·2ⁿ s for n from 0 to 8."""
        self._host = host
        self._port = port
        self._local_address = local_address
        self._first_timeout_seconds = first_timeout_seconds
        self._max_retransmissions = max_retransmissions
        self._socket: trio.socket.SocketType | None = None
        self._connection_id: bytes | None = None
        self._connected_at = 0.0
        self._lock = trio.Lock()

    async def announce(self, request: AnnounceRequest, *, url: bytes = b"") -> AnnounceAnswer:
        """Announce to a swarm; ``url`` is the path and query of the tracker's URL (BEP 41)."""
        return await self._request(
            lambda connection_id, transaction: udp.pack_announce_request(
                connection_id, transaction, request=request, url=url
            ),
            action=udp.ANNOUNCE,
            parse=lambda data: udp.parse_announce_answer(data, ipv6=self._is_ipv6),
        )

    async def scrape(self, info_hashes: Sequence[bytes]) -> list[ScrapeAnswer]:
        """Counts of up to 74 swarms, in the order asked for."""
        return await self._request(
            lambda connection_id, transaction: udp.pack_scrape_request(
                connection_id, transaction, info_hashes=info_hashes
            ),
            action=udp.SCRAPE,
            parse=udp.parse_scrape_answer,
        )

    def close(self) -> None:
        """Let the socket go; a later request opens another."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
            self._connection_id = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    @property
    def _is_ipv6(self) -> bool:
        return self._socket is not None and self._socket.family == trio.socket.AF_INET6

    async def _request(
        self, pack: Callable[[bytes, bytes], bytes], *, action: bytes, parse: Callable[[bytes], Answer]
    ) -> Answer:
        async with self._lock:
            tracker = self._socket = self._socket or await self._open()
            reused = self._connection_id is not None
            try:
                return await self._retransmit(tracker, pack, action=action, parse=parse)
            except ClientError:
                self._connection_id = None
                if not reused:
                    raise
            # The tracker may have been started anew since it gave the id: ask once more with a fresh one.
            return await self._retransmit(tracker, pack, action=action, parse=parse)

    async def _retransmit(
        self,
        tracker: trio.socket.SocketType,
        pack: Callable[[bytes, bytes], bytes],
        *,
        action: bytes,
        parse: Callable[[bytes], Answer],
    ) -> Answer:
        """Send until there is an answer. One transaction for all: an answer to any of the packets will do."""
        transaction = secrets.token_bytes(4)
        for attempt in range(1 + self._max_retransmissions):
            with trio.move_on_after(self._first_timeout_seconds * 2**attempt):
                connection_id = await self._connect(tracker, transaction)
                await tracker.send(pack(connection_id, transaction))
                return parse(await _receive(tracker, action, transaction))
        raise trio.TooSlowError(f"udp://{self._host}:{self._port} does not answer")

    async def _connect(self, tracker: trio.socket.SocketType, transaction: bytes) -> bytes:
        now = trio.current_time()
        if self._connection_id is None or now >= self._connected_at + CONNECTION_ID_SECONDS:
            await tracker.send(udp.pack_connect_request(transaction))
            self._connection_id = udp.parse_connect_answer(await _receive(tracker, udp.CONNECT, transaction))
            self._connected_at = now
        return self._connection_id

    async def _open(self) -> trio.socket.SocketType:
        local: object = None
        family = trio.socket.AF_UNSPEC
        kind = trio.socket.SOCK_DGRAM
        if self._local_address is not None:
            [(family, _, _, _, local), *_] = await trio.socket.getaddrinfo(self._local_address, 0, type=kind)
        [(family, _, _, _, remote), *_] = await trio.socket.getaddrinfo(self._host, self._port, family, kind)
        tracker = trio.socket.socket(family, kind)
        try:
            if local is not None:
                await tracker.bind(local)
            await tracker.connect(remote)
        except BaseException:
            tracker.close()
            raise
        return tracker


async def _receive(tracker: trio.socket.SocketType, action: bytes, transaction: bytes) -> bytes:
    """The next packet that answers this action of this transaction; what is late or not ours is passed over."""
    while True:
        data = await tracker.recv(MAX_ANSWER_BYTES)
        if data[4:8] == transaction and data[:4] in (action, udp.ERROR):
            return data
