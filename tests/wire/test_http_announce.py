"""What is read at one go says what the general readers say of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtracker.model import LEFT_UNKNOWN, Event
from meshtracker.wire.http_announce import UsualAnnounce, parse_usual
from meshtracker.wire.http_head import head_end, parse_head
from meshtracker.wire.query import parse_announce
from tests.http_support import HASH, PEER_ID, announce_target, request

ADDRESS = bytes((192, 0, 2, 1))
LIBTORRENT = request(
    announce_target(
        corrupt=0, key=b"1234ABCD", event=b"started", numwant=200, compact=1, no_peer_id=1, supportcrypto=1, redundant=0
    ),
    b"User-Agent: qBittorrent/4.5.2",
    b"Accept-Encoding: gzip",
    b"Connection: close",
)
TRANSMISSION = request(announce_target(left=0, numwant=80, key=b"1234abcd", compact=1, supportcrypto=1))

PIECES = (
    *(b"&", b"=", b"?", b"%", b"%41", b" ", b"\n", b"\r\n\r\n", b"\0", b"\xff", b"0", b"1", b"9" * 20, b"k"),
    *(b"&key=0000ABCD", b"&port=1", b"&left=0", b"&left", b"&info_hash=x", b"&compact=0", b"&ip=192.0.2.7", b"&ipv6="),
    *(b"&event=stopped", b"&event=paused", b"&numwant=%31", b"&numwant=-1", b"&xkey=00000001", b" HTTP/1.0\r\n"),
    *(b"Connection: close\r\n", b"Content-Length: 3\r\n", b"Content-Length: 0\r\n", b"Transfer-Encoding: chunked\n"),
    *(b"&" * 30, b"&" * 60, b"%41" * 70),
)


def by_the_general_readers(data: bytes) -> UsualAnnounce:
    """The same of a request that they can read."""
    assert head_end(data) == len(data)
    head = parse_head(data)
    assert (head.method, head.path) == (b"GET", b"/announce")
    announce = parse_announce(head.query, ADDRESS)
    assert announce.compact
    assert not announce.with_peer_ids
    assert announce.left != LEFT_UNKNOWN
    return (
        announce.info_hash,
        announce.peer_id,
        announce.key,
        announce.port,
        announce.left == 0,
        announce.event,
        announce.numwant,
        head.keep_alive,
    )


def test_what_clients_send_is_usual() -> None:
    said = HASH, PEER_ID, 0x1234ABCD, 6881
    assert parse_usual(LIBTORRENT) == (*said, False, Event.STARTED, 200, False)
    assert parse_usual(TRANSMISSION) == (*said, True, Event.NONE, 80, True)


@given(
    st.sampled_from((LIBTORRENT, TRANSMISSION)),
    st.lists(st.tuples(st.integers(0, 500), st.integers(0, 12), st.sampled_from(PIECES)), min_size=1, max_size=3),
)
def test_what_is_read_is_read_as_by_the_general_readers(data: bytes, changes: list[tuple[int, int, bytes]]) -> None:
    for at, length, piece in changes:
        data = data[:at] + piece + data[at + length :]
    usual = parse_usual(data)
    assert usual is None or usual == by_the_general_readers(data)


@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_not_usual(data: bytes) -> None:
    assert parse_usual(data) is None


@pytest.mark.parametrize("whole", [LIBTORRENT, TRANSMISSION])
def test_less_or_more_than_one_request_is_not_usual(whole: bytes) -> None:
    for cut in range(len(whole)):
        assert parse_usual(whole[:cut]) is None, cut
    for more in (b"\r\n", b"x", whole):
        assert parse_usual(whole + more) is None, more


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"port=6881", b"port=0"),
        (b"port=6881", b"port=65536"),
        (b"left=1000", b"left=-1"),
        (b"left=1000", b"left=" + b"9" * 19),
        (b"key=1234ABCD", b"key=00000000"),
        (b"key=1234ABCD", b"key=77"),
        (b"key=1234ABCD", b"xkey=1234ABCD"),
        (b"&compact=1", b"&compact=0"),
        (b"&corrupt=0", b"&ip=192.0.2.7"),
        (b"&redundant=0", b"&port=1"),
        (b"&redundant=0", b"&info_hash"),
        (b"peer_id=", b"peer_id=x"),
        (b"info_hash=", b"info_hash=x"),
        (b"GET", b"HEAD"),
        (b"/announce", b"/announce/"),
        (b"HTTP/1.1", b"HTTP/2.0"),
        (b"Accept-Encoding: gzip", b"Content-Length: 3"),
    ],
    ids=str,
)
def test_what_matters_and_is_odd_is_not_usual(before: bytes, after: bytes) -> None:
    assert before in LIBTORRENT
    assert parse_usual(LIBTORRENT.replace(before, after)) is None


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"info_hash=", b"info_hash=" + b"%" * 3000),
        (b"peer_id=", b"peer_id=" + b"%" * 3000),
        (b"numwant=200", b"numwant=" + b"%" * 3000),
        (b"&redundant=0", b"&" * 3000),
        (b"&corrupt=0", b"&corrupt=" + b"0" * 3000),
        (b"Accept-Encoding: gzip", b"\r\n".join([b"connection: x"] * 200)),
    ],
    ids=lambda value: value[:20].decode(),
)
def test_what_takes_long_to_read_is_not_read_here(before: bytes, after: bytes) -> None:
    """No clock is looked at between the requests of many connections."""
    assert before in LIBTORRENT
    assert parse_usual(LIBTORRENT.replace(before, after)) is None
