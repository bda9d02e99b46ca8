"""Datagrams taken from a socket and answered in batches.

`BatchedDatagrams` has the kernel hand over and take many at once, for a system call costs as much as an answer does.
`NativeDatagrams` does that in C, where it was built, and answers usual announces on the spot.
`SingleDatagrams` does the same one by one where there are no such calls.
"""

from __future__ import annotations

import secrets
import socket
import struct
from collections.abc import Callable, Mapping
from typing import Final, Protocol, TypeAlias

from meshtracker.network import mmsg
from meshtracker.network.mmsg import DatagramBuffers
from meshtracker.node.refreshes import Refreshes
from meshtracker.wire.compact import canonical_address, packed_address
from meshtracker.wire.udp import MAX_DATAGRAM_BYTES

try:
    from meshtracker.network._batch import Batch
except ImportError:  # the package is installed as plain Python
    Batch = None  # type: ignore[assignment,misc]  # a class, or none where there is no such module

ReceiveDatagram: TypeAlias = Callable[[bytes, bytes, int, float], bytes | None]
"""data, packed source address, source port, now → answer or None."""

SLOTS: Final = mmsg.SLOTS
"""Datagrams that `exchange` takes at most."""
_HEADER_INTS: Final = mmsg.HEADER_INTS
_HEADER_WORDS: Final = mmsg.HEADER_WORDS
_SIZE_AT: Final = mmsg.SIZE_AT
_ANSWER_BYTES: Final = mmsg.ANSWER_BYTES
_NAME: Final = struct.Struct("!2xH4s8x")
_NAME6: Final = struct.Struct("!2xH4x16s4x")
"""Port and packed address in a struct sockaddr_in or sockaddr_in6."""


class Frontend(Protocol):
    """Who answers announces by `Refreshes` must tell how many those were."""

    def refreshes(self, now: float) -> Refreshes: ...

    def connection_ids(self, now: float) -> Mapping[bytes, bytes]: ...

    def count_announces(self, announces: int) -> None: ...


class SingleDatagrams:
    """One socket, one system call a datagram."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self.send_failures = 0
        self.receive_failures = 0

    def exchange(self, receive_datagram: ReceiveDatagram, now: float, most: int) -> int:
        """Answer up to ``most`` datagrams that wait; returns how many came: if fewer, none is left."""
        listener = self._listener
        for count in range(most):
            try:
                data, source = listener.recvfrom(MAX_DATAGRAM_BYTES)
            except BlockingIOError:
                return count
            except OSError:
                self.receive_failures += 1
                return count
            answer = receive_datagram(data, packed_address(source[0]), source[1], now)
            if answer is not None:
                try:
                    listener.sendto(answer, source)
                except OSError:
                    self.send_failures += 1
        return most


class BatchedDatagrams:
    """One socket, one system call a batch, and another for its answers."""

    def __init__(self, listener: socket.socket) -> None:
        """OSError if the system has no such calls."""
        self._buffers = DatagramBuffers(listener)
        self._is_ipv6 = listener.family == socket.AF_INET6
        self.send_failures = 0
        self.receive_failures = 0

    def exchange(self, receive_datagram: ReceiveDatagram, now: float, most: int) -> int:
        """Answer up to ``most`` (at most `SLOTS`) that wait; returns how many came: if fewer, none is left."""
        buffers = self._buffers
        try:
            count = buffers.receive(most)
        except OSError:
            self.receive_failures += 1
            return 0
        names, received, sizes = buffers.names, buffers.received, buffers.in_sizes
        answers, words, buffer_words = buffers.answers, buffers.out_words, buffers.out_buffer_words
        names_at, answers_at, name_bytes = buffers.names_at, buffers.answers_at, buffers.name_bytes
        unpack_name = (_NAME6 if self._is_ipv6 else _NAME).unpack_from
        answered = used = 0
        for slot in range(count):
            at = slot * MAX_DATAGRAM_BYTES
            port, address = unpack_name(names, slot * name_bytes)
            if self._is_ipv6:
                address = canonical_address(address)
            data = bytes(received[at : at + sizes[slot * _HEADER_INTS + _SIZE_AT]])
            answer = receive_datagram(data, address, port, now)
            if answer is None:
                continue
            size = len(answer)
            if used + size > _ANSWER_BYTES:
                self._send(answered)
                answered = used = 0
                if size > _ANSWER_BYTES:
                    self.send_failures += 1
                    continue
            answers[used : used + size] = answer
            buffer_words[2 * answered] = answers_at + used
            buffer_words[2 * answered + 1] = size
            words[answered * _HEADER_WORDS] = names_at + slot * name_bytes
            used += size
            answered += 1
        self._send(answered)
        return count

    def _send(self, count: int) -> None:
        """Send the answers laid out. What the system does not take is passed over.

        The client sends its request again when no answer comes (BEP 15); to wait for room would make everybody wait.
        """
        done = 0
        while done < count:
            sent = self._buffers.send(done, count)
            if not sent:
                self.send_failures += 1
                sent = 1
            done += sent


class NativeDatagrams:
    """One socket; `network/_batch.c` says how."""

    def __init__(self, listener: socket.socket, frontend: Frontend | None = None) -> None:
        """``frontend`` of ``receive_datagram``, for usual announces. OSError if it was not built."""
        if Batch is None or listener.family not in mmsg.NAME_BYTES:
            raise OSError("not for this socket, or not built")
        self._batch = Batch(listener.fileno(), listener.family == socket.AF_INET6, secrets.randbits(64))
        self._frontend = frontend

    @property
    def send_failures(self) -> int:
        """Answers that the system did not take."""
        return self._batch.send_failures

    @property
    def receive_failures(self) -> int:
        """Errors in place of a datagram."""
        return self._batch.receive_failures

    def exchange(self, receive_datagram: ReceiveDatagram, now: float, most: int) -> int:
        """Answer up to ``most`` (at most `SLOTS`) that wait; returns how many came: if fewer, none is left."""
        frontend = self._frontend
        if frontend is None:
            return self._batch.exchange(receive_datagram, now, most, {}, None)[0]
        count, announces = self._batch.exchange(
            receive_datagram, now, most, frontend.connection_ids(now), frontend.refreshes(now)
        )
        if announces:
            frontend.count_announces(announces)
        return count


Datagrams: TypeAlias = NativeDatagrams | BatchedDatagrams | SingleDatagrams


def datagrams(listener: socket.socket, frontend: Frontend | None = None) -> Datagrams:
    """The fastest way that the system has."""
    try:
        return NativeDatagrams(listener, frontend)
    except OSError:
        pass
    try:
        return BatchedDatagrams(listener)
    except OSError:
        return SingleDatagrams(listener)
