"""Batches: what is encoded is decoded, compressed, narrowed; nothing else raises anything but `WireError`."""

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
    Batch,
    PeerRecord,
    decode_batch,
    encode_batch,
    encode_group,
    encode_record,
    groups,
    narrow,
    records,
)
from meshtracker.wire.frame import (
    MAX_PAYLOAD_BYTES,
    FrameType,
    frame,
)
from meshtracker.wire.varint import encode_varint
from meshtracker.wire.vector import Position
from tests.wire.link_support import (
    BASE,
    BASE_MS,
    CONTENT,
    DEFLATED,
    bodies,
    body_of,
    decode_all,
    names,
    payload_of,
    positions,
    record_lists,
)


@given(names, positions, bodies, st.sampled_from([FrameType.BATCH, FrameType.SNAPSHOT, FrameType.SWARMS]))
def test_batch(
    origin: str, position: Position, content: list[tuple[bytes, list[PeerRecord | int]]], kind: FrameType
) -> None:
    batch = Batch(origin, *position, BASE, body_of(content))
    encoded = encode_batch(kind, batch)
    assert decode_all(payload_of(encoded)) == (batch, content)
    decoded, decoded_content = decode_all(payload_of(encoded))
    assert encode_batch(kind, attrs.evolve(decoded, body=body_of(decoded_content))) == encoded


def test_a_batch_is_compressed_once_for_all() -> None:
    encoded = encode_batch(FrameType.BATCH, DEFLATED)
    assert len(encoded) < 150 < len(encode_batch(FrameType.SNAPSHOT, DEFLATED))
    assert decode_batch(payload_of(encoded)) == DEFLATED
    # What does not become smaller is sent as it is.
    drawn = attrs.evolve(DEFLATED, body=random.Random(1).randbytes(500))
    assert len(encode_batch(FrameType.BATCH, drawn)) == len(encode_batch(FrameType.SNAPSHOT, drawn))


def test_a_compressed_batch_is_no_bomb() -> None:
    def deflated(body: bytes, flag: int = 1) -> bytes:
        compressor = zlib.compressobj(wbits=-15)
        head = payload_of(encode_batch(FrameType.SNAPSHOT, Batch("a", 1, 2, BASE, b"")))[:-1]
        return head + bytes((flag,)) + compressor.compress(body) + compressor.flush()

    assert decode_batch(deflated(bytes(MAX_PAYLOAD_BYTES))).body == bytes(MAX_PAYLOAD_BYTES)
    for bad in (
        deflated(bytes(MAX_PAYLOAD_BYTES + 1)),
        deflated(bytes(50_000_000)),
        deflated(b"body", flag=2),
        deflated(b"body") + b"more",
        deflated(b"body")[:-1],
    ):
        assert len(bad) <= MAX_PAYLOAD_BYTES
        with pytest.raises(WireError):
            decode_batch(bad)


@pytest.mark.parametrize(
    "item",
    [
        pytest.param(bytes([8, 0, 0]) + bytes(30), id="unknown kind"),
        pytest.param(bytes([0, 0, 0]) + bytes(29), id="short address"),
        pytest.param(bytes([3, 0, 0]) + bytes(23), id="short identity"),
        pytest.param(b"\0" + encode_varint(1) + encode_varint(65536) + bytes(30), id="counter too large"),
        pytest.param(b"\0" + encode_varint(1 << 48) + b"\0" + bytes(30), id="stamp past 48 bits"),
        pytest.param(b"\x80", id="completed without a number"),
    ],
)
def test_bad_records(item: bytes) -> None:
    with pytest.raises(WireError):
        list(records(item, BASE))


HASHES = [bytes([number]) * 20 for number in range(6)]


narrow_bodies = st.lists(st.tuples(st.sampled_from(HASHES), record_lists), max_size=6)


@given(names, positions, narrow_bodies, st.sets(st.sampled_from(HASHES)))
def test_a_narrowed_batch_is_what_is_left_of_its_groups(
    origin: str, position: Position, content: list[tuple[bytes, list[PeerRecord | int]]], wanted: set[bytes]
) -> None:
    whole = encode_batch(FrameType.BATCH, Batch(origin, *position, BASE, body_of(content)))
    left = [(info_hash, items) for info_hash, items in content if info_hash in wanted]
    narrowed = narrow(whole, wanted)
    assert narrowed == encode_batch(FrameType.BATCH, Batch(origin, *position, BASE, body_of(left)))
    batch, decoded = decode_all(payload_of(narrowed))
    assert (batch.origin, batch.incarnation, batch.sequence, batch.base) == (origin, *position, BASE)
    assert decoded == left
    assert narrow(narrowed, wanted) is narrowed


def test_a_batch_that_is_wanted_whole_is_not_copied() -> None:
    whole = encode_batch(FrameType.BATCH, Batch("a", 1, 2, BASE, body_of(CONTENT)))
    assert narrow(whole, {info_hash for info_hash, _ in CONTENT}) is whole
    assert len(narrow(whole, set())) == len(whole) - len(body_of(CONTENT))


def test_groups_are_skipped_without_a_look_at_their_records() -> None:
    rubbish = encode_group(b"r" * 20, b"\xff" * 40)
    whole = encode_batch(FrameType.BATCH, Batch("a", 1, 2, BASE, rubbish + body_of(CONTENT)))
    narrowed = narrow(whole, {b"h" * 20})
    assert [info_hash for info_hash, _ in groups(decode_batch(payload_of(narrowed)))] == [b"h" * 20]


@given(st.binary(max_size=200), st.sets(st.sampled_from(HASHES)))
def test_narrowing_arbitrary_bytes(body: bytes, wanted: set[bytes]) -> None:
    with contextlib.suppress(WireError):
        narrow(frame(FrameType.BATCH, body), wanted)


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
    body = b"".join(encode_group(rng.randbytes(20), group) for group in grouped.values())
    encoded = encode_batch(FrameType.BATCH, Batch("leaf-1", BASE_MS, 1, BASE, body))
    assert len(encoded) / 1000 <= most_bytes
