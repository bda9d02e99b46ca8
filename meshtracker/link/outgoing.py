"""What a session has to say besides data: one object with bounds, in the order in which it goes out."""

from __future__ import annotations

from collections import deque

import attrs

from meshtracker.errors import CloseCode, LinkError
from meshtracker.wire.link import Directed, encode_directed

MAX_CONTROL_BYTES = 4 << 20
"""Control frames that wait: this node's own vector and access list, each a megabyte at the most, twice."""
MAX_DIRECTED = 64
"""Directed messages that wait; each is at most 16 KiB of body."""
MAX_DIRECTED_BYTES = 262_144


class Outgoing:
    """Control frames overtake all data; a heartbeat waits only once; directed messages wait behind batches."""

    def __init__(self) -> None:
        self.heartbeat_is_due = False
        """One is made when it is written, so that it says what is true then."""
        self.challenge_is_due = False
        """The next one asks for an answer."""
        self._control: deque[bytes] = deque()
        self._control_bytes = 0
        self._directed: deque[tuple[float, Directed]] = deque()
        """Each with the moment from which nobody waits for it any more."""
        self._directed_bytes = 0
        self.late_directed = 0
        """Directed messages that waited for too long."""

    def put(self, *frames: bytes) -> None:
        """Frames that go before all data. Raises `LinkError` if the peer reads nothing."""
        for frame in frames:
            self._control.append(frame)
            self._control_bytes += len(frame)
        if self._control_bytes > MAX_CONTROL_BYTES:
            raise LinkError(
                f"more than {MAX_CONTROL_BYTES} bytes wait for a node that does not read", code=CloseCode.OTHER
            )

    def last_words(self, frame: bytes) -> None:
        """The last frame of all: nothing goes before it but what waits already."""
        self._control.append(frame)
        self._control_bytes += len(frame)
        self._directed.clear()
        self._directed_bytes = 0

    def take(self) -> bytes:
        """All control frames."""
        data = b"".join(self._control)
        self._control.clear()
        self._control_bytes = 0
        return data

    def put_directed(self, message: Directed, now: float) -> bool:
        """Have a directed message wait; False if there is no room."""
        if len(self._directed) >= MAX_DIRECTED or self._directed_bytes + len(message.body) > MAX_DIRECTED_BYTES:
            return False
        self._directed.append((now + message.deadline_ms / 1000, message))
        self._directed_bytes += len(message.body)
        return True

    def take_directed(self, now: float) -> bytes:
        """One directed message; b"" if none waits that somebody still waits for."""
        while self._directed:
            until, message = self._directed.popleft()
            self._directed_bytes -= len(message.body)
            left_ms = int((until - now) * 1000)
            if left_ms > 0:
                return encode_directed(attrs.evolve(message, deadline_ms=left_ms))
            self.late_directed += 1
        return b""

    @property
    def waiting_bytes(self) -> int:
        """Bytes that are held for the peer."""
        return self._control_bytes + self._directed_bytes
