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


_WORD = ctypes.sizeof(ctypes.c_size_t)
HEADER_WORDS = ctypes.sizeof(_Header) // _WORD
HEADER_INTS = ctypes.sizeof(_Header) // 4
SIZE_AT = _Header.datagram_size.offset // 4


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
        self.name_bytes = NAME_BYTES[listener.family]

        self.names = bytearray(SLOTS * self.name_bytes)
        received = bytearray(SLOTS * MAX_DATAGRAM_BYTES)
        self.answers = bytearray(ANSWER_BYTES)
        self.received = memoryview(received)
        # While they are exported, they cannot be resized, and so stay where the headers say.
        self._exports = [_export(buffer) for buffer in (self.names, self.answers, received)]
        self.names_at, self.answers_at, received_at = map(ctypes.addressof, self._exports)
        """Where they lie in memory."""
        self._in_buffers = (_Buffer * SLOTS)(
            *(_Buffer(received_at + slot * MAX_DATAGRAM_BYTES, MAX_DATAGRAM_BYTES) for slot in range(SLOTS))
        )
        self._out_buffers = (_Buffer * SLOTS)()
        self._in_headers = self._make_headers(self._in_buffers)
        self._out_headers = self._make_headers(self._out_buffers)
        self.in_sizes = memoryview(self._in_headers).cast("B").cast("I")
        self.out_words = memoryview(self._out_headers).cast("B").cast("P")
        self.out_buffer_words = memoryview(self._out_buffers).cast("B").cast("P")

    def _make_headers(self, buffers: ctypes.Array[_Buffer]) -> ctypes.Array[_Header]:
        at = ctypes.addressof(buffers)
        size = ctypes.sizeof(_Buffer)
        return (_Header * SLOTS)(
            *(
                _Header(_Message(self.names_at + slot * self.name_bytes, self.name_bytes, at + slot * size, 1))
                for slot in range(SLOTS)
            )
        )

    def receive(self, most: int) -> int:
        """How many datagrams came, at most ``most``; 0 if none waits. Raises OSError for news of an earlier answer."""
        count: int = self._recvmmsg(self._descriptor, self._in_headers, most, socket.MSG_DONTWAIT, None)
        if count < 0:
            number = ctypes.get_errno()
            if number not in (errno.EAGAIN, errno.EWOULDBLOCK):
                raise OSError(number, "recvmmsg")
            return 0
        return count

    def send(self, first: int, stop: int) -> int:
        """Send answers from ``first`` on; returns how many the system took, 0 if not even the first one."""
        headers = ctypes.byref(self._out_headers, first * ctypes.sizeof(_Header)) if first else self._out_headers
        sent: int = self._sendmmsg(self._descriptor, headers, stop - first, socket.MSG_DONTWAIT)
        return max(0, sent)


def _export(buffer: bytearray) -> ctypes.Array[ctypes.c_char]:
    return (ctypes.c_char * len(buffer)).from_buffer(buffer)
