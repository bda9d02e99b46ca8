"""Responses: what the server lays the client reads, however it is cut; what is none is a WireError."""

from __future__ import annotations

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtracker.errors import WireError
from meshtracker.wire.http_response import (
    METHOD_NOT_ALLOWED,
    NOT_FOUND,
    OK,
    Response,
    ok_response,
    parse_response,
    response_head,
    status_response,
)

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@given(st.binary(max_size=50), st.booleans())
def test_round_trip_at_every_split(body: bytes, keep_alive: bool) -> None:
    data = ok_response(body, keep_alive=keep_alive)
    for length in range(len(data)):
        assert parse_response(data[:length], ended=False) is None
        with pytest.raises(WireError, match="ended after"):
            parse_response(data[:length], ended=True)
    assert parse_response(data, ended=False) == Response(200, "OK", body)


@pytest.mark.parametrize("keep_alive", [True, False])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_another_implementation_understands_it(method: str, *, keep_alive: bool) -> None:
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method=method, target="/", headers=[("Host", "a")]))
    client.send(h11.EndOfMessage())
    client.receive_data(
        ok_response(b"body", keep_alive=keep_alive) if method == "GET" else response_head(OK, keep_alive=keep_alive)
    )
    response = client.next_event()
    assert isinstance(response, h11.Response)
    assert response.status_code == 200
    if method == "GET":
        body = client.next_event()
        assert isinstance(body, h11.Data)
        assert body.data == b"body"
    assert isinstance(client.next_event(), h11.EndOfMessage)
    assert client.their_state is (h11.DONE if keep_alive else h11.MUST_CLOSE)


def test_statuses() -> None:
    assert parse_response(status_response(NOT_FOUND, keep_alive=True), ended=False) == Response(
        404, "Not Found", b"404 Not Found\n"
    )
    refused = status_response(METHOD_NOT_ALLOWED, keep_alive=False)
    assert b"\r\nAllow: GET, HEAD\r\n" in refused
    assert parse_response(refused, ended=False) == Response(405, "Method Not Allowed", b"405 Method Not Allowed\n")


def test_a_body_may_end_with_the_connection() -> None:
    data = response_head(OK, keep_alive=False) + b"body"
    assert parse_response(data, ended=False) is None
    assert parse_response(data, ended=True) == Response(200, "OK", b"body")


def test_chunks_at_every_split() -> None:
    data = CHUNKED + b"4\r\nwith\r\nA;name=value\r\n spaces in\r\n0\r\n\r\n"
    last_chunk = data.index(b"0\r\n\r\n") + 3
    for length in range(last_chunk):
        assert parse_response(data[:length], ended=False) is None
    for length in range(last_chunk, len(data) + 1):
        assert parse_response(data[:length], ended=False) == Response(200, "OK", b"with spaces in")


def test_what_follows_a_response_is_left_alone() -> None:
    assert parse_response(ok_response(b"body", keep_alive=True) + b"more", ended=True) == Response(200, "OK", b"body")


@pytest.mark.parametrize(
    "data",
    [
        b"\r\n\r\n",
        b"SSH-2.0\r\n\r\n",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 20\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 \xb2\xb2\xb2 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1_0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: a\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9999999999999999\r\n\r\n",
        CHUNKED + b"\r\n",
        CHUNKED + b"x\r\n",
        CHUNKED + b"-1\r\n",
        CHUNKED + b"1\r\na\r\n\r\n",
    ],
)
def test_what_is_no_response(data: bytes) -> None:
    with pytest.raises(WireError):
        parse_response(data, ended=False)


@given(st.binary(max_size=100), st.sampled_from([b"", b"HTTP/1.1 200 OK\r\n", CHUNKED]), st.booleans())
def test_arbitrary_bytes(data: bytes, start: bytes, ended: bool) -> None:
    try:
        response = parse_response(start + data, ended=ended)
    except WireError:
        return
    assert response is not None or not ended
