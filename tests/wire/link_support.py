"""Frames and records of the tests of the wire format of the link."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import strategies as st

from meshtracker.errors import CloseCode, WireError
from meshtracker.model import PeerState
from meshtracker.wire import bencode
from meshtracker.wire.batch import MAX_KIND, Batch, Section, decode_batch, encode_batch
from meshtracker.wire.completed_record import MAX_COMPLETED, CompletedRecord, completed_records, encode_completed
from meshtracker.wire.frame import HEADER, MAX_PAYLOAD_BYTES, FrameDecoder, FrameType
from meshtracker.wire.link import (
    MAX_DEADLINE_MS,
    MAX_DIRECTED_BYTES,
    MAX_HOPS,
    MAX_REASON_BYTES,
    MAX_SECONDS,
    Auth,
    Burst,
    Close,
    Directed,
    DirectedKind,
    EndOfBurst,
    Heartbeat,
    Hello,
    Interest,
    InterestChange,
    Knowledge,
    Message,
    SnapshotEnd,
    StreamPlan,
    SwarmsEnd,
    control,
    decode,
    encode_burst,
    encode_close,
    encode_directed,
    encode_end_of_burst,
    encode_heartbeat,
    encode_hello,
    encode_interest,
    encode_knowledge,
    encode_snapshot_end,
    encode_swarms_end,
)
from meshtracker.wire.peer_record import PeerRecord, encode_group, encode_record, groups, records
from meshtracker.wire.vector import BEGINNING, MAX_NAME_BYTES, NOWHERE, Position, StreamId

LIMIT = (1 << 63) - 1
WORD = (1 << 64) - 1
MAX_MS = (1 << 48) - 1
PEERS = 1
COMPLETED = 2
"""Kinds of the two tables."""
UNKNOWN = 77
"""A kind that no node of this release has a table for."""

AUTH_KINDS = (FrameType.AUTH_FIRST, FrameType.AUTH_CHALLENGE, FrameType.AUTH_PROOF, FrameType.AUTH_FINAL)
BATCH_KINDS = (FrameType.BATCH, FrameType.SNAPSHOT, FrameType.SWARMS)


# ---------------------------------------------------------------- strategies

names = st.text("abcXYZ019._-", min_size=1, max_size=MAX_NAME_BYTES)
numbers = st.integers(0, LIMIT)
words = st.integers(0, WORD)
milliseconds = st.integers(0, MAX_MS)
hashes = st.binary(min_size=20, max_size=20)
lines = st.text(st.characters(codec="ascii", min_codepoint=32, max_codepoint=126), max_size=60)
"""Plain lines that come out of `printable` as they go in."""
stream_ids = st.builds(StreamId, names, words)
positions = st.builds(Position, numbers, words) | st.sampled_from([NOWHERE, BEGINNING])
vectors = st.dictionaries(stream_ids, positions, max_size=8)
version_ranges = st.tuples(st.integers(0, 65535), st.integers(0, 65535)).map(lambda two: (min(two), max(two)))
name_lists = st.lists(names, max_size=5).map(tuple)

auths = st.builds(
    Auth,
    kind=st.sampled_from(AUTH_KINDS),
    fields=st.dictionaries(st.sampled_from([b"v", b"message", b"x"]), st.binary(max_size=20) | numbers),
)
closes = st.builds(Close, code=st.sampled_from(CloseCode), reason=lines)
hellos = st.builds(
    Hello,
    name=names,
    incarnation=words,
    forwards=st.booleans(),
    clock_ms=milliseconds,
    announce_interval_seconds=st.integers(0, MAX_SECONDS),
    peer_ttl_seconds=st.integers(0, MAX_SECONDS),
    software=lines,
    versions=version_ranges,
    capabilities=name_lists,
    tables=name_lists,
    may_speak=st.booleans(),
)
plans = st.builds(
    StreamPlan,
    stream=stream_ids,
    position=positions,
    after=numbers,
    full=st.booleans(),
    reason=st.sampled_from(["", "new node", "fell behind"]),
    conflict=st.booleans(),
)
heartbeats = st.builds(
    Heartbeat,
    clock_ms=milliseconds,
    sent_frames=numbers,
    applied_frames=numbers,
    vector=vectors,
    answer_at_once=st.booleans(),
)
snapshot_ends = st.builds(SnapshotEnd, stream_ids, positions, numbers, numbers)
directed_messages = st.builds(
    Directed,
    kind=st.sampled_from(DirectedKind),
    source=names,
    target=names,
    number=numbers,
    topic=names,
    deadline_ms=st.integers(0, MAX_DEADLINE_MS),
    hops=st.integers(0, MAX_HOPS),
    body=st.binary(max_size=100),
)

BASE_MS = 1_700_000_000_000
BASE = BASE_MS << 16 | 77


@st.composite
def peer_records(draw: st.DrawFn) -> PeerRecord:
    """A record as an honest node writes it: a peer that is there has a unicast address and a port."""
    state = int(draw(st.sampled_from(PeerState)))
    size = draw(st.sampled_from([6, 18]))
    stamp = (BASE_MS + draw(st.integers(0, 300) | st.integers(0, MAX_MS - BASE_MS))) << 16
    first = draw(st.integers(1, 223))
    address = bytes([first]) + draw(st.binary(min_size=size - 3, max_size=size - 3))
    port = draw(st.integers(1, 65535)).to_bytes(2, "big")
    return PeerRecord(
        draw(st.binary(min_size=24, max_size=24)),
        stamp | draw(st.integers(0, 300) | st.integers(0, 65535)),
        state,
        size,
        b"" if state == PeerState.REMOVED else address + port,
    )


peer_groups = st.lists(st.tuples(hashes, st.lists(peer_records(), max_size=6)), max_size=4)
completed_lists = st.lists(
    st.builds(CompletedRecord, hashes, st.integers(1, MAX_COMPLETED), milliseconds),
    max_size=6,
)
sections = st.lists(st.tuples(st.integers(0, MAX_KIND), st.binary(max_size=300)), max_size=6).map(tuple)
batches = st.builds(Batch, stream=stream_ids, sequence=numbers, base=words, sections=sections)


# ---------------------------------------------------------------- bytes and back


def peers_of(content: list[tuple[bytes, list[PeerRecord]]]) -> bytes:
    """A section of the table of peers."""
    return b"".join(
        encode_group(info_hash, b"".join([encode_record(record, BASE) for record in found]))
        for info_hash, found in content
    )


def completed_of(content: list[CompletedRecord]) -> bytes:
    """A section of the table of completed downloads."""
    return b"".join(map(encode_completed, content))


def read_peers(section: bytes, base: int = BASE, *, strict: bool = True) -> list[tuple[bytes, list[PeerRecord | None]]]:
    """All that is in a section of the table of peers."""
    return [(info_hash, list(records(body, base, strict=strict))) for info_hash, body in groups(section)]


def read_batch(payload: bytes) -> tuple[Batch, list[object]]:
    """A batch with the records of the two tables, as far as a node reads it."""
    batch = decode_batch(payload)
    found: list[object] = []
    for kind, section in batch.sections:
        if kind == PEERS:
            found += read_peers(section, batch.base)
        elif kind == COMPLETED:
            found += completed_records(section)
    return batch, found


def payload_of(encoded: bytes) -> bytes:
    """The payload of a single frame."""
    decoder = FrameDecoder()
    decoder.max_payload_bytes = MAX_PAYLOAD_BYTES
    [(_, payload)] = decoder.feed(encoded)
    return payload


def kind_of(encoded: bytes) -> FrameType:
    """The type of a single frame."""
    return FrameType(HEADER.unpack_from(encoded)[1])


def read(encoded: bytes) -> Message:
    """The message of a single frame."""
    return decode(kind_of(encoded), payload_of(encoded))


# ---------------------------------------------------------------- one example of each frame

A, BC = StreamId("a", 5), StreamId("bc", WORD)
VECTOR = {A: Position(2, 3), BC: Position(LIMIT, 0)}
HELLO = Hello(
    name="leaf-1",
    incarnation=WORD,
    forwards=False,
    clock_ms=BASE_MS,
    announce_interval_seconds=1800,
    peer_ttl_seconds=4500,
    software="meshtracker 0",
    versions=(3, 4),
    capabilities=("directed",),
    tables=("peers", "completed"),
    may_speak=False,
)
HEARTBEAT = Heartbeat(clock_ms=BASE_MS, sent_frames=7, applied_frames=5, vector={A: Position(2, 3)})
PLAN = StreamPlan(stream=A, position=Position(2, 3), after=0, full=True, reason="new node")
DIRECTED = Directed(
    kind=DirectedKind.REQUEST,
    source="leaf-1",
    target="leaf-2",
    number=9,
    topic="ping",
    deadline_ms=5000,
    hops=4,
    body=b"hello",
)
CONTENT: list[tuple[bytes, list[PeerRecord]]] = [
    (b"h" * 20, [PeerRecord(b"i" * 24, BASE + 1, PeerState.LEECHER, 6, b"a" * 6)]),
    (b"g" * 20, [PeerRecord(b"k" * 24, BASE + (9999 << 16), PeerState.REMOVED, 18, b"")]),
    (b"f" * 20, [PeerRecord(b"l" * 24, BASE + 2, PeerState.SEEDER, 18, b"b" * 18)]),
]
FIGURES = [CompletedRecord(b"h" * 20, 300, BASE_MS), CompletedRecord(b"g" * 20, 1, BASE_MS + 1)]
SECTIONS: tuple[Section, ...] = (
    (PEERS, peers_of(CONTENT)),
    (COMPLETED, completed_of(FIGURES)),
    (UNKNOWN, b"what a later release has"),
)
BATCH = Batch(A, 2, BASE, SECTIONS)
ALIKE = [PeerRecord(b"i" * 24, BASE, PeerState.SEEDER, 6, b"a" * 6)] * 20
DEFLATED = Batch(A, 2, BASE, ((PEERS, peers_of([(b"h" * 20, ALIKE)])),))

EXAMPLES: dict[str, bytes] = {
    "auth first": control(FrameType.AUTH_FIRST, v=3, least=3, mechanism="SCRAM-SHA-256-PLUS", message="n,,n=a,r=b"),
    "close": encode_close(CloseCode.STOPPING, "bye"),
    "hello": encode_hello(HELLO),
    "vector": encode_knowledge(VECTOR, everything=True)[0],
    "burst": encode_burst([PLAN]),
    "batch": encode_batch(FrameType.SNAPSHOT, BATCH),
    "compressed batch": encode_batch(FrameType.BATCH, DEFLATED),
    "snapshot end": encode_snapshot_end(SnapshotEnd(A, Position(2, 3), 7, 5)),
    "end of burst": encode_end_of_burst(),
    "heartbeat": encode_heartbeat(HEARTBEAT),
    "interest": encode_interest(Interest.FETCH, [b"h" * 20, b"g" * 20])[0],
    "swarms": encode_batch(FrameType.SWARMS, BATCH),
    "swarms end": encode_swarms_end(VECTOR),
    "directed": encode_directed(DIRECTED),
}
"""Whole frames."""
SAMPLES = [(name, kind_of(encoded), payload_of(encoded)) for name, encoded in EXAMPLES.items()]
SAMPLE_IDS = list(EXAMPLES)
PAYLOADS = {name: payload for name, _, payload in SAMPLES}


def decoded_fields(name: str) -> dict[Any, Any]:
    """The bencoded dictionary of an example."""
    fields = bencode.decode(PAYLOADS[name], max_bytes=MAX_PAYLOAD_BYTES)
    assert isinstance(fields, dict)
    return fields


def refuse_each(name: str, key: str, bad: list[Any]) -> None:
    """An example is refused with any of these values in one of its fields."""
    good = decoded_fields(name)
    for value in bad:
        with pytest.raises(WireError):
            decode(kind_of(EXAMPLES[name]), bencode.encode(good | {key.encode(): value}))


MESSAGES: list[tuple[st.SearchStrategy[Message], Callable[..., bytes]]] = [
    (auths, lambda auth: control(auth.kind, **{key.decode(): value for key, value in auth.fields.items()})),
    (closes, lambda close: encode_close(close.code, close.reason)),
    (hellos, encode_hello),
    (
        st.builds(Knowledge, vectors, st.booleans(), st.just(False)),
        lambda knowledge: encode_knowledge(knowledge.vector, everything=knowledge.everything)[0],
    ),
    (st.builds(Burst, st.lists(plans, max_size=6).map(tuple)), lambda burst: encode_burst(burst.plans)),
    (snapshot_ends, encode_snapshot_end),
    (st.just(EndOfBurst()), lambda _: encode_end_of_burst()),
    (heartbeats, encode_heartbeat),
    (
        st.builds(InterestChange, st.sampled_from(Interest), st.lists(hashes, max_size=10).map(tuple)),
        lambda change: encode_interest(change.interest, change.info_hashes)[0],
    ),
    (st.builds(SwarmsEnd, vectors), lambda end: encode_swarms_end(end.vector)),
    (directed_messages, encode_directed),
]
"""Messages of every kind but those laid out as a batch, and how each is encoded."""

TOO_LONG_REASON = "x" * (MAX_REASON_BYTES + 1)
TOO_LARGE_BODY = bytes(MAX_DIRECTED_BYTES + 1)
