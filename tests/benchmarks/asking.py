"""One client's socket over UDP, for announces that are not measured."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import attrs

from meshtracker.wire import udp

_ANSWER_BYTES = 20
"""Of an announce without peers; opentracker answers less for a torrent that it does not serve."""


@attrs.frozen
class Asking:
    """A socket with a connection id."""

    socket: socket.socket
    connection_id: bytes

    def announce(self, number: int, body: bytes) -> None:
        """Send an announce; its answer has the number."""
        self.socket.send(self.connection_id + udp.ANNOUNCE + number.to_bytes(4) + body)

    def receive(self) -> tuple[int, bool]:
        """The number of an answer, and whether it is a good one. Raises OSError if none comes."""
        answer = self.socket.recv(udp.MAX_DATAGRAM_BYTES)
        return int.from_bytes(answer[4:8]), answer[:4] == udp.ANNOUNCE and len(answer) >= _ANSWER_BYTES


@contextmanager
def asking(tracker: tuple[str, int], *, timeout_seconds: float, source: str = "") -> Iterator[Asking]:
    """A client at a local address. Raises OSError or `WireError` if the tracker does not answer as one does."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
        opened.bind((source, 0))
        opened.connect(tracker)
        opened.settimeout(timeout_seconds)
        opened.send(udp.pack_connect_request(bytes(4)))
        yield Asking(opened, udp.parse_connect_answer(opened.recv(udp.MAX_DATAGRAM_BYTES)))
