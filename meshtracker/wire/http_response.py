"""HTTP responses of a tracker (RFC 9112): laid by the server, read by the client.

    HTTP/1.1 200 OK CR LF
    name: value CR LF              any number of times
    CR LF
    body                           Content-Length bytes; without that field, up to the end of the connection

The server never compresses (announce answers only grow by it) and never chunks; the client understands chunks.
"""

from __future__ import annotations

import attrs

from meshtracker.errors import WireError

OK = b"200 OK"
NOT_FOUND = b"404 Not Found"
METHOD_NOT_ALLOWED = b"405 Method Not Allowed"

_CLOSE = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b"
_KEEP_ALIVE = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: keep-alive\r\nContent-Length: %d\r\n\r\n%b"
_HEAD = b"HTTP/1.1 %b\r\nContent-Type: text/plain\r\nConnection: %b\r\n%b\r\n"


def ok_response(body: bytes, *, keep_alive: bool) -> bytes:
    """A whole response of status 200."""
    return (_KEEP_ALIVE if keep_alive else _CLOSE) % (len(body), body)


def status_response(status: bytes, *, keep_alive: bool) -> bytes:
    """A whole response that says no more than its status."""
    body = status + b"\n"
    # RFC 9110 (15.5.6) wants the methods named that would be allowed.
    fields = b"Allow: GET, HEAD\r\n" if status == METHOD_NOT_ALLOWED else b""
    return response_head(status, keep_alive=keep_alive, fields=b"%bContent-Length: %d\r\n" % (fields, len(body))) + body


def response_head(status: bytes, *, keep_alive: bool, fields: bytes = b"") -> bytes:
    """A head alone: the whole answer to HEAD, else before a body that ``fields`` tells the length of or close ends."""
    return _HEAD % (status, b"keep-alive" if keep_alive else b"close", fields)


@attrs.frozen
class Response:
    """A response as the client got it."""

    status: int
    reason: str
    body: bytes


def parse_response(data: bytes, *, ended: bool) -> Response | None:
    """The response in all that came so far; None while it is not whole, and never once the stream has ``ended``.

    Raises `WireError` for what is no HTTP/1 response, or ended too early.
    """
    head, empty_line, rest = data.partition(b"\r\n\r\n")
    if not empty_line:
        if ended:
            raise WireError(f"the connection ended after {len(data)} bytes of an HTTP response")
        return None
    status_line, *lines = head.split(b"\r\n")
    status, reason = _parse_status(status_line)
    fields = {}
    for line in lines:
        name, _, value = line.partition(b":")
        fields[name.strip().lower()] = value.strip()
    body: bytes | None
    if b"chunked" in fields.get(b"transfer-encoding", b"").lower():
        body = _join_chunks(rest)
    elif b"content-length" in fields:
        size = _parse_size(fields[b"content-length"], base=10)
        body = rest[:size] if len(rest) >= size else None
    else:
        body = rest if ended else None
    if body is None and ended:
        raise WireError(f"the connection ended after {len(rest)} bytes of an HTTP body")
    return Response(status, reason, body) if body is not None else None


def _parse_status(line: bytes) -> tuple[int, str]:
    version, _, rest = line.partition(b" ")
    status, _, reason = rest.partition(b" ")
    if not version.startswith(b"HTTP/1.") or len(status) != 3 or not status.isdigit():
        raise WireError(f"not an HTTP response: {line[:80]!r}")
    return int(status), reason.decode("latin-1")


def _join_chunks(rest: bytes) -> bytes | None:
    """The body in chunks; None while the last one has not come. Trailer fields are not waited for."""
    body = bytearray()
    position = 0
    while (line_end := rest.find(b"\r\n", position)) >= 0:
        size = _parse_size(rest[position:line_end].partition(b";")[0].strip(), base=16)
        if size == 0:
            return bytes(body)
        body += rest[line_end + 2 : line_end + 2 + size]
        position = line_end + 2 + size + 2
        if position > len(rest):
            break
    return None


def _parse_size(digits: bytes, *, base: int) -> int:
    # isalnum keeps out signs, blanks and underscores, which int() would take; 15 digits are more than any body has.
    if digits.isalnum() and len(digits) <= 15:
        try:
            return int(digits, base)
        except ValueError:
            pass
    raise WireError(f"not a size of an HTTP body: {digits[:20]!r}")
