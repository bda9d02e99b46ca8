"""Records of peers: what is encoded is decoded and narrowed; nothing else raises anything but `WireError`."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtracker.errors import WireError
from meshtracker.model import PeerState
from meshtracker.wire.peer_record import (
    PeerRecord,
    encode_group,
    encode_record,
    groups,
    narrow_peers,
    records,
)
from meshtracker.wire.varint import encode_varint
from tests.wire.link_support import BASE, BASE_MS, CONTENT, MAX_MS, peer_groups, peer_records, peers_of, read_peers

IDENTITY = b"i" * 24
GOOD = PeerRecord(IDENTITY, BASE, PeerState.LEECHER, 6, b"\1\2\3\4\0\1")
GOOD6 = PeerRecord(IDENTITY, BASE, PeerState.SEEDER, 18, b"\x20" + bytes(15) + b"\0\1")
GONE = PeerRecord(IDENTITY, BASE, PeerState.REMOVED, 18, b"")


@given(peer_groups, st.booleans())
def test_section(content: list[tuple[bytes, list[PeerRecord]]], strict: bool) -> None:
    section = peers_of(content)
    decoded = read_peers(section, strict=strict)
    assert decoded == content
    assert peers_of([(key, [record for record in found if record]) for key, found in decoded]) == section


@given(peer_records(), st.integers(0, 65535))
def test_a_record_is_counted_from_the_millisecond_of_its_base(record: PeerRecord, counter: int) -> None:
    base = BASE_MS << 16 | counter
    assert list(records(encode_record(record, base), base, strict=True)) == [record]


def test_records_are_told_apart_by_every_field() -> None:
    fields = (IDENTITY, BASE, 0, 6, b"a" * 6)
    record = PeerRecord(*fields)
    assert record == PeerRecord(*fields)
    assert hash(record) == hash(PeerRecord(*fields))
    assert repr(record).startswith("PeerRecord(")
    others = [
        PeerRecord(b"x" * 24, BASE, 0, 6, b"a" * 6),
        PeerRecord(IDENTITY, BASE + 1, 0, 6, b"a" * 6),
        PeerRecord(IDENTITY, BASE, 1, 6, b"a" * 6),
        PeerRecord(IDENTITY, BASE, 0, 18, b"a" * 6),
        PeerRecord(IDENTITY, BASE, 0, 6, b"b" * 6),
    ]
    assert all(record != other for other in others)
    assert record != fields


@pytest.mark.parametrize("record", [GOOD, GOOD6, GONE])
def test_a_record_cut_anywhere_is_refused(record: PeerRecord) -> None:
    body = encode_record(record, BASE)
    for end in range(1, len(body)):
        with pytest.raises(WireError):
            list(records(body[:end], BASE, strict=False))


def test_a_section_cut_anywhere_but_between_two_groups_is_refused() -> None:
    section = peers_of(CONTENT)
    ends = [len(peers_of(CONTENT[:count])) for count in range(len(CONTENT))]
    for end in range(len(section)):
        if end in ends:
            assert read_peers(section[:end]) == CONTENT[: ends.index(end)]
        else:
            with pytest.raises(WireError):
                read_peers(section[:end])


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(bytes([8, 0, 0]) + bytes(30), id="unknown kind"),
        pytest.param(bytes([255, 0, 0]) + bytes(30), id="unknown kind, all bits"),
        pytest.param(b"\0\0\0" + IDENTITY + b"\1" * 5, id="short address"),
        pytest.param(b"\4\0\0" + IDENTITY + b"\1" * 17, id="short IPv6 address"),
        pytest.param(b"\3\0\0" + bytes(23), id="short identity"),
        pytest.param(b"\0" + encode_varint(1) + encode_varint(65536) + IDENTITY + b"\1" * 6, id="counter too large"),
        pytest.param(b"\0" + encode_varint(1 << 48) + b"\0" + IDENTITY + b"\1" * 6, id="stamp past 48 bits"),
        pytest.param(b"\0" + encode_varint(MAX_MS + 1 - BASE_MS) + b"\0" + IDENTITY + b"\1" * 6, id="sum past 48 bits"),
        pytest.param(b"\x80", id="a head of seven bits more"),
        pytest.param(b"\0" + b"\x80" * 12, id="a number without end"),
    ],
)
@pytest.mark.parametrize("strict", [True, False])
def test_bad_records(body: bytes, strict: bool) -> None:
    """Whoever sends them: nothing behind them can be read."""
    with pytest.raises(WireError):
        list(records(body, BASE, strict=strict))


def test_the_largest_stamp_is_taken() -> None:
    record = PeerRecord(IDENTITY, MAX_MS << 16 | 65535, PeerState.SEEDER, 6, b"\1" * 6)
    assert list(records(encode_record(record, BASE), BASE, strict=True)) == [record]


@pytest.mark.parametrize(
    "address",
    [
        pytest.param(b"\0\1\2\3\0\1", id="this network"),
        pytest.param(b"\xe0\0\0\1\0\1", id="multicast"),
        pytest.param(b"\xff\xff\xff\xff\0\1", id="broadcast"),
        pytest.param(b"\1\2\3\4\0\0", id="no port"),
        pytest.param(bytes(16) + b"\0\1", id="unspecified IPv6"),
        pytest.param(b"\xff\2" + bytes(14) + b"\0\1", id="IPv6 multicast"),
        pytest.param(bytes(10) + b"\xff\xff\1\2\3\4\0\1", id="IPv4 mapped into IPv6"),
        pytest.param(b"\x20" + bytes(15) + b"\0\0", id="no port, IPv6"),
    ],
)
def test_an_address_that_no_peer_can_have_is_refused_or_left_out(address: bytes) -> None:
    bad = PeerRecord(IDENTITY, BASE, PeerState.LEECHER, len(address), address)
    body = b"".join(encode_record(record, BASE) for record in (GOOD, bad, GOOD6))
    with pytest.raises(WireError):
        list(records(body, BASE, strict=True))
    assert list(records(body, BASE, strict=False)) == [GOOD, None, GOOD6]


@pytest.mark.parametrize(
    "address",
    [
        b"\1\0\0\0\0\1",
        b"\x7f\0\0\1\1\0",
        b"\xdf\xff\xff\xff\xff\xff",
        bytes(15) + b"\1\0\1",
        b"\xfe" + bytes(15) + b"\1\0",
    ],
)
def test_an_address_at_the_border_of_what_is_possible_is_taken(address: bytes) -> None:
    record = PeerRecord(IDENTITY, BASE, PeerState.LEECHER, len(address), address)
    assert list(records(encode_record(record, BASE), BASE, strict=True)) == [record]


@given(st.binary(max_size=200), st.booleans())
def test_arbitrary_bytes(data: bytes, strict: bool) -> None:
    with contextlib.suppress(WireError):
        list(records(data, BASE, strict=strict))
    with contextlib.suppress(WireError):
        read_peers(data, strict=strict)


# ---------------------------------------------------------------- narrowing

HASHES = [bytes([number]) * 20 for number in range(6)]
narrow_groups = st.lists(st.tuples(st.sampled_from(HASHES), st.lists(peer_records(), max_size=4)), max_size=6)


@given(narrow_groups, st.sets(st.sampled_from(HASHES)))
def test_a_narrowed_section_is_what_is_left_of_its_groups(
    content: list[tuple[bytes, list[PeerRecord]]], wanted: set[bytes]
) -> None:
    narrowed = narrow_peers(peers_of(content), wanted)
    assert narrowed == peers_of([(info_hash, found) for info_hash, found in content if info_hash in wanted])
    assert narrow_peers(narrowed, wanted) == narrowed


def test_groups_are_skipped_without_a_look_at_their_records() -> None:
    rubbish = encode_group(b"r" * 20, b"\xff" * 40)
    section = rubbish + peers_of(CONTENT)
    assert narrow_peers(section, {b"h" * 20}) == peers_of(CONTENT[:1])
    assert [info_hash for info_hash, _ in groups(section)] == [b"r" * 20, b"h" * 20, b"g" * 20, b"f" * 20]


@given(st.binary(max_size=200), st.sets(st.sampled_from(HASHES)))
def test_narrowing_arbitrary_bytes(section: bytes, wanted: set[bytes]) -> None:
    with contextlib.suppress(WireError):
        assert len(narrow_peers(section, wanted)) <= len(section)
