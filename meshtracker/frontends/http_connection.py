"""One HTTP connection without its socket: bytes in, responses out, in order; and how long it may stay as it is.

Whoever owns the socket sends all that `receive_data` gives, then what `resume` gives as long as `has_more`, and reads
only after that: so neither requests nor responses pile up here.
"""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from meshtracker.frontends.http import HttpFrontend
from meshtracker.wire.http_head import TOO_LONG, RequestHeadError, head_end, parse_head

_ANSWERS_AT_ONCE_BYTES = 16_384
"""Pipelined requests are answered up to this many bytes at a time: none has a turn much longer than others, and of
thousands of clients that read nothing each holds little."""
_LINGER_SECONDS = 2.0
"""How long a client whose request was refused may go on sending: time enough for it to read why."""


@attrs.frozen(kw_only=True)
class HttpLimits:
    """What one connection may take."""

    max_head_bytes: int = 16_384
    head_timeout_seconds: float = 10.0
    """From the first byte of a head to its last, and from the connection's start to its first byte."""
    idle_timeout_seconds: float = 30.0
    """From a response to the next request."""


class HttpConnection:
    """One client's connection; deadlines are on the clock of ``now``."""

    __slots__ = (
        "_address",
        "_buffer",
        "_frontend",
        "_in_head",
        "_limits",
        "_pieces",
        "deadline",
        "has_more",
        "is_unread",
        "should_close",
    )

    def __init__(self, *, frontend: HttpFrontend, limits: HttpLimits, address: bytes, now: float) -> None:
        """``address`` is the packed address of the TCP peer."""
        self._frontend = frontend
        self._limits = limits
        self._address = address
        self._buffer = b""
        self._in_head = False
        self._pieces: Iterator[bytes] | None = None
        self.deadline = now + limits.head_timeout_seconds
        """Close the connection unless it was moved by then; does not count while the client takes its response."""
        self.should_close = False
        """Close the connection once all is sent."""
        self.is_unread = False
        """The client may have sent more than was read: shut down writing, and close only at its end or the deadline.

        To close at once would send a reset, which takes from the client what it has not read of the response.
        """
        self.has_more = False
        """Call `resume` once all is sent."""

    def receive_data(self, data: bytes, now: float) -> bytes:
        """The responses to what ``data`` completes. Takes any bytes; never call it while `has_more`."""
        if self.should_close:
            return b""
        self._buffer += data
        return self.resume(now)

    @property
    def is_idle(self) -> bool:
        """Does the next byte begin a request?"""
        return not self._buffer and not self.should_close and not self.has_more

    def was_refreshed(self, now: float, *, keep_alive: bool) -> None:
        """Whoever owns the socket has answered one whole request while this `is_idle`."""
        self.deadline = now + self._limits.idle_timeout_seconds
        if not keep_alive:
            self._stop(now)

    def resume(self, now: float) -> bytes:
        """What comes after all that was sent: more of a long response, or the responses to requests in waiting."""
        self.has_more = False
        answer = self._answer_next(now) if self._pieces is None else self._next_piece(self._pieces)
        if not self._buffer or self.should_close:
            return answer
        answers = []
        size = 0
        while answer and not self.should_close:
            answers.append(answer)
            size += len(answer)
            if size >= _ANSWERS_AT_ONCE_BYTES:
                self.has_more = True
                return b"".join(answers)
            answer = self._answer_next(now)
        answers.append(answer)
        return b"".join(answers)

    def _answer_next(self, now: float) -> bytes:
        """The response to the next request, or its beginning; empty while there is no whole head."""
        # RFC 9112 (2.2): line ends before a request line are passed over.
        buffer = self._buffer = self._buffer.lstrip(b"\r\n")
        end = head_end(buffer)
        if (end or len(buffer)) > self._limits.max_head_bytes:
            return self._refuse(RequestHeadError(TOO_LONG), now)
        if not end:
            if buffer and not self._in_head:
                self._in_head = True
                self.deadline = now + self._limits.head_timeout_seconds
            return b""
        self._buffer = buffer[end:]
        self._in_head = False
        self.deadline = now + self._limits.idle_timeout_seconds
        try:
            request = parse_head(buffer[:end])
        except RequestHeadError as error:
            return self._refuse(error, now)
        answer = self._frontend.answer(request, self._address, now)
        if not isinstance(answer, bytes):
            self._stop(now)
            self._pieces = answer
            return self._next_piece(answer)
        if not request.keep_alive:
            self._stop(now)
        return answer

    def _next_piece(self, pieces: Iterator[bytes]) -> bytes:
        piece = next(pieces, b"")
        self.has_more = bool(piece)
        return piece

    def _refuse(self, error: RequestHeadError, now: float) -> bytes:
        self.is_unread = True
        self._stop(now)
        return self._frontend.refuse(error)

    def _stop(self, now: float) -> None:
        """Answer no further request."""
        self.should_close = True
        self.is_unread = self.is_unread or bool(self._buffer)
        self._buffer = b""
        self.deadline = now + _LINGER_SECONDS
