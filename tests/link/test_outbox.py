"""What clients changed becomes sections of batches."""

from __future__ import annotations

from meshtracker.link.outbox import Outbox
from meshtracker.model import PeerState
from meshtracker.wire.batch import MAX_BODY_BYTES, encode_section
from meshtracker.wire.peer_record import PeerRecord, groups, records

BASE = 1_700_000_000_000 << 16
ONE, TWO = b"1" * 20, b"2" * 20


def record_of(number: int, *, stamp: int | None = None) -> PeerRecord:
    stamp = BASE + number if stamp is None else stamp
    return PeerRecord(number.to_bytes(24, "big"), stamp, PeerState.LEECHER, 6, bytes([10, 0, 0, 1, 0, 80]))


def opened(section: bytes, base: int) -> dict[bytes, list[PeerRecord | None]]:
    return {info_hash: list(records(body, base, strict=True)) for info_hash, body in groups(section)}


def test_records_are_grouped_by_info_hash() -> None:
    outbox = Outbox(max_batch_bytes=60_000)
    assert not outbox
    for info_hash, number in ((ONE, 5), (TWO, 6), (ONE, 7)):
        assert not outbox.add(info_hash, record_of(number))
    assert outbox
    assert outbox.base == BASE + 5
    content = opened(outbox.take(), outbox.base)
    assert content == {ONE: [record_of(5), record_of(7)], TWO: [record_of(6)]}
    assert not outbox


def test_what_was_taken_waits_no_longer() -> None:
    outbox = Outbox(max_batch_bytes=60_000)
    assert outbox.take() == b""
    outbox.add(ONE, record_of(1))
    assert outbox.take()
    assert outbox.take() == b""
    outbox.add(ONE, record_of(9))
    assert opened(outbox.take(), BASE + 9) == {ONE: [record_of(9)]}


def test_a_batch_takes_no_record_from_before_its_first_one() -> None:
    """Stamps are counted from the first one's millisecond: after the clock was set back, the next batch takes it."""
    outbox = Outbox(max_batch_bytes=60_000)
    ms = 1 << 16
    assert outbox.takes(BASE - 1000 * ms)
    outbox.add(ONE, record_of(5))
    assert outbox.takes(BASE + 5)
    # Another counter in the same millisecond is no matter.
    assert outbox.takes(BASE)
    assert not outbox.takes(BASE - 1)
    outbox.add(ONE, record_of(6, stamp=BASE))
    assert opened(outbox.take(), outbox.base) == {ONE: [record_of(5), record_of(6, stamp=BASE)]}
    assert outbox.takes(BASE - 1000 * ms)
    outbox.add(ONE, record_of(7, stamp=BASE - 1000 * ms))
    assert outbox.base == BASE - 1000 * ms


def test_a_full_outbox_fits_a_batch() -> None:
    outbox = Outbox(max_batch_bytes=60_000)
    number = 1
    # Every record in a swarm of its own: the largest there is to a record.
    while not outbox.add(number.to_bytes(20, "big"), record_of(number)):
        number += 1
    section = outbox.take()
    assert 55_000 <= len(encode_section(1, section)) <= MAX_BODY_BYTES
    assert len(opened(section, outbox.base)) == number
    assert not outbox.add(ONE, record_of(1))
