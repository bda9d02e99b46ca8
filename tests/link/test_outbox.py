"""What clients changed becomes batches."""

from __future__ import annotations

from meshtracker.link.outbox import Outbox
from meshtracker.model import PeerState
from meshtracker.wire.batch import Batch, PeerRecord, decode_batch, groups, records
from meshtracker.wire.frame import MAX_PAYLOAD_BYTES, FrameDecoder, FrameType

BASE = 1_700_000_000_000 << 16
ONE, TWO = b"1" * 20, b"2" * 20


def outbox_of(max_batch_bytes: int = 60_000) -> Outbox:
    return Outbox(origin="leaf", incarnation=9, max_batch_bytes=max_batch_bytes)


def record_of(number: int) -> PeerRecord:
    return PeerRecord(number.to_bytes(24, "big"), BASE + number, PeerState.LEECHER, 6, bytes(6))


def opened(sealed: bytes) -> tuple[Batch, dict[bytes, list[PeerRecord | int]]]:
    decoder = FrameDecoder()
    decoder.max_payload_bytes = MAX_PAYLOAD_BYTES
    [(kind, payload)] = decoder.feed(sealed)
    assert kind is FrameType.BATCH
    batch = decode_batch(payload)
    return batch, {info_hash: list(records(body, batch.base)) for info_hash, body in groups(batch)}


def test_records_are_grouped_by_info_hash() -> None:
    outbox = outbox_of()
    for info_hash, number in ((ONE, 5), (TWO, 6), (ONE, 7)):
        outbox.add(info_hash, record_of(number))
    outbox.add_completed(TWO, 300)
    assert outbox
    batch, content = opened(outbox.seal(0))
    assert (batch.origin, batch.incarnation, batch.sequence, batch.base) == ("leaf", 9, 1, BASE + 5)
    assert content == {ONE: [record_of(5), record_of(7)], TWO: [record_of(6), 300]}
    assert not outbox


def test_empty_batches_count_too() -> None:
    outbox = outbox_of()
    assert [opened(outbox.seal(base)) for base in (77, 78)] == [
        (Batch("leaf", 9, 1, 77, b""), {}),
        (Batch("leaf", 9, 2, 78, b""), {}),
    ]


def test_a_download_may_be_the_first_word_of_a_batch() -> None:
    outbox = outbox_of()
    outbox.add(ONE, record_of(1))
    outbox.seal(0)
    outbox.add_completed(ONE, 2)
    outbox.add(ONE, record_of(10))
    assert opened(outbox.seal(0))[1] == {ONE: [2, record_of(10)]}


def test_a_full_outbox_fits_a_frame() -> None:
    outbox = outbox_of()
    number = 1
    # Every record in a swarm of its own: the largest there is to a record.
    while not outbox.add(number.to_bytes(20, "big"), record_of(number)):
        number += 1
    outbox.add_completed(ONE, (1 << 63) - 1)
    sealed = outbox.seal(0)
    batch, content = opened(sealed)
    assert 55_000 <= len(batch.body) <= MAX_PAYLOAD_BYTES
    assert len(content) == number + 1
    assert not outbox.add(ONE, record_of(1))


def test_an_earlier_life_goes_out_again_in_this_one() -> None:
    outbox = outbox_of()
    outbox.add(ONE, record_of(1))
    batch, earlier = opened(outbox.seal(0))
    later = Outbox(origin="leaf", incarnation=20, max_batch_bytes=1000)
    later.add(TWO, record_of(9))
    again, content = opened(later.seal_again(batch))
    assert (again.incarnation, again.sequence, content) == (20, 1, earlier)
    assert opened(later.seal(0))[0].sequence == 2
