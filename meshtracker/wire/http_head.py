"""The head of an HTTP request (RFC 9112), read as leniently as clients need (client-quirks 14, 17).

    GET /announce ?info_hash=%aa… HTTP/1.1 LF or CR LF     spaces and raw high bytes may be anywhere in the target
    name: value                            LF or CR LF     any number of times
                                           LF or CR LF

Only what an announce needs is looked for; other header fields are not even split.
"""

from __future__ import annotations

import functools
import re

from meshtracker.errors import MeshtrackerError

_EMPTY_LINE = re.compile(rb"\n\r?\n")
_HOP_FIELDS = re.compile(rb"\n(connection|content-length|transfer-encoding)[ \t]*:([^\n]*)")
_CACHED_FIELDS = 1024
"""A client's header fields are the same in each request, and mostly those of all clients of its kind.

So many of the longest heads (16 KiB by default) are all that this can be made to hold.
"""
_FORWARDED = re.compile(rb"\nx-forwarded-for:([^\n]*)", re.IGNORECASE)
_REAL_IP = re.compile(rb"\nx-real-ip:([^\n]*)", re.IGNORECASE)


class RequestHeadError(MeshtrackerError):
    """A head after which the connection cannot be read any further; answered with a status of its own."""

    fault = "client"
    visible = True

    def __init__(self, status: bytes) -> None:
        """``status`` is a status code and its reason phrase."""
        super().__init__(status.decode())
        self.status = status


BAD_REQUEST = b"400 Bad Request"
TOO_LONG = b"414 Request-URI Too Long"
"""The older phrase of RFC 2616: Transmission asks for fewer hashes a scrape only on this one (client-quirks 25)."""
VERSION_NOT_SUPPORTED = b"505 HTTP Version Not Supported"


class RequestHead:
    """What an HTTP request asks for, and how its connection goes on."""

    __slots__ = ("fields", "keep_alive", "method", "path", "query")

    def __init__(self, method: bytes, path: bytes, query: bytes, keep_alive: bool, fields: bytes) -> None:
        self.method = method
        self.path = path
        self.query = query
        """All after the first ``?`` of the target, still encoded."""
        self.keep_alive = keep_alive
        """May another request follow on this connection?"""
        self.fields = fields
        """The header fields as they came, with the line end before them."""


def head_end(data: bytes) -> int:
    """Length of the head that ``data`` begins with, its empty line included; 0 while it is not whole."""
    end = _EMPTY_LINE.search(data)
    return end.end() if end is not None else 0


def parse_head(head: bytes) -> RequestHead:
    """The request of a whole head. Raises `RequestHeadError` for what is not HTTP/1 or has a body."""
    line_end = head.find(b"\n")
    request, _, version = head[:line_end].rpartition(b" HTTP/")
    method, _, target = request.partition(b" ")
    path, _, query = target.partition(b"?")
    if not path:
        raise RequestHeadError(BAD_REQUEST)
    if not version.startswith(b"1."):
        raise RequestHeadError(VERSION_NOT_SUPPORTED)
    path = path.strip(b" ")
    if not path.startswith(b"/"):
        path = _path_of_absolute(path)
    fields = head[line_end:]
    return RequestHead(method, path, query, keeps_alive(version, fields), fields)


def forwarded_addresses(fields: bytes) -> list[bytes]:
    """Addresses of all ``X-Forwarded-For`` fields, the nearest proxy's last; else that of ``X-Real-IP``; else none."""
    forwarded = _FORWARDED.findall(fields)
    if forwarded:
        return [address.strip() for address in b",".join(forwarded).split(b",")]
    return [address.strip() for address in _REAL_IP.findall(fields)[-1:]]


@functools.lru_cache(maxsize=_CACHED_FIELDS)
def keeps_alive(version: bytes, fields: bytes) -> bool:
    """RFC 9112 (9.3): HTTP/1.1 keeps a connection unless told otherwise, HTTP/1.0 only where asked to.

    Raises `RequestHeadError` for a body: nothing here has one, and unread it would be taken for the next request.
    """
    keep_alive = not version.startswith(b"1.0")
    for name, value in _HOP_FIELDS.findall(fields.lower()):
        if name == b"connection":
            keep_alive = b"close" not in value and (keep_alive or b"keep-alive" in value)
        elif name == b"transfer-encoding" or value.strip() != b"0":
            raise RequestHeadError(BAD_REQUEST)
    return keep_alive


def _path_of_absolute(target: bytes) -> bytes:
    """Path of ``http://host/path``, as clients send it to a proxy; an empty one is ``/``."""
    _, scheme_end, rest = target.partition(b"://")
    if not scheme_end:
        raise RequestHeadError(BAD_REQUEST)
    return b"/" + rest.partition(b"/")[2]
