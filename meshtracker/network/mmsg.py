"""recvmmsg(2) and sendmmsg(2) on buffers that are made once (Linux).

Called through ctypes, so that no compiler is needed: a call serves a batch, and what ctypes costs is shared by it.

    headers     one struct mmsghdr a slot: where its name (source) and its iovec lie, and how much came
    buffers     one struct iovec a slot: where its data lies, and how long it is

Slot i of the answers points at the name that the datagram it answers came with, wherever that lies.
"""

from __future__ import annotations

import ctypes
import errno
import socket
import struct
from array import array
from collections.abc import Iterator, Mapping
from itertools import accumulate

from meshtracker.wire.compact import canonical_address
from meshtracker.wire.udp import MAX_DATAGRAM_BYTES

SLOTS = 64
"""Datagrams in one system call: by then its cost is spread, and the first answer waits for less than a millisecond."""
ANSWER_BYTES = 1 << 17
"""Room for the answers of a batch, and for twice what fits one datagram."""
NAME_BYTES = {socket.AF_INET: 16, socket.AF_INET6: 28}
"""struct sockaddr_in, struct sockaddr_in6."""


class _Buffer(ctypes.Structure):
    """struct iovec."""

    _fields_ = (("base", ctypes.c_size_t), ("size", ctypes.c_size_t))


class _Message(ctypes.Structure):
    """struct msghdr."""

    _fields_ = (
        ("name", ctypes.c_size_t),
        ("name_size", ctypes.c_uint),
        ("buffers", ctypes.c_size_t),
        ("buffers_count", ctypes.c_size_t),
        ("control", ctypes.c_size_t),
        ("control_size", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class _Header(ctypes.Structure):
    """struct mmsghdr."""

    _fields_ = (("message", _Message), ("datagram_size", ctypes.c_uint))


_HEADER_WORDS = ctypes.sizeof(_Header) // ctypes.sizeof(ctypes.c_ulong)
_HEADER_INTS = ctypes.sizeof(_Header) // 4
_SIZE_AT = _Header.datagram_size.offset // 4
_NAME = struct.Struct("!2xH4s8x")
_NAME6 = struct.Struct("!2xH4x16s4x")
"""Port and packed address in a struct sockaddr_in or sockaddr_in6."""


class DatagramBuffers:
    """Of one socket. Two sockets may not share them: answers may still be in there."""

    def __init__(self, listener: socket.socket) -> None:
        """OSError if the system has no such calls."""
        try:
            library = ctypes.CDLL(None, use_errno=True)
            self._recvmmsg, self._sendmmsg = library.recvmmsg, library.sendmmsg
        except (OSError, AttributeError, TypeError) as error:  # no library, no such call, no name for the main program
            raise OSError(errno.ENOSYS, "no recvmmsg and sendmmsg") from error
        if listener.family not in NAME_BYTES:
            raise OSError(errno.EAFNOSUPPORT, "neither IPv4 nor IPv6")
        self._descriptor = listener.fileno()
        self._is_ipv6 = listener.family == socket.AF_INET6
        self._name_bytes = NAME_BYTES[listener.family]

        self.received = bytearray(SLOTS * MAX_DATAGRAM_BYTES)
        """Slot i begins at ``i * MAX_DATAGRAM_BYTES``."""
        self._names = bytearray(SLOTS * self._name_bytes)
        self._answers = bytearray(ANSWER_BYTES)
        # While they are exported, they cannot be resized, and so stay where the headers say.
        self._exports = [_export(buffer) for buffer in (self._names, self._answers, self.received)]
        names_at, self._answers_at, received_at = map(ctypes.addressof, self._exports)
        self._name_at = [names_at + slot * self._name_bytes for slot in range(SLOTS)]
        self._in_buffers = (_Buffer * SLOTS)(
            *(_Buffer(received_at + slot * MAX_DATAGRAM_BYTES, MAX_DATAGRAM_BYTES) for slot in range(SLOTS))
        )
        self._out_buffers = (_Buffer * SLOTS)()
        self._in_headers = self._make_headers(self._in_buffers)
        self._out_headers = self._make_headers(self._out_buffers)
        self._in_sizes = memoryview(self._in_headers).cast("B").cast("I")[_SIZE_AT::_HEADER_INTS]
        # On Linux an unsigned long has the size of a pointer.
        self._out_names = memoryview(self._out_headers).cast("B").cast("L")[::_HEADER_WORDS]
        buffer_words = memoryview(self._out_buffers).cast("B").cast("L")
        self._out_starts, self._out_sizes = buffer_words[::2], buffer_words[1::2]

    def _make_headers(self, buffers: ctypes.Array[_Buffer]) -> ctypes.Array[_Header]:
        at = ctypes.addressof(buffers)
        size = ctypes.sizeof(_Buffer)
        return (_Header * SLOTS)(
            *(
                _Header(_Message(name_at, self._name_bytes, at + slot * size, 1))
                for slot, name_at in enumerate(self._name_at)
            )
        )

    def receive(self, most: int) -> list[int]:
        """The sizes of the datagrams that came, at most ``most``. Raises OSError for news of an earlier answer."""
        count: int = self._recvmmsg(self._descriptor, self._in_headers, most, socket.MSG_DONTWAIT, None)
        if count < 0:
            number = ctypes.get_errno()
            if number not in (errno.EAGAIN, errno.EWOULDBLOCK):
                raise OSError(number, "recvmmsg")
            return []
        return self._in_sizes[:count].tolist()

    def sources(self) -> Iterator[tuple[int, bytes]]:
        """Port and packed address of each slot, of those that were received and beyond."""
        if self._is_ipv6:
            return ((port, canonical_address(address)) for port, address in _NAME6.iter_unpack(self._names))
        return _NAME.iter_unpack(self._names)

    def send(self, answers: Mapping[int, bytes]) -> int:
        """Send answers to the sources of slots; returns how many the system did not take.

        Those are passed over: the client sends its request again when no answer comes (BEP 15); to wait for room would
        make everybody wait.
        """
        data = b"".join(answers.values())
        count = len(answers)
        if len(data) > ANSWER_BYTES:
            if count == 1:
                return 1
            slots = list(answers)
            halves = slots[: count // 2], slots[count // 2 :]
            return sum(self.send({slot: answers[slot] for slot in half}) for half in halves)
        self._answers[: len(data)] = data
        sizes = array("L", map(len, answers.values()))
        self._out_sizes[:count] = sizes
        self._out_starts[:count] = array("L", accumulate(sizes[:-1], initial=self._answers_at))[:count]
        self._out_names[:count] = array("L", map(self._name_at.__getitem__, answers))
        failures = done = 0
        while done < count:
            headers = ctypes.byref(self._out_headers, done * ctypes.sizeof(_Header))
            sent: int = self._sendmmsg(self._descriptor, headers, count - done, socket.MSG_DONTWAIT)
            if sent <= 0:
                failures += 1
                sent = 1
            done += sent
        return failures


def _export(buffer: bytearray) -> ctypes.Array[ctypes.c_char]:
    return (ctypes.c_char * len(buffer)).from_buffer(buffer)
