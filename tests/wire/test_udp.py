"""Packets of the UDP tracker protocol, as the tracker and as its client reads them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtracker.errors import ClientError, WireError
from meshtracker.model import (
    LEFT_UNKNOWN,
    NUMWANT_DEFAULT,
    AnnounceAnswer,
    AnnounceRequest,
    Event,
    ScrapeAnswer,
)
from meshtracker.wire import udp

ADDRESS = b"\xc0\x00\x02\x01"
ADDRESS6 = b"\x20\x01\x0d\xb8" + bytes(11) + b"\x01"
ID = bytes.fromhex("1122334455667788")
TRANSACTION = b"\xde\xad\xbe\xef"
HASH = bytes(range(20))
PEER_ID = b"-MT0001-abcdefghijkl"

uint32 = st.integers(0, 2**32 - 1)
requests = st.builds(
    AnnounceRequest,
    info_hash=st.binary(min_size=20, max_size=20),
    peer_id=st.binary(min_size=20, max_size=20),
    key=uint32,
    address=st.sampled_from([ADDRESS, ADDRESS6]),
    port=st.integers(0, 65_535),
    event=st.sampled_from(Event),
    left=st.integers(0, 2**63 - 1),
    numwant=st.integers(-1, 2**31 - 1),
)
counts = st.builds(ScrapeAnswer, complete=uint32, incomplete=uint32, downloaded=uint32, downloaders=st.just(0))


def raw_announce(*, event: int = 0, left: int = 5, numwant: int = 50, port: int = 6881, tail: bytes = b"") -> bytes:
    """Laid out field by field, as other people's clients do."""
    fields = [
        ID,
        b"\0\0\0\1",
        TRANSACTION,
        HASH,
        PEER_ID,
        (11).to_bytes(8),
        left.to_bytes(8),
        (22).to_bytes(8),
        event.to_bytes(4),
        b"\x0a\0\0\1",
        (0xCAFE).to_bytes(4),
        numwant.to_bytes(4, signed=True),
        port.to_bytes(2),
        tail,
    ]
    return b"".join(fields)


def parse(data: bytes) -> AnnounceRequest:
    return udp.parse_announce_request(data, ADDRESS)


# ------------------------------------------------------------ connect


def test_connect() -> None:
    request = udp.pack_connect_request(TRANSACTION)
    assert request == bytes.fromhex("0000041727101980 00000000 deadbeef")
    assert udp.is_connect(request)
    answer = udp.pack_connect_answer(TRANSACTION, ID)
    assert answer == bytes.fromhex("00000000 deadbeef 1122334455667788")
    assert udp.parse_connect_answer(answer) == ID


def test_a_connect_has_sixteen_bytes_or_more_and_the_protocol_id() -> None:
    request = udp.pack_connect_request(TRANSACTION) + bytes(240)
    for length in range(256):
        assert udp.is_connect(request[:length]) is (length >= 16)
    for position in range(12):
        assert not udp.is_connect(request[:position] + b"\x77" + request[position + 1 :])


# ------------------------------------------------------------ announce


def test_announce_fields_are_where_bep_15_has_them() -> None:
    data = raw_announce(event=2)
    assert len(data) == udp.ANNOUNCE_BYTES
    assert parse(data) == AnnounceRequest(HASH, PEER_ID, 0xCAFE, ADDRESS, 6881, Event.STARTED, 5, 50)
    assert udp.announced_ip(data) == b"\x0a\0\0\1"


@given(requests, st.binary(max_size=700), st.binary(min_size=4, max_size=4))
def test_announce_round_trip(request_: AnnounceRequest, url: bytes, ip: bytes) -> None:
    data = udp.pack_announce_request(
        ID, TRANSACTION, request=request_, ip=ip, downloaded=2**64 - 1, uploaded=2**64 - 1, url=url
    )
    assert udp.parse_announce_request(data, request_.address) == request_
    assert udp.announced_ip(data) == ip
    assert udp.announced_url(data) == url


def test_an_unknown_left_is_sent_as_the_largest() -> None:
    request = AnnounceRequest(HASH, PEER_ID, 1, ADDRESS, 1, left=LEFT_UNKNOWN)
    assert parse(udp.pack_announce_request(ID, TRANSACTION, request=request)).left == 2**63 - 1


def test_announces_of_every_length() -> None:
    whole = raw_announce(tail=(b"\x02\x05/ab?c" + b"\x07\x03xyz" + b"\x01") * 20)
    for length in range(256):
        if length < 98:
            with pytest.raises(WireError):
                parse(whole[:length])
        else:
            assert parse(whole[:length]) == parse(whole)
            assert udp.announced_url(whole[:length]) == b"/ab?c" * ((length - 98 + 6) // 13)


@given(st.binary(max_size=400))
def test_arbitrary_bytes_are_an_announce_or_a_wire_error(data: bytes) -> None:
    try:
        request = parse(data)
    except WireError:
        assert len(data) < 98
    else:
        assert request.left >= LEFT_UNKNOWN
        assert request.numwant >= NUMWANT_DEFAULT
        assert len(udp.announced_url(data)) <= len(data) - 98


@given(st.lists(st.one_of(requests, st.none()), max_size=4))
def test_slots_hold_what_a_request_says(sent: list[AnnounceRequest | None]) -> None:
    received = bytearray()
    for request in sent:
        packet = udp.pack_announce_request(ID, TRANSACTION, request=request, ip=b"\0\0\1\2") if request else b"\7" * 98
        received += packet.ljust(udp.MAX_DATAGRAM_BYTES, b"x")
    slots = list(udp.announce_slots(received))
    assert len(slots) == len(sent)
    for slot, request in zip(slots, sent, strict=True):
        if request is None:
            assert slot[:2] == (b"\7" * 8, 0x07070707)
            continue
        fields = request.info_hash, request.peer_id, request.left, request.event, 258, request.key, request.numwant
        assert slot == (ID, 1, TRANSACTION, *fields, request.port.to_bytes(2, "big"))


def test_quirk_1_event_4_is_paused() -> None:
    assert parse(raw_announce(event=4)).event is Event.PAUSED


@pytest.mark.parametrize("event", [5, 255, 2**31, 2**32 - 1])
def test_unknown_events_are_none(event: int) -> None:
    assert parse(raw_announce(event=event)).event is Event.NONE


@pytest.mark.parametrize(
    ("sent", "read"),
    [(-1, NUMWANT_DEFAULT), (-2, NUMWANT_DEFAULT), (-(2**31), NUMWANT_DEFAULT), (0, 0), (200, 200), (2**31 - 1,) * 2],
)
def test_quirk_2_any_negative_numwant_is_the_default(sent: int, read: int) -> None:
    assert parse(raw_announce(numwant=sent)).numwant == read


@pytest.mark.parametrize(
    ("sent", "read"), [(0, 0), (2**63 - 1, 2**63 - 1), (2**63, LEFT_UNKNOWN), (2**64 - 1, LEFT_UNKNOWN)]
)
def test_quirk_12_a_garbled_left_is_unknown(sent: int, read: int) -> None:
    assert parse(raw_announce(left=sent)).left == read


@pytest.mark.parametrize(
    ("tail", "url"),
    [
        (b"", b""),
        (b"\x00", b""),
        (b"\x02\x09/announce", b"/announce"),
        (b"\x02\x04/ann\x02\x05ounce\x00", b"/announce"),
        (b"\x01\x01\x01\x02\x02/a", b"/a"),
        (b"\x02\x02/a\x00\x02\x02/b", b"/a"),
        (b"\x63\x03xyz\x02\x02/a", b"/a"),
        (b"\x63\x00\x02\x02/a", b"/a"),
        (b"\x02\x00\x02\x02/a", b"/a"),
        (b"\x02", b""),
        (b"\x02\x05/a", b""),
        (b"\x02\x02/a\x02\xff/b", b"/a"),
        (b"\x63\xff\x02\x02/a", b""),
        (b"\x63", b""),
    ],
)
def test_quirk_21_options(tail: bytes, url: bytes) -> None:
    data = raw_announce(tail=tail)
    assert udp.announced_url(data) == url
    assert parse(data) == parse(raw_announce())


@given(counts, uint32, st.integers(0, 5), st.booleans())
def test_announce_answer_round_trip(swarm: ScrapeAnswer, interval_seconds: int, peers: int, ipv6: bool) -> None:
    compact = b"\x55" * (18 if ipv6 else 6) * peers
    answer = AnnounceAnswer(
        interval_seconds=interval_seconds,
        min_interval_seconds=interval_seconds,
        complete=swarm.complete,
        incomplete=swarm.incomplete,
        downloaded=0,
        downloaders=swarm.incomplete,
        peers=b"" if ipv6 else compact,
        peers6=compact if ipv6 else b"",
    )
    data = udp.pack_announce_answer(TRANSACTION, answer, compact)
    assert udp.parse_announce_answer(data, ipv6=ipv6) == answer


def test_announce_answer_fields_are_where_bep_15_has_them() -> None:
    answer = AnnounceAnswer(1800, 900, complete=3, incomplete=4, downloaded=5, downloaders=4)
    data = udp.pack_announce_answer(TRANSACTION, answer, b"\x01\x02\x03\x04\x1a\xe1")
    assert data == bytes.fromhex("00000001 deadbeef 00000708 00000004 00000003 01020304 1ae1")


# ------------------------------------------------------------ scrape


@given(st.lists(st.binary(min_size=20, max_size=20), min_size=1, max_size=74))
def test_scrape_round_trip(info_hashes: list[bytes]) -> None:
    data = udp.pack_scrape_request(ID, TRANSACTION, info_hashes=info_hashes)
    assert data[:16] == ID + b"\0\0\0\2" + TRANSACTION
    assert udp.parse_scrape_request(data) == info_hashes


def test_scrapes_of_every_length() -> None:
    whole = udp.pack_scrape_request(ID, TRANSACTION, info_hashes=[HASH] * 74)
    for length in range(len(whole) + 1):
        if length < 36:
            with pytest.raises(ClientError):
                udp.parse_scrape_request(whole[:length])
        else:
            assert udp.parse_scrape_request(whole[:length]) == [HASH] * ((length - 16) // 20)


def test_quirk_25_a_scrape_past_the_bound_is_refused_in_words_that_transmission_knows() -> None:
    assert len(udp.parse_scrape_request(udp.pack_scrape_request(ID, TRANSACTION, info_hashes=[HASH] * 74))) == 74
    with pytest.raises(ClientError, match="Bad Request"):
        udp.parse_scrape_request(udp.pack_scrape_request(ID, TRANSACTION, info_hashes=[HASH] * 75))


@given(st.lists(counts, max_size=74))
def test_scrape_answer_round_trip(answers: list[ScrapeAnswer]) -> None:
    read = udp.parse_scrape_answer(udp.pack_scrape_answer(TRANSACTION, answers))
    assert [(answer.complete, answer.incomplete, answer.downloaded) for answer in read] == [
        (answer.complete, answer.incomplete, answer.downloaded) for answer in answers
    ]


def test_more_downloads_than_the_field_can_hold() -> None:
    [answer] = udp.parse_scrape_answer(udp.pack_scrape_answer(TRANSACTION, [ScrapeAnswer(1, 2, 2**40, 2)]))
    assert answer.downloaded == 2**32 - 1


# ------------------------------------------------------------ what a client reads


@given(st.text())
def test_an_error_is_raised_with_its_reason(reason: str) -> None:
    data = udp.pack_error(TRANSACTION, reason)
    assert data.startswith(b"\0\0\0\3" + TRANSACTION)
    for parse_answer in PARSE_ANSWER:
        with pytest.raises(ClientError) as caught:
            parse_answer(data)
        assert caught.value.reason == reason


def parse_answer4(data: bytes) -> object:
    return udp.parse_announce_answer(data, ipv6=False)


def parse_answer6(data: bytes) -> object:
    return udp.parse_announce_answer(data, ipv6=True)


PARSE_ANSWER: list[Callable[[bytes], object]] = [
    udp.parse_connect_answer,
    parse_answer4,
    parse_answer6,
    udp.parse_scrape_answer,
]
WHOLE_LENGTHS = [
    set(range(16, 256)),
    set(range(20, 256, 6)),
    set(range(20, 256, 18)),
    set(range(8, 256, 12)),
]


@pytest.mark.parametrize(
    ("parse_answer", "action", "whole"), list(zip(PARSE_ANSWER, [0, 1, 1, 2], WHOLE_LENGTHS, strict=True))
)
def test_answers_of_every_length(parse_answer: Callable[[bytes], object], action: int, whole: set[int]) -> None:
    data = action.to_bytes(4) + bytes(252)
    for length in range(256):
        if length in whole:
            parse_answer(data[:length])
        else:
            with pytest.raises(WireError):
                parse_answer(data[:length])


@pytest.mark.parametrize("parse_answer", PARSE_ANSWER)
@given(data=st.binary(max_size=80) | st.binary(max_size=80).map(lambda tail: b"\0\0\0\3" + tail))
def test_arbitrary_answers_raise_only_what_they_may(parse_answer: Callable[[bytes], object], data: bytes) -> None:
    with contextlib.suppress(ClientError, WireError):
        parse_answer(data)
