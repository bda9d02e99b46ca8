"""Queries of announces and scrapes: lenient in all that can be understood, plain about what cannot."""

from __future__ import annotations

import zlib
from contextlib import suppress
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from meshtracker.errors import ClientError
from meshtracker.model import LEFT_UNKNOWN, NUMWANT_DEFAULT, AnnounceRequest, Event
from meshtracker.wire.compact import packed_address
from meshtracker.wire.query import (
    MAX_PARAMETERS,
    announce_query,
    claimed_address,
    parse_announce,
    parse_scrape,
    percent_decode,
    scrape_query,
)

ADDRESS = b"\xc0\x00\x02\x01"
HASH = b"a plain info hash!!!"
PEER_ID = b"-TS0001-abcdefghijkl"


def parse(more: bytes = b"") -> AnnounceRequest:
    return parse_announce(b"info_hash=" + HASH + b"&peer_id=" + PEER_ID + b"&port=6881&left=5" + more, ADDRESS)


def test_a_plain_announce() -> None:
    query = (
        b"info_hash=%124Vx%9A%BC%DE%F1%23Eg%89%AB%CD%EF%124Vx%9A&peer_id=-TR4060-z8dpc2kgc5oe&port=51413&uploaded=1"
        b"&downloaded=2&left=3&numwant=80&key=7F3A00B1&compact=1&supportcrypto=1&event=started"
    )
    assert parse_announce(query, ADDRESS) == AnnounceRequest(
        info_hash=bytes.fromhex("123456789ABCDEF123456789ABCDEF123456789A"),
        peer_id=b"-TR4060-z8dpc2kgc5oe",
        key=0x7F3A00B1,
        address=ADDRESS,
        port=51413,
        event=Event.STARTED,
        left=3,
        numwant=80,
        both_families=True,
        with_peer_ids=False,
        compact=True,
    )


@given(st.binary(max_size=40), st.data())
def test_any_way_to_escape_is_decoded(value: bytes, data: st.DataObject) -> None:
    forms = [[b"%%%02x" % byte, b"%%%02X" % byte] + [bytes([byte])] * (byte != ord("%")) for byte in value]
    assert percent_decode(b"".join(data.draw(st.sampled_from(form)) for form in forms)) == value


@given(st.binary(max_size=40) | st.text("%aAfF09\\xNu{}", max_size=40).map(str.encode))
@example(b"\\%41\\\\%%4")
@example(b"\\N{DIGIT ONE}%31")
@example(b"\\u0041\\101%31")
@example(b"%u0041")
@example(b"%+1% 1%1_")
def test_what_begins_no_escape_stays(value: bytes) -> None:
    assert percent_decode(value) == unquote_to_bytes(value)


@pytest.mark.parametrize("length", [0, 1, 19, 21, 31, 33, 40])
def test_an_info_hash_has_20_bytes(length: int) -> None:
    with pytest.raises(ClientError, match=f"info_hash must be 20 bytes, not {length}"):
        parse_announce(b"info_hash=" + b"h" * length + b"&peer_id=" + PEER_ID, ADDRESS)
    with pytest.raises(ClientError, match=f"info_hash must be 20 bytes, not {length}"):
        parse_scrape(b"info_hash=" + b"h" * length, max_info_hashes=9)


def test_what_is_far_too_long_is_not_decoded() -> None:
    assert percent_decode(b"%41" * 64) == b"A" * 64
    assert percent_decode(b"%41" * 65) == b"%41" * 65


@pytest.mark.parametrize("separator", [b"&", b"?"])
def test_nobody_reads_thousands_of_parameters(separator: bytes) -> None:
    assert parse(b"&" * (MAX_PARAMETERS - 4)) == parse()
    # A question mark parts what comes after it only where there is no info-hash without that.
    assert parse(b"&x_info_hash=" + b"?" * MAX_PARAMETERS) == parse()
    assert parse_scrape(b"info_hash=" + b"?" * 20 + b"&x=" + b"?" * 90, max_info_hashes=9) == [b"?" * 20]
    whole = b"info_hash=" + HASH + b"&peer_id=" + PEER_ID
    for query in (b"passkey=1", *((whole,) if separator == b"&" else ())):
        crowd = query + separator * MAX_PARAMETERS + b"info_hash=" + HASH
        with pytest.raises(ClientError, match=f"at most {MAX_PARAMETERS} parameters"):
            parse_announce(crowd, ADDRESS)
    assert parse_scrape(b"&" * MAX_PARAMETERS + b"info_hash=" + HASH, max_info_hashes=9) == [HASH]
    with pytest.raises(ClientError, match="Request-URI Too Long"):
        parse_scrape(separator * (MAX_PARAMETERS + 9) + b"info_hash=" + HASH, max_info_hashes=9)


@pytest.mark.parametrize("query", [b"", b"info_hash", b"peer_id=" + PEER_ID, b"xinfo_hash=" + HASH, b"&&=&=x"])
def test_an_announce_without_info_hash(query: bytes) -> None:
    with pytest.raises(ClientError, match="info_hash"):
        parse_announce(query, ADDRESS)


@pytest.mark.parametrize("value", [b"", b"&peer_id=", b"&peer_id=short", b"&peer_id=" + b"x" * 21, b"&peer_id"])
def test_a_peer_id_has_20_bytes(value: bytes) -> None:
    with pytest.raises(ClientError, match="peer_id must be 20 bytes"):
        parse_announce(b"info_hash=" + HASH + value, ADDRESS)


def test_a_name_that_ends_with_info_hash_is_another_name() -> None:
    assert parse(b"&my_info_hash=1").info_hash == HASH
    with pytest.raises(ClientError, match="one info_hash"):
        parse(b"&info_hash=" + HASH)


@pytest.mark.parametrize(
    ("value", "port"),
    [
        (b"6881", 6881),
        (b"65535", 65535),
        (b"65536", 0),
        (b"0", 0),
        (b"", 0),
        (b"-1", 0),
        (b"+80", 0),
        (b"6_8", 0),
        (b" 80", 0),
        (b"6881.0", 0),
        (b"%36881", 6881),
        (b"\xb2", 0),
        (b"9" * 5000, 0),
    ],
)
def test_port(value: bytes, port: int) -> None:
    assert parse(b"&port=" + value).port == port


@pytest.mark.parametrize(
    ("value", "left"),
    [
        (b"0", 0),
        (b"00", 0),
        (b"%30", 0),
        (b"9223372036854775807", 2**63 - 1),
        (b"9223372036854775808", LEFT_UNKNOWN),
        (b"18446744073709551615", LEFT_UNKNOWN),
        (b"1" * 5000, LEFT_UNKNOWN),
        (b"-1", LEFT_UNKNOWN),
        (b"-0", LEFT_UNKNOWN),
        (b"", LEFT_UNKNOWN),
        (b"unknown", LEFT_UNKNOWN),
    ],
)
def test_left(value: bytes, left: int) -> None:
    assert parse(b"&left=" + value).left == left


@pytest.mark.parametrize(
    ("value", "numwant"), [(b"0", 0), (b"200", 200), (b"-1", NUMWANT_DEFAULT), (b"", NUMWANT_DEFAULT), (b"x", -1)]
)
def test_numwant(value: bytes, numwant: int) -> None:
    assert parse(b"&numwant=" + value).numwant == numwant


@pytest.mark.parametrize(
    ("value", "event"),
    [
        (b"started", Event.STARTED),
        (b"stopped", Event.STOPPED),
        (b"completed", Event.COMPLETED),
        (b"paused", Event.PAUSED),
        (b"", Event.NONE),
        (b"empty", Event.NONE),
        (b"seeding", Event.NONE),
    ],
)
def test_event(value: bytes, event: Event) -> None:
    assert parse(b"&event=" + value).event is event


@pytest.mark.parametrize(
    ("value", "key"),
    [
        (b"7F3A00B1", 0x7F3A00B1),
        (b"7f3a00b1", 0x7F3A00B1),
        (b"12345678", 0x12345678),
        (b"00000000", 0),
        (b"0", 0),
        (b"", 0),
        (b"5", 5),
        (b"-5", 2**32 - 5),
        (b"-2147483648", 2**31),
        (b"-2147483649", zlib.crc32(b"-2147483649")),
        (b"4294967295", 2**32 - 1),
        (b"4294967296", zlib.crc32(b"4294967296")),
        (b"%01%02%03%FF", zlib.crc32(b"\x01\x02\x03\xff")),
        (b"+1234567", zlib.crc32(b"+1234567")),
        (b"0x123456", zlib.crc32(b"0x123456")),
        (b"1_234_56", zlib.crc32(b"1_234_56")),
        (b"\x9d\x0a\xd9\x6d", 1),  # these bytes have CRC 0, which would say that there is no key
    ],
)
def test_key(value: bytes, key: int) -> None:
    assert parse(b"&key=" + value).key == key


@pytest.mark.parametrize(
    ("more", "compact", "with_peer_ids"),
    [
        (b"", True, False),
        (b"&compact=1", True, False),
        (b"&compact=1&no_peer_id=1", True, False),
        (b"&compact=0", False, True),
        (b"&compact=0&no_peer_id=1", False, False),
        (b"&compact=0&no_peer_id=0", False, True),
        (b"&compact", True, False),
    ],
)
def test_compact(more: bytes, *, compact: bool, with_peer_ids: bool) -> None:
    announce = parse(more)
    assert (announce.compact, announce.with_peer_ids) == (compact, with_peer_ids)


def test_the_last_of_two_counts() -> None:
    assert parse(b"&port=1&port=2").port == 2


@pytest.mark.parametrize(
    ("more", "address"),
    [
        (b"", "192.0.2.1"),
        (b"&ip=198.51.100.1", "198.51.100.1"),
        (b"&ip=198%2e51%2E100.1", "198.51.100.1"),
        (b"&ip=2001:db8::1", "2001:db8::1"),
        (b"&ip=%5B2001%3Adb8%3A%3A1%5D", "2001:db8::1"),
        (b"&ipv4=198.51.100.1&ipv6=2001:db8::1", "198.51.100.1"),
        (b"&ipv6=2001:db8::1", "2001:db8::1"),
        (b"&ip=::ffff:198.51.100.1", "198.51.100.1"),
        (b"&ip=example.org&ipv4=198.51.100.1", "198.51.100.1"),
        (b"&ip=abcdef.b32.i2p", "192.0.2.1"),
        (b"&ip=0.0.0.0", "192.0.2.1"),
        (b"&ip=::", "192.0.2.1"),
        (b"&ip=255.255.255.255", "192.0.2.1"),
        (b"&ip=1", "192.0.2.1"),
        (b"&ip=\xff\x00", "192.0.2.1"),
    ],
)
def test_claimed_address(more: bytes, address: str) -> None:
    assert claimed_address(b"info_hash=x" + more, packed_address("192.0.2.1")) == packed_address(address)


def test_of_two_claimed_families_the_source_s_own_goes_first() -> None:
    query = b"ipv4=198.51.100.1&ipv6=2001:db8::1"
    assert len(claimed_address(query, b"\x7f\0\0\1")) == 4
    assert len(claimed_address(query, bytes(15) + b"\1")) == 16


@given(st.lists(st.binary(min_size=20, max_size=20), max_size=10))
def test_scrape_round_trip(info_hashes: list[bytes]) -> None:
    assert parse_scrape(scrape_query(info_hashes), max_info_hashes=10) == info_hashes


def test_scrapes_are_bounded() -> None:
    query = b"&".join([b"info_hash=" + HASH] * 11)
    assert len(parse_scrape(query, max_info_hashes=11)) == 11
    with pytest.raises(ClientError, match=r"Request-URI Too Long: at most 10 info_hash"):
        parse_scrape(query, max_info_hashes=10)


def test_a_scrape_url_with_a_query_of_its_own() -> None:
    assert parse_scrape(b"passkey=1?info_hash=" + HASH, max_info_hashes=1) == [HASH]
    assert parse_scrape(b"passkey=1?", max_info_hashes=1) == []


binaries = st.binary(min_size=20, max_size=20)


@given(
    st.builds(
        AnnounceRequest,
        info_hash=binaries,
        peer_id=binaries,
        key=st.integers(0, 2**32 - 1),
        address=st.just(ADDRESS),
        port=st.integers(0, 65535),
        event=st.sampled_from(Event),
        left=st.integers(0, 2**63 - 1) | st.just(LEFT_UNKNOWN),
        numwant=st.integers(0, 1000) | st.just(NUMWANT_DEFAULT),
        both_families=st.just(True),
        compact=st.just(True),
    )
)
def test_announce_round_trip(announce: AnnounceRequest) -> None:
    assert parse_announce(announce_query(announce), ADDRESS) == announce


def test_a_client_that_wants_peer_ids_asks_for_dictionaries() -> None:
    request = AnnounceRequest(HASH, PEER_ID, 0, b"", 1, with_peer_ids=True)
    assert b"compact=0" in announce_query(request)


texts = st.lists(
    st.sampled_from([b"info_hash", b"peer_id", b"ip", b"port", b"left", b"key", b"=", b"&", b"?", b"%", HASH, PEER_ID])
    | st.binary(max_size=5)
).map(b"".join)


@given(st.binary(max_size=300) | texts)
def test_arbitrary_bytes(query: bytes) -> None:
    try:
        announce = parse_announce(query, ADDRESS)
    except ClientError:
        pass
    else:
        assert len(announce.info_hash) == len(announce.peer_id) == 20
        assert 0 <= announce.port <= 65535
        assert 0 <= announce.key < 2**32
    with suppress(ClientError):
        assert all(len(info_hash) == 20 for info_hash in parse_scrape(query, max_info_hashes=5))
    assert len(claimed_address(query, ADDRESS)) in (4, 16)
