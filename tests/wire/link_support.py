"""Frames and records of the tests of the wire format of the link."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import strategies as st

from meshtracker.model import PeerState
from meshtracker.wire.batch import (
    Batch,
    PeerRecord,
    decode_batch,
    encode_batch,
    encode_completed,
    encode_group,
    encode_record,
    groups,
    records,
)
from meshtracker.wire.frame import (
    MAX_PAYLOAD_BYTES,
    FrameDecoder,
    FrameType,
)
from meshtracker.wire.link import (
    Heartbeat,
    Hello,
    Interest,
    StreamPlan,
    control,
    decode_burst,
    decode_heartbeat,
    decode_hello,
    decode_interest,
    decode_knowledge,
    decode_snapshot_end,
    encode_burst,
    encode_heartbeat,
    encode_hello,
    encode_interest,
    encode_knowledge,
    encode_snapshot_end,
    read_control,
)
from meshtracker.wire.vector import MAX_NAME_BYTES, Position

LIMIT = (1 << 63) - 1


names = st.text("abcXYZ019._-", min_size=1, max_size=MAX_NAME_BYTES)


numbers = st.integers(0, LIMIT)


words = st.integers(0, 2**64 - 1)


positions = st.builds(Position, numbers, numbers)


vectors = st.dictionaries(names, positions, max_size=8)


hellos = st.builds(
    Hello,
    name=names,
    incarnation=numbers,
    forwards=st.booleans(),
    clock_ms=numbers,
    announce_interval_seconds=numbers,
    peer_ttl_seconds=numbers,
    software=st.text(max_size=20),
    previous=st.none() | positions,
)


plans = st.builds(
    StreamPlan,
    origin=names,
    position=positions,
    after=numbers,
    full=st.booleans(),
    reason=st.sampled_from(["", "new node", "fell behind"]),
)


BASE_MS = 1_700_000_000_000


BASE = BASE_MS << 16 | 77


@st.composite
def peer_records(draw: st.DrawFn) -> PeerRecord:
    state = draw(st.sampled_from(PeerState))
    size = draw(st.sampled_from([6, 18]))
    stamp = (BASE_MS + draw(st.integers(0, 300) | st.integers(0, (1 << 48) - 1 - BASE_MS))) << 16
    return PeerRecord(
        draw(st.binary(min_size=24, max_size=24)),
        stamp | draw(st.integers(0, 300) | st.integers(0, 65535)),
        state,
        size,
        b"" if state is PeerState.REMOVED else draw(st.binary(min_size=size, max_size=size)),
    )


record_lists = st.lists(peer_records() | numbers, max_size=6)


bodies = st.lists(st.tuples(st.binary(min_size=20, max_size=20), record_lists), max_size=4)


def encode_any(record: PeerRecord | int) -> bytes:
    return encode_completed(record) if isinstance(record, int) else encode_record(record, BASE)


def body_of(content: list[tuple[bytes, list[PeerRecord | int]]]) -> bytes:
    return b"".join(encode_group(info_hash, b"".join(map(encode_any, items))) for info_hash, items in content)


def decode_all(payload: bytes) -> tuple[Batch, list[tuple[bytes, list[PeerRecord | int]]]]:
    batch = decode_batch(payload)
    return batch, [(info_hash, list(records(body, batch.base))) for info_hash, body in groups(batch)]


def payload_of(encoded: bytes) -> bytes:
    """The payload of a single frame."""
    decoder = FrameDecoder()
    decoder.max_payload_bytes = MAX_PAYLOAD_BYTES
    [(_, payload)] = decoder.feed(encoded)
    return payload


ALIKE: list[PeerRecord | int] = [PeerRecord(b"i" * 24, BASE, PeerState.SEEDER, 6, b"a" * 6)] * 20


DEFLATED = Batch("a", 1, 2, BASE, body_of([(b"h" * 20, ALIKE)]))


DECODERS: dict[str, Callable[[bytes], object]] = {
    "hello": decode_hello,
    "vector": decode_knowledge,
    "interest": decode_interest,
    "burst": decode_burst,
    "batch": decode_all,
    "compressed batch": decode_all,
    "snapshot end": decode_snapshot_end,
    "heartbeat": decode_heartbeat,
    "control": read_control,
}


HELLO = Hello(
    name="leaf-1",
    incarnation=5,
    forwards=False,
    clock_ms=BASE_MS,
    announce_interval_seconds=1800,
    peer_ttl_seconds=4500,
    software="meshtracker 0",
    previous=Position(3, 4),
)


HEARTBEAT = Heartbeat(clock_ms=BASE_MS, sent_frames=7, applied_frames=5, vector={"a": Position(1, 2)})


CONTENT: list[tuple[bytes, list[PeerRecord | int]]] = [
    (b"h" * 20, [PeerRecord(b"i" * 24, BASE + 1, PeerState.LEECHER, 6, b"a" * 6), 300]),
    (b"g" * 20, [PeerRecord(b"k" * 24, BASE + (9999 << 16), PeerState.REMOVED, 18, b"")]),
    (b"f" * 20, [PeerRecord(b"l" * 24, BASE + 2, PeerState.SEEDER, 18, b"b" * 18)]),
]


SAMPLES: list[tuple[str, bytes]] = [
    ("hello", payload_of(encode_hello(HELLO))),
    ("vector", payload_of(encode_knowledge({"a": Position(1, 2), "bc": Position(LIMIT, 0)}, everything=True))),
    ("interest", payload_of(encode_interest(Interest.FETCH, [b"h" * 20, b"g" * 20])[0])),
    (
        "burst",
        payload_of(
            encode_burst([StreamPlan(origin="a", position=Position(1, 2), after=0, full=True, reason="new node")])
        ),
    ),
    ("batch", payload_of(encode_batch(FrameType.SNAPSHOT, Batch("a", 1, 2, BASE, body_of(CONTENT))))),
    ("compressed batch", payload_of(encode_batch(FrameType.BATCH, DEFLATED))),
    ("snapshot end", payload_of(encode_snapshot_end("a", Position(1, 2), records=7))),
    ("heartbeat", payload_of(encode_heartbeat(HEARTBEAT))),
    ("control", payload_of(control(FrameType.CLOSE, reason="bye"))),
]
