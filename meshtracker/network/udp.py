"""UDP sockets of the tracker: wait until readable, then answer a batch without awaiting.

trio's cost for one wait is more than an announce takes; in a batch it is shared by all that came meanwhile, so the
service gets faster as it gets busier.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from contextlib import ExitStack

import attrs
import trio

from meshtracker.network.addresses import bound_address, listening_socket
from meshtracker.network.datagrams import SLOTS, Datagrams, Frontend, ReceiveDatagram, datagrams


@attrs.frozen
class UdpServiceStatistics:
    """What the sockets did since the start."""

    batches: int
    datagrams: int
    send_failures: int
    """Answers that the system did not take: a full buffer, no route, a packet filter."""
    receive_failures: int
    """Errors in place of a datagram: ICMP messages about earlier answers."""


def bind(host: str, port: int, *, receive_buffer_bytes: int) -> socket.socket:
    """A UDP socket on an IP address; raises `StartError`.

    The system may give less buffer than asked for (net.core.rmem_max). What it holds while the process does not get to
    run is not lost: its usual 208 KiB are full after some 250 announces.
    """
    listener = listening_socket(socket.SOCK_DGRAM, host, port, setting="udp.listen")
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
    return listener


class UdpService:
    """Answers what arrives at bound sockets."""

    def __init__(
        self,
        sockets: Sequence[socket.socket],
        *,
        receive_datagram: ReceiveDatagram,
        max_batch_datagrams: int,
        frontend: Frontend | None = None,
    ) -> None:
        """``receive_datagram`` is a front end's. After ``max_batch_datagrams`` other tasks get their turn.

        ``frontend`` is that front end, if it lets usual announces be answered without it.
        """
        self._sockets = tuple(sockets)
        self._exchanges = tuple(datagrams(listener, frontend) for listener in sockets)
        self._receive_datagram = receive_datagram
        self._max_batch_datagrams = max_batch_datagrams
        self._batches = 0
        self._datagrams = 0

    @property
    def addresses(self) -> tuple[tuple[str, int], ...]:
        """Host and port of each socket."""
        return tuple(bound_address(listener) for listener in self._sockets)

    async def run(self) -> None:
        """Serve until cancelled; closes the sockets at the end."""
        with ExitStack() as stack:
            for listener in self._sockets:
                stack.enter_context(listener)
            async with trio.open_nursery() as nursery:
                for listener, exchange in zip(self._sockets, self._exchanges, strict=True):
                    nursery.start_soon(self._serve, listener, exchange)

    def statistics(self) -> UdpServiceStatistics:
        """A snapshot."""
        return UdpServiceStatistics(
            batches=self._batches,
            datagrams=self._datagrams,
            send_failures=sum(exchange.send_failures for exchange in self._exchanges),
            receive_failures=sum(exchange.receive_failures for exchange in self._exchanges),
        )

    async def _serve(self, listener: socket.socket, exchange: Datagrams) -> None:
        while True:
            await trio.lowlevel.wait_readable(listener)
            self._batches += 1
            self._answer_batch(exchange)

    def _answer_batch(self, exchange: Datagrams) -> None:
        """Answer until none is left, or a batch is full. One ``now`` does for all of it: it lasts milliseconds."""
        now = trio.current_time()
        left = self._max_batch_datagrams
        while left:
            most = min(left, SLOTS)
            count = exchange.exchange(self._receive_datagram, now, most)
            self._datagrams += count
            if count < most:
                return
            left -= count
