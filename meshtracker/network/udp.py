"""UDP sockets of the tracker: wait until readable, then answer a batch without awaiting.

trio's cost for one wait is more than an announce takes; in a batch it is shared by all that came meanwhile, so the
service gets faster as it gets busier.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from typing import TypeAlias

import attrs
import trio

from meshtracker.network.addresses import bound_address, listening_socket
from meshtracker.wire.compact import packed_address
from meshtracker.wire.udp import MAX_DATAGRAM_BYTES

ReceiveDatagram: TypeAlias = Callable[[bytes, bytes, int, float], bytes | None]
"""data, packed source address, source port, now → answer or None."""


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
        self, sockets: Sequence[socket.socket], *, receive_datagram: ReceiveDatagram, max_batch_datagrams: int
    ) -> None:
        """``receive_datagram`` is a front end's. After ``max_batch_datagrams`` other tasks get their turn."""
        self._sockets = tuple(sockets)
        self._receive_datagram = receive_datagram
        self._max_batch_datagrams = max_batch_datagrams
        self._batches = 0
        self._datagrams = 0
        self._send_failures = 0
        self._receive_failures = 0

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
                for listener in self._sockets:
                    nursery.start_soon(self._serve, listener)

    def statistics(self) -> UdpServiceStatistics:
        """A snapshot."""
        return UdpServiceStatistics(
            batches=self._batches,
            datagrams=self._datagrams,
            send_failures=self._send_failures,
            receive_failures=self._receive_failures,
        )

    async def _serve(self, listener: socket.socket) -> None:
        while True:
            await trio.lowlevel.wait_readable(listener)
            self._batches += 1
            with suppress(BlockingIOError):  # the socket is drained
                self._answer_batch(listener)

    def _answer_batch(self, listener: socket.socket) -> None:
        """Answer up to a batch; raises BlockingIOError when nothing more waits.

        One ``now`` does for all of a batch: it lasts milliseconds.
        """
        now = trio.current_time()
        receive, send, receive_datagram = listener.recvfrom, listener.sendto, self._receive_datagram
        for _ in range(self._max_batch_datagrams):
            try:
                data, source = receive(MAX_DATAGRAM_BYTES)
            except BlockingIOError:
                raise
            except OSError:
                self._receive_failures += 1
                continue
            self._datagrams += 1
            answer = receive_datagram(data, packed_address(source[0]), source[1], now)
            if answer is not None:
                try:
                    send(answer, source)
                except OSError:
                    # The client sends its request again when no answer comes (BEP 15); to wait for room in the buffer
                    # would make everybody wait.
                    self._send_failures += 1
