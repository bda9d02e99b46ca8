"""The request head: whole at its empty line and not before, lenient in the target, strict about bodies."""

from __future__ import annotations

import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtracker.wire.http_head import (
    BAD_REQUEST,
    VERSION_NOT_SUPPORTED,
    RequestHead,
    RequestHeadError,
    forwarded_addresses,
    head_end,
    parse_head,
)


def parse(line: bytes, *fields: bytes) -> RequestHead:
    return parse_head(b"\r\n".join([line, *fields, b"", b""]))


@pytest.mark.parametrize("line_end", [b"\r\n", b"\n"])
def test_a_head_is_whole_at_its_empty_line(line_end: bytes) -> None:
    head = line_end.join([b"GET / HTTP/1.1", b"Host: a", b"", b""])
    for length in range(len(head)):
        assert head_end(head[:length]) == 0
    assert head_end(head) == len(head)
    assert head_end(head + b"GET / HTTP/1.1\r\n\r\n\n\n") == len(head)


def test_line_ends_may_be_mixed() -> None:
    assert head_end(b"GET / HTTP/1.0\nA: b\r\n\nrest") == len(b"GET / HTTP/1.0\nA: b\r\n\n")
    assert head_end(b"GET / HTTP/1.0\r\nA: b\n\r\nrest") == len(b"GET / HTTP/1.0\r\nA: b\n\r\n")


@pytest.mark.parametrize(
    ("line", "path", "query"),
    [
        (b"GET /announce?a=1&b HTTP/1.1", b"/announce", b"a=1&b"),
        (b"GET /announce HTTP/1.0", b"/announce", b""),
        (b"GET /announce ?a=1 HTTP/1.1", b"/announce", b"a=1"),
        (b"GET  /announce  ?a= 1  HTTP/1.1", b"/announce", b"a= 1 "),
        (b"GET /announce?a=\xff\x80\x00 HTTP/1.1", b"/announce", b"a=\xff\x80\x00"),
        (b"GET /announce?a= HTTP/1.0 HTTP/1.1", b"/announce", b"a= HTTP/1.0"),
        (b"GET /announce?a=1?b=2 HTTP/1.1", b"/announce", b"a=1?b=2"),
        (b"GET http://tracker:6969/announce?a=1 HTTP/1.1", b"/announce", b"a=1"),
        (b"GET http://tracker HTTP/1.1", b"/", b""),
        (b"GET http://tracker/a/b HTTP/1.1 ", b"/a/b", b""),
    ],
)
def test_targets(line: bytes, path: bytes, query: bytes) -> None:
    head = parse(line)
    assert (head.method, head.path, head.query) == (b"GET", path, query)


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"GET /", BAD_REQUEST),
        (b"GET", BAD_REQUEST),
        (b"", BAD_REQUEST),
        (b"GET HTTP/1.1", BAD_REQUEST),
        (b"GET  HTTP/1.1", BAD_REQUEST),
        (b"GET   HTTP/1.1", BAD_REQUEST),
        (b"GET announce HTTP/1.1", BAD_REQUEST),
        (b"GET ?a=1 HTTP/1.1", BAD_REQUEST),
        (b"OPTIONS * HTTP/1.1", BAD_REQUEST),
        (b"GET / HTTP/2.0", VERSION_NOT_SUPPORTED),
        (b"GET / HTTP/0.9", VERSION_NOT_SUPPORTED),
        (b"GET / HTTP/", VERSION_NOT_SUPPORTED),
    ],
)
def test_what_is_refused(line: bytes, status: bytes) -> None:
    with pytest.raises(RequestHeadError) as refused:
        parse(line)
    assert refused.value.status == status


@pytest.mark.parametrize(
    ("version", "fields", "keep_alive"),
    [
        (b"1.1", [], True),
        (b"1.1", [b"Connection: close"], False),
        (b"1.1", [b"CONNECTION:Close"], False),
        (b"1.1", [b"Host: a", b"Connection: TE, close", b"TE: trailers"], False),
        (b"1.1", [b"Connection: keep-alive"], True),
        (b"1.1", [b"Connection: keep-alive", b"Connection: close"], False),
        (b"1.1", [b"X-Connection: close"], True),
        (b"1.0", [], False),
        (b"1.0", [b"Connection: Keep-Alive"], True),
        (b"1.0", [b"Connection: close"], False),
        (b"1.2", [], True),
    ],
)
def test_keep_alive(version: bytes, fields: list[bytes], *, keep_alive: bool) -> None:
    assert parse(b"GET / HTTP/" + version, *fields).keep_alive is keep_alive


@pytest.mark.parametrize(
    "fields",
    [
        [b"Content-Length: 1"],
        [b"content-length:5"],
        [b"Content-Length : 5"],
        [b"Content-Length: 0", b"Content-Length: 5"],
        [b"Content-Length:"],
        [b"Content-Length: +0"],
        [b"Transfer-Encoding: chunked"],
        [b"TRANSFER-ENCODING: identity"],
    ],
)
def test_a_body_is_refused(fields: list[bytes]) -> None:
    with pytest.raises(RequestHeadError) as refused:
        parse(b"GET / HTTP/1.1", *fields)
    assert refused.value.status == BAD_REQUEST


def test_a_body_of_nothing_is_none() -> None:
    assert parse(b"GET / HTTP/1.1", b"Content-Length: 0").keep_alive


@pytest.mark.parametrize(
    ("fields", "addresses"),
    [
        ([], []),
        ([b"X-Forwarded-For: 192.0.2.1"], [b"192.0.2.1"]),
        ([b"x-forwarded-for:192.0.2.1 ,  ::1 "], [b"192.0.2.1", b"::1"]),
        ([b"X-Forwarded-For: a", b"Host: b", b"X-Forwarded-For: c, d"], [b"a", b"c", b"d"]),
        ([b"X-Real-IP: 192.0.2.9"], [b"192.0.2.9"]),
        ([b"X-Real-IP: 192.0.2.9", b"X-Forwarded-For: 192.0.2.1"], [b"192.0.2.1"]),
        ([b"Not-X-Forwarded-For: 192.0.2.1"], []),
    ],
)
def test_forwarded_addresses(fields: list[bytes], addresses: list[bytes]) -> None:
    assert forwarded_addresses(parse(b"GET / HTTP/1.1", *fields).fields) == addresses


@given(st.binary(max_size=200), st.sampled_from([b"", b"\r\n\r\n", b" HTTP/1.1\r\n\r\n"]))
def test_arbitrary_bytes(data: bytes, end: bytes) -> None:
    head = b"GET " + data + end
    length = head_end(head)
    with suppress(RequestHeadError):
        assert parse_head(head[:length] if length else head).path.startswith(b"/")


@pytest.mark.parametrize("piece", [b"?", b" ", b" HTTP/", b"\n", b"\nconnection:", b"\nx-forwarded-for:", b"/", b"://"])
def test_the_longest_heads_take_no_longer_than_their_length(piece: bytes) -> None:
    def seconds(size: int) -> float:
        head = b"GET " + piece * (size // len(piece)) + b" HTTP/1.1\r\nA: b\r\n\r\n"
        started = time.perf_counter()
        head_end(head)
        with suppress(RequestHeadError):
            forwarded_addresses(parse_head(head).fields)
        return time.perf_counter() - started

    # A quadratic parser would take 64 times as long for 1 MiB as for 128 KiB, or some seconds in all.
    assert min(seconds(1 << 20) for _ in range(3)) < 0.5
