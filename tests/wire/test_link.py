"""The link's wire format: what is encoded is decoded, and nothing else raises anything but `WireError`."""

from __future__ import annotations

import contextlib
import random
import zlib
from collections.abc import Callable
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtracker.errors import WireError
from meshtracker.model import PeerState
from meshtracker.wire import bencode
from meshtracker.wire.link import (
    DATA_FRAMES,
    HEADER,
    MAGIC,
    MAX_HANDSHAKE_BYTES,
    MAX_NAME_BYTES,
    MAX_PAYLOAD_BYTES,
    MAX_REASON_BYTES,
    Batch,
    FrameDecoder,
    FrameType,
    Heartbeat,
    Hello,
    Interest,
    PeerRecord,
    Position,
    StreamPlan,
    control,
    decode_batch,
    decode_burst,
    decode_heartbeat,
    decode_hello,
    decode_interest,
    decode_knowledge,
    decode_snapshot_end,
    decode_varint,
    decode_vector,
    encode_batch,
    encode_burst,
    encode_completed,
    encode_group,
    encode_heartbeat,
    encode_hello,
    encode_interest,
    encode_knowledge,
    encode_record,
    encode_snapshot_end,
    encode_varint,
    encode_vector,
    frame,
    groups,
    is_name,
    narrow,
    number,
    printable,
    read_control,
    records,
    text,
)

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


# ---------------------------------------------------------------- round trips


@given(hellos)
def test_hello(hello: Hello) -> None:
    encoded = encode_hello(hello)
    assert decode_hello(payload_of(encoded)) == hello
    assert encode_hello(decode_hello(payload_of(encoded))) == encoded


@given(vectors, st.booleans())
def test_vector(vector: dict[str, Position], everything: bool) -> None:
    assert decode_vector(encode_vector(vector)) == vector
    assert encode_vector(decode_vector(encode_vector(vector))) == encode_vector(vector)
    assert decode_knowledge(payload_of(encode_knowledge(vector, everything=everything))) == (vector, everything)


@given(st.builds(Heartbeat, clock_ms=words, sent_frames=words, applied_frames=words, vector=vectors))
def test_heartbeat(heartbeat: Heartbeat) -> None:
    encoded = encode_heartbeat(heartbeat)
    assert decode_heartbeat(payload_of(encoded)) == heartbeat
    assert encode_heartbeat(decode_heartbeat(payload_of(encoded))) == encoded


@given(st.sampled_from(Interest), st.lists(st.binary(min_size=20, max_size=20), max_size=10))
def test_interest(interest: Interest, info_hashes: list[bytes]) -> None:
    [encoded] = encode_interest(interest, info_hashes)
    assert decode_interest(payload_of(encoded)) == (interest, info_hashes)


@pytest.mark.parametrize(("count", "sizes"), [(0, [0]), (3276, [3276]), (3277, [3276, 1]), (7000, [3276, 3276, 448])])
def test_an_interest_of_many_takes_several_frames(count: int, sizes: list[int]) -> None:
    info_hashes = [number.to_bytes(20, "big") for number in range(count)]
    decoded = [decode_interest(payload_of(encoded)) for encoded in encode_interest(Interest.FETCH, info_hashes)]
    assert [len(found) for _, found in decoded] == sizes
    assert [info_hash for _, found in decoded for info_hash in found] == info_hashes


def test_what_is_data_is_counted_and_control_is_not() -> None:
    """Both ends count alike, or they would see soft-splits in each other."""
    assert {kind.name for kind in set(FrameType) - DATA_FRAMES} == {
        "AUTH_FIRST",
        "AUTH_CHALLENGE",
        "AUTH_PROOF",
        "AUTH_FINAL",
        "CLOSE",
        "HELLO",
        "VECTOR",
        "HEARTBEAT",
        "INTEREST",
    }


@given(st.lists(plans, max_size=6))
def test_burst(streams: list[StreamPlan]) -> None:
    assert decode_burst(payload_of(encode_burst(streams))) == streams


@given(names, positions, numbers)
def test_snapshot_end(origin: str, position: Position, count: int) -> None:
    assert decode_snapshot_end(payload_of(encode_snapshot_end(origin, position, records=count))) == (
        origin,
        position,
        count,
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


ALIKE: list[PeerRecord | int] = [PeerRecord(b"i" * 24, BASE, PeerState.SEEDER, 6, b"a" * 6)] * 20
DEFLATED = Batch("a", 1, 2, BASE, body_of([(b"h" * 20, ALIKE)]))


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


@given(numbers)
def test_varint(value: int) -> None:
    encoded = encode_varint(value)
    assert decode_varint(b"x" + encoded + b"y", 1) == (value, 1 + len(encoded))
    assert len(encoded) == max(1, (value.bit_length() + 6) // 7)
    for end in range(len(encoded)):
        with pytest.raises(WireError):
            decode_varint(encoded[:end], 0)


@pytest.mark.parametrize("encoded", [b"\xff" * 9, b"\x80" * 9 + b"\1", b"\x80" * 1000])
def test_varints_are_bounded(encoded: bytes) -> None:
    with pytest.raises(WireError):
        decode_varint(encoded, 0)


# ---------------------------------------------------------------- rubbish

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


@pytest.mark.parametrize("name", DECODERS)
@given(st.binary(max_size=300))
def test_arbitrary_bytes(name: str, data: bytes) -> None:
    with contextlib.suppress(WireError):
        DECODERS[name](data)


@pytest.mark.parametrize(("name", "payload"), SAMPLES, ids=[name for name, _ in SAMPLES])
def test_every_truncation_is_refused(name: str, payload: bytes) -> None:
    decode = DECODERS[name]
    whole = decode(payload)
    for end in range(len(payload)):
        try:
            decoded = decode(payload[:end])
        except WireError:
            continue
        # Only lists may end early, and only between two of their entries.
        assert name in {"vector", "interest", "heartbeat", "batch"}
        assert decoded != whole


@pytest.mark.parametrize(("name", "payload"), SAMPLES, ids=[name for name, _ in SAMPLES])
def test_every_changed_byte(name: str, payload: bytes) -> None:
    for at in range(len(payload)):
        for value in (0, 1, 0x7F, 0x80, 0xFF, payload[at] ^ 1):
            changed = bytearray(payload)
            changed[at] = value
            with contextlib.suppress(WireError):
                DECODERS[name](bytes(changed))


scalars = st.integers() | st.binary(max_size=70)
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=7), max_leaves=14)


@given(st.dictionaries(st.sampled_from(["name", "incarnation", "forwards", "previous", "clock"]), values))
def test_any_type_in_a_hello(fields: dict[str, Any]) -> None:
    good: dict[Any, Any] = read_control(SAMPLES[0][1])
    payload = bencode.encode(good | {key.encode(): value for key, value in fields.items()})
    with contextlib.suppress(WireError):
        decode_hello(payload)


@given(values)
def test_any_type_in_a_burst(streams: Any) -> None:
    with contextlib.suppress(WireError):
        decode_burst(bencode.encode({b"streams": streams}))


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


@pytest.mark.parametrize(
    ("name", "payload"),
    [
        ("vector", b""),
        ("vector", b"\2"),
        ("vector", b"\xff" + SAMPLES[1][1][1:]),
        ("interest", b""),
        ("interest", b"\3"),
        ("interest", bytes(20)),
        ("interest", bytes(22)),
        ("heartbeat", b""),
        ("heartbeat", bytes(23)),
        ("heartbeat", bytes(25)),
    ],
)
def test_what_begins_wrong_is_refused(name: str, payload: bytes) -> None:
    with pytest.raises(WireError):
        DECODERS[name](payload)


# ---------------------------------------------------------------- narrowed batches

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


# ---------------------------------------------------------------- frames


def whole_stream() -> tuple[bytes, list[tuple[FrameType, bytes]]]:
    kinds = {"control": "close", "snapshot end": "snapshot_end", "compressed batch": "batch"}
    frames = [(FrameType[kinds.get(name, name).upper()], payload) for name, payload in SAMPLES]
    frames.insert(2, (FrameType.END_OF_BURST, b""))
    return b"".join(frame(kind, payload) for kind, payload in frames), frames


def test_every_split_point() -> None:
    stream, frames = whole_stream()
    for split in range(len(stream) + 1):
        decoder = FrameDecoder()
        assert [*decoder.feed(stream[:split]), *decoder.feed(stream[split:])] == frames
        assert decoder.waiting_bytes == 0


@given(st.lists(st.integers(1, 40), min_size=1))
def test_any_chunks(sizes: list[int]) -> None:
    stream, frames = whole_stream()
    got: list[tuple[FrameType, bytes]] = []
    decoder, at, turn = FrameDecoder(), 0, 0
    while at < len(stream):
        size = sizes[turn % len(sizes)]
        got += decoder.feed(stream[at : at + size])
        at, turn = at + size, turn + 1
    assert got == frames


@given(st.lists(st.binary(max_size=50), max_size=8))
def test_arbitrary_streams(chunks: list[bytes]) -> None:
    decoder = FrameDecoder()
    try:
        for chunk in chunks:
            list(decoder.feed(chunk))
    except WireError:
        return
    assert decoder.waiting_bytes < HEADER.size + MAX_HANDSHAKE_BYTES


@pytest.mark.parametrize(("limit", "grows"), [(MAX_HANDSHAKE_BYTES, False), (MAX_PAYLOAD_BYTES, True)])
def test_the_largest_payload(limit: int, grows: bool) -> None:
    def decoder() -> FrameDecoder:
        made = FrameDecoder()
        if grows:
            made.max_payload_bytes = MAX_PAYLOAD_BYTES
        return made

    assert list(decoder().feed(HEADER.pack(MAGIC, 5, 0, limit) + bytes(limit))) == [(FrameType.CLOSE, bytes(limit))]
    # The header alone is enough to be refused: nobody waits for the rest.
    with pytest.raises(WireError, match=str(limit)):
        list(decoder().feed(HEADER.pack(MAGIC, 5, 0, limit + 1)))


def test_the_limit_may_rise_between_two_frames_of_one_read() -> None:
    decoder = FrameDecoder()
    big = bytes(MAX_HANDSHAKE_BYTES + 1)
    seen = []
    for kind, payload in decoder.feed(frame(FrameType.AUTH_FINAL) + frame(FrameType.HELLO, big)):
        seen.append((kind, payload))
        decoder.max_payload_bytes = MAX_PAYLOAD_BYTES
    assert seen == [(FrameType.AUTH_FINAL, b""), (FrameType.HELLO, big)]


@pytest.mark.parametrize(
    "header",
    [
        HEADER.pack(b"XL", 1, 0, 0),
        HEADER.pack(MAGIC, 1, 1, 0),
        HEADER.pack(MAGIC, 0, 0, 0),
        HEADER.pack(MAGIC, 17, 0, 0),
        HEADER.pack(MAGIC, 255, 0, 0),
        HEADER.pack(MAGIC, 1, 0, (1 << 32) - 1),
        b"GET / HTTP/1.1\r\n\r\n",
    ],
)
def test_bad_headers(header: bytes) -> None:
    with pytest.raises(WireError):
        list(FrameDecoder().feed(header))


def test_frames_that_no_reader_takes_are_not_made() -> None:
    frame(FrameType.BATCH, bytes(MAX_PAYLOAD_BYTES))
    with pytest.raises(ValueError, match="BATCH payload"):
        frame(FrameType.BATCH, bytes(MAX_PAYLOAD_BYTES + 1))


# ---------------------------------------------------------------- fields and names


@pytest.mark.parametrize("name", ["a", "leaf-1.example_2", "A" * MAX_NAME_BYTES])
def test_names(name: str) -> None:
    assert is_name(name)


@pytest.mark.parametrize("name", ["", "a b", "ä", "a\n", "a/b", "a\0", "A" * (MAX_NAME_BYTES + 1), "\x1b[31m"])
def test_no_names(name: str) -> None:
    assert not is_name(name)
    packed = name.encode()
    with pytest.raises(WireError):
        decode_vector(bytes((len(packed),)) + packed + bytes(16))
    with pytest.raises(WireError):
        decode_batch(bytes((len(packed),)) + packed + bytes(24))
    with pytest.raises(WireError):
        decode_snapshot_end(bencode.encode({"origin": name, "incarnation": 1, "sequence": 1, "records": 0}))
    with pytest.raises(WireError):
        decode_burst(bencode.encode({"streams": [[name, 1, 1, 0, 0, ""]]}))


@pytest.mark.parametrize("value", [-1, 1 << 63, b"1", [1]])
def test_numbers_are_bounded(value: Any) -> None:
    with pytest.raises(WireError):
        number({b"n": value}, "n")
    with pytest.raises(WireError):
        number({}, "n")


@pytest.mark.parametrize("value", [1, b"x" * 6, b"\xff"])
def test_texts_are_bounded(value: Any) -> None:
    with pytest.raises(WireError):
        text({b"t": value}, "t", max_bytes=5)


def test_a_peers_words_are_printable() -> None:
    assert printable(b"\x1b[31mred\x07\n") == "?[31mred??"
    assert printable("naïve".encode()) == "naïve"
    assert len(printable(b"x" * 10_000)) == MAX_REASON_BYTES


# ---------------------------------------------------------------- size


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
