"""As much of Redis's protocol (RESP2) as the comparison needs, pipelined: no client library's speed is measured."""

from __future__ import annotations

import socket

ANSWER_SECONDS = 30.0
_READ_BYTES = 1 << 18
_END = b"\r\n"


class RedisError(Exception):
    """Redis refuses something; ``str()`` is its own words."""


def command(*words: bytes) -> bytes:
    """One command."""
    return b"*%d\r\n%b" % (len(words), b"".join([b"$%d\r\n%b\r\n" % (len(word), word) for word in words]))


class Redis:
    """A connection. Commands go out in one write, and their replies are read in order."""

    def __init__(self, host: str, port: int) -> None:
        self._socket = socket.create_connection((host, port), ANSWER_SECONDS)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = b""
        self._at = 0

    def send(self, commands: list[bytes]) -> None:
        """Each is made by `command`."""
        self._socket.sendall(b"".join(commands))

    def ask(self, *words: bytes) -> object:
        """One command, and its reply."""
        self.send([command(*words)])
        return self.reply()

    def reply(self) -> object:
        """The next reply: bytes, a number, None, or a list of these. Raises `RedisError`."""
        line = self._line()
        kind, rest = line[:1], line[1:]
        match kind:
            case b"+":
                return rest
            case b"-":
                raise RedisError(rest.decode(errors="replace"))
            case b":":
                return int(rest)
            case b"$":
                return None if rest == b"-1" else self._take(int(rest) + 2)[:-2]
            case b"*":
                return [self.reply() for _ in range(int(rest))]
            case _:
                raise RedisError(f"not RESP: {line[:80]!r}")

    def blobs(self, size: int) -> bytes:
        """A list of strings that all have one size, as they came, in one piece.

        Read one by one, fifty peers cost a Python client more than all of Redis does.
        """
        line = self._line()
        if line[:1] != b"*":
            raise RedisError(line.decode(errors="replace"))
        return self._take(int(line[1:]) * (len(b"$%d\r\n" % size) + size + 2))

    def _line(self) -> bytes:
        while (end := self._buffer.find(_END, self._at)) < 0:
            self._read()
        line = self._buffer[self._at : end]
        self._at = end + 2
        return line

    def _take(self, size: int) -> bytes:
        while len(self._buffer) - self._at < size:
            self._read()
        taken = self._buffer[self._at : self._at + size]
        self._at += size
        return taken

    def _read(self) -> None:
        data = self._socket.recv(_READ_BYTES)
        if not data:
            raise RedisError("the connection was closed")
        self._buffer = self._buffer[self._at :] + data
        self._at = 0
