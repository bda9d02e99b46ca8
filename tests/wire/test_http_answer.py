"""A tracker's bencoded answers: laid by hand or not they are canonical, and the client reads what was meant."""

from __future__ import annotations

import re
from contextlib import suppress

import bencodepy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtracker.errors import ClientError, WireError
from meshtracker.model import SCRAPE_UNKNOWN, AnnounceAnswer, ScrapeAnswer
from meshtracker.wire.bencode import encode
from meshtracker.wire.http_answer import (
    decode_announce,
    decode_scrape,
    encode_announce,
    encode_announce_dictionaries,
    encode_failure,
    scrape_pieces,
)

SEEN = b"\xc0\x00\x02\x01"
counts = st.integers(0, 2**40)


@st.composite
def answers(draw: st.DrawFn, *, with_peer_ids: bool = False) -> AnnounceAnswer:
    # IPv4-mapped addresses are never among peers (see model).
    peers = draw(st.lists(st.binary(min_size=6, max_size=6), max_size=5))
    peers6 = draw(st.lists(st.binary(min_size=17, max_size=17).map(lambda rest: b"\x20" + rest), max_size=5))
    ids = st.binary(min_size=20, max_size=20)
    return AnnounceAnswer(
        interval_seconds=draw(counts),
        min_interval_seconds=draw(counts),
        complete=draw(counts),
        incomplete=draw(counts),
        downloaded=draw(counts),
        downloaders=draw(counts),
        peers=b"".join(peers),
        peers6=b"".join(peers6),
        peer_ids=tuple(draw(ids) for _ in peers) if with_peer_ids else (),
        peer_ids6=tuple(draw(ids) for _ in peers6) if with_peer_ids else (),
    )


def is_canonical(body: bytes) -> bool:
    return bytes(bencodepy.Bencode().encode(bencodepy.Bencode().decode(body))) == body


@given(answers(), st.sampled_from([SEEN, bytes(15) + b"\1"]))
def test_compact_round_trip(answer: AnnounceAnswer, seen: bytes) -> None:
    body = encode_announce(answer, seen)
    assert is_canonical(body)
    assert bencodepy.Bencode().decode(body)[b"external ip"] == seen
    assert decode_announce(body) == answer


@given(answers() | answers(with_peer_ids=True))
def test_dictionaries_round_trip(answer: AnnounceAnswer) -> None:
    body = encode_announce_dictionaries(answer, SEEN)
    assert is_canonical(body)
    assert decode_announce(body) == answer


def test_what_the_bytes_of_an_answer_are() -> None:
    answer = AnnounceAnswer(1800, 900, 2, 3, 4, 1, peers=b"\x7f\0\0\1\x1a\xe1")
    assert encode_announce(answer, SEEN) == (
        b"d8:completei2e10:downloadedi4e11:downloadersi1e11:external ip4:\xc0\x00\x02\x01"
        b"10:incompletei3e8:intervali1800e12:min intervali900e5:peers6:\x7f\0\0\1\x1a\xe1e"
    )
    assert b"5:peersld2:ip9:127.0.0.14:porti6881eeee" in encode_announce_dictionaries(answer, SEEN)


@pytest.mark.parametrize(
    ("error", "retry_in"),
    [
        (ClientError("no"), None),
        (ClientError("no", retry_in_minutes=60), 60),
        (ClientError("no", never=True), b"never"),
        (ClientError("no", retry_in_minutes=60, never=True), b"never"),
    ],
)
def test_failures(error: ClientError, retry_in: object) -> None:
    body = encode_failure(error, interval_seconds=1800, min_interval_seconds=900)
    expected: dict[bytes, object] = {b"failure reason": b"no", b"interval": 1800, b"min interval": 900}
    if retry_in is not None:
        expected[b"retry in"] = retry_in
    assert is_canonical(body)
    assert bencodepy.Bencode().decode(body) == expected
    with pytest.raises(ClientError) as failed:
        decode_announce(body)
    assert failed.value.reason == "no"
    assert failed.value.never is error.never
    assert failed.value.retry_in_minutes == (None if error.never else error.retry_in_minutes)


@given(st.dictionaries(st.binary(min_size=20, max_size=20), st.builds(ScrapeAnswer, counts, counts, counts, counts)))
def test_scrape_round_trip(files: dict[bytes, ScrapeAnswer]) -> None:
    body = b"".join(scrape_pieces(sorted(files.items()), min_request_interval_seconds=900))
    assert is_canonical(body)
    assert bencodepy.Bencode().decode(body)[b"flags"] == {b"min_request_interval": 900}
    assert decode_scrape(body, list(files)) == list(files.values())
    assert decode_scrape(body, [b"of a swarm not there"]) == [SCRAPE_UNKNOWN]


def test_large_scrapes_come_in_pieces() -> None:
    files = [(number.to_bytes(20), ScrapeAnswer(2**32, 2**32, 2**32, 2**32)) for number in range(5000)]
    pieces = list(scrape_pieces(files, min_request_interval_seconds=900))
    assert len(pieces) > 9
    assert max(map(len, pieces)) < 65_536
    assert decode_scrape(b"".join(pieces), [files[4999][0]]) == [files[4999][1]]


def test_what_a_tracker_left_out_is_the_nearest_it_can_be() -> None:
    assert decode_announce(b"d10:incompletei5e8:intervali60ee") == AnnounceAnswer(60, 0, 0, 5, 0, 5)
    assert decode_scrape(b"d5:filesd20:" + b"h" * 20 + b"d10:incompletei5eeee", [b"h" * 20]) == [
        ScrapeAnswer(0, 5, 0, 5)
    ]


@pytest.mark.parametrize(
    "answer",
    [
        {},
        [],
        {b"interval": b"60"},
        {b"interval": 60, b"peers": 5},
        {b"interval": 60, b"peers": b"12345"},
        {b"interval": 60, b"peers6": b"123456"},
        {b"interval": 60, b"peers": [b"x"]},
        {b"interval": 60, b"peers": [{b"ip": b"192.0.2.1"}]},
        {b"interval": 60, b"peers": [{b"ip": b"192.0.2.1", b"port": 65536}]},
        {b"interval": 60, b"peers": [{b"ip": b"example.org", b"port": 1}]},
        {b"interval": 60, b"peers": [{b"ip": b"192.0.2.1", b"port": 1, b"peer id": 1}]},
        {b"failure reason": 5},
    ],
)
def test_what_is_no_announce_answer(answer: dict[bytes, int]) -> None:
    with pytest.raises(WireError):
        decode_announce(encode(answer))


@pytest.mark.parametrize("answer", [{}, {b"files": []}, {b"files": {b"h": 1}}, {b"files": {b"h": {b"complete": b""}}}])
def test_what_is_no_scrape_answer(answer: dict[bytes, int]) -> None:
    with pytest.raises(WireError):
        decode_scrape(encode(answer), [b"h"])


def test_errors_do_not_repeat_all_that_came() -> None:
    with pytest.raises(WireError) as wrong:
        decode_announce(encode({b"interval": b"x" * 10_000}))
    assert re.fullmatch(r".{1,200}", str(wrong.value))


@given(st.binary(max_size=100), st.sampled_from([b"", b"d8:intervali60e5:peers"]))
def test_arbitrary_bytes(data: bytes, start: bytes) -> None:
    for decode in (decode_announce, lambda body: decode_scrape(body, [b"h" * 20])):
        with suppress(WireError, ClientError):
            decode(start + data)
