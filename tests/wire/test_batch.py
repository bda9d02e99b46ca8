"""Batches: what is encoded is decoded, compressed or not; nothing else raises anything but `WireError`."""

from __future__ import annotations

import contextlib
import random
import zlib

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtracker.errors import WireError
from meshtracker.model import PeerState
from meshtracker.wire.batch import (
    MAX_BODY_BYTES,
    MAX_KIND,
    MAX_SECTIONS,
    Batch,
    decode_batch,
    encode_batch,
    encode_section,
)
from meshtracker.wire.frame import MAX_PAYLOAD_BYTES, FrameType
from meshtracker.wire.peer_record import PeerRecord, encode_group, encode_record
from meshtracker.wire.varint import encode_varint
from meshtracker.wire.vector import MAX_NAME_BYTES, StreamId
from tests.wire.link_support import (
    BASE,
    BASE_MS,
    BATCH,
    BATCH_KINDS,
    CONTENT,
    DEFLATED,
    FIGURES,
    LIMIT,
    PEERS,
    SECTIONS,
    UNKNOWN,
    WORD,
    A,
    batches,
    payload_of,
    read_batch,
)

HEAD = payload_of(encode_batch(FrameType.SNAPSHOT, Batch(A, 2, BASE, ())))
"""A batch without a section; its last byte says that nothing is compressed."""


@given(batches, st.sampled_from(BATCH_KINDS))
def test_batch(batch: Batch, kind: FrameType) -> None:
    encoded = encode_batch(kind, batch)
    assert decode_batch(payload_of(encoded)) == batch
    assert encode_batch(kind, decode_batch(payload_of(encoded))) == encoded


def test_a_batch_holds_records_of_several_tables() -> None:
    batch, found = read_batch(payload_of(encode_batch(FrameType.BATCH, BATCH)))
    assert batch == BATCH
    assert found == [*CONTENT, *FIGURES]


def test_a_section_of_a_table_that_is_not_known_is_kept_as_it_is() -> None:
    sections = ((UNKNOWN, b"\xff" * 40), (PEERS, SECTIONS[0][1]), (UNKNOWN, b""), (MAX_KIND, b"z"))
    batch = attrs.evolve(BATCH, sections=sections)
    assert decode_batch(payload_of(encode_batch(FrameType.BATCH, batch))).sections == sections


@given(st.binary(max_size=300))
def test_arbitrary_bytes(data: bytes) -> None:
    with contextlib.suppress(WireError):
        decode_batch(data)
    with contextlib.suppress(WireError):
        decode_batch(HEAD + data)


@given(st.binary(max_size=300))
def test_arbitrary_bytes_that_are_uncompressed(data: bytes) -> None:
    with contextlib.suppress(WireError):
        decode_batch(HEAD[:-1] + b"\1" + data)


def test_a_batch_cut_anywhere_but_between_two_sections_is_refused() -> None:
    payload = payload_of(encode_batch(FrameType.SNAPSHOT, BATCH))
    ends = {len(HEAD)}
    for kind, section in SECTIONS[:-1]:
        ends.add(max(ends) + len(encode_section(kind, section)))
    for end in range(len(payload)):
        if end in ends:
            assert decode_batch(payload[:end]).sections == SECTIONS[: sorted(ends).index(end)]
        else:
            with pytest.raises(WireError):
                decode_batch(payload[:end])


def test_a_compressed_batch_cut_anywhere_is_refused() -> None:
    payload = payload_of(encode_batch(FrameType.BATCH, DEFLATED))
    for end in range(len(payload)):
        with pytest.raises(WireError):
            decode_batch(payload[:end])


def test_a_batch_is_compressed_once_for_all() -> None:
    encoded = encode_batch(FrameType.BATCH, DEFLATED)
    assert len(encoded) < 150 < len(encode_batch(FrameType.SNAPSHOT, DEFLATED))
    assert decode_batch(payload_of(encoded)) == DEFLATED
    # What does not become smaller is sent as it is.
    drawn = attrs.evolve(DEFLATED, sections=((UNKNOWN, random.Random(1).randbytes(500)),))
    assert len(encode_batch(FrameType.BATCH, drawn)) == len(encode_batch(FrameType.SNAPSHOT, drawn))


def test_a_small_batch_is_not_compressed() -> None:
    """An empty one goes out with each heartbeat; and a compressor is dear."""
    for size, smaller in ((100, False), (400, True)):
        batch = attrs.evolve(BATCH, sections=((UNKNOWN, bytes(size)),))
        sizes = [len(encode_batch(kind, batch)) for kind in (FrameType.BATCH, FrameType.SNAPSHOT)]
        assert (sizes[0] < sizes[1]) is smaller


def deflated(body: bytes, flag: int = 1) -> bytes:
    """The payload of a batch with a compressed body."""
    compressor = zlib.compressobj(wbits=-15)
    return HEAD[:-1] + bytes((flag,)) + compressor.compress(body) + compressor.flush()


def section_of(size: int) -> bytes:
    """One section that takes so many bytes, all in all."""
    length = size - 1 - 3
    assert len(encode_varint(length)) == 3
    return encode_section(UNKNOWN, bytes(length))


def test_a_compressed_batch_is_no_bomb() -> None:
    assert decode_batch(deflated(section_of(MAX_BODY_BYTES))).sections[0][0] == UNKNOWN
    for bad in (
        deflated(section_of(MAX_BODY_BYTES + 1)),
        deflated(section_of(MAX_PAYLOAD_BYTES)),
        deflated(bytes(50_000_000)),
        deflated(section_of(20_000), flag=2),
        deflated(section_of(20_000)) + b"more",
        deflated(section_of(20_000))[:-1],
        HEAD[:-1] + b"\1" + section_of(20_000),
    ):
        assert len(bad) <= MAX_PAYLOAD_BYTES
        with pytest.raises(WireError):
            decode_batch(bad)


def test_the_largest_body_fits_a_frame_under_the_longest_name() -> None:
    stream = StreamId("x" * MAX_NAME_BYTES, WORD)
    largest = Batch(stream, LIMIT, WORD, ((UNKNOWN, bytes(MAX_BODY_BYTES - 4)),))
    for kind in BATCH_KINDS:
        assert decode_batch(payload_of(encode_batch(kind, largest))) == largest
        with pytest.raises(ValueError, match="a batch of"):
            encode_batch(kind, attrs.evolve(largest, sections=((UNKNOWN, bytes(MAX_BODY_BYTES - 3)),)))
    # Under a short name a larger one would fit the frame; it could not be passed on in another shape.
    with pytest.raises(WireError):
        decode_batch(HEAD + section_of(MAX_BODY_BYTES + 1))


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(encode_varint(MAX_KIND + 1) + b"\0", id="kind too large"),
        pytest.param(b"\1", id="no length"),
        pytest.param(b"\1\5abcd", id="records cut short"),
        pytest.param(b"\1" + encode_varint(1 << 62), id="length without end"),
        pytest.param(b"\x80" * 20, id="kind without end"),
        pytest.param(b"\1\0" * (MAX_SECTIONS + 1), id="too many sections"),
    ],
)
def test_bad_sections(body: bytes) -> None:
    for payload in (HEAD + body, deflated(body)):
        with pytest.raises(WireError):
            decode_batch(payload)


def test_as_many_sections_as_there_may_be_are_taken() -> None:
    assert decode_batch(HEAD + b"\1\0" * MAX_SECTIONS).sections == ((PEERS, b""),) * MAX_SECTIONS


def test_a_sequence_to_which_none_can_be_added_is_refused() -> None:
    at = len(HEAD) - 17
    for sequence, fits in ((LIMIT, True), (LIMIT + 1, False)):
        payload = HEAD[:at] + sequence.to_bytes(8, "big") + HEAD[at + 8 :]
        if fits:
            assert decode_batch(payload).sequence == sequence
        else:
            with pytest.raises(WireError):
                decode_batch(payload)


CLIENTS = (b"-qB4650-", b"-TR4050-", b"-UT3600-", b"-lt0E00-", b"-DE211s-", b"A2-1-37-")
"""What peer ids begin with; the rest of them is drawn."""


@pytest.mark.parametrize(("torrents", "most_bytes"), [(500, 38), (10_000, 40), (100_000, 42)])
def test_what_a_relayed_ipv4_update_costs(torrents: int, most_bytes: float) -> None:
    """10,000 changes a second flushed each 100 ms are 1000 records a batch; torrents are chosen by Zipf's law."""
    rng = random.Random(5)
    ranks = range(1, torrents + 1)
    grouped: dict[int, bytearray] = {}
    for count, torrent in enumerate(rng.choices(ranks, weights=[1 / rank for rank in ranks], k=1000)):
        identity = rng.choice(CLIENTS) + rng.randbytes(16)
        record = PeerRecord(identity, BASE + (count // 10 << 16) + count % 10, PeerState.LEECHER, 6, rng.randbytes(6))
        grouped.setdefault(torrent, bytearray()).extend(encode_record(record, BASE))
    section = b"".join(encode_group(rng.randbytes(20), group) for group in grouped.values())
    batch = Batch(StreamId("leaf-1", BASE_MS), 1, BASE, ((PEERS, section),))
    assert len(encode_batch(FrameType.BATCH, batch)) / 1000 <= most_bytes
