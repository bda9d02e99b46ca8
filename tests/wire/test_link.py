"""The link's messages: what is encoded is decoded, and nothing else raises anything but `WireError`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtracker.errors import CloseCode, WireError
from meshtracker.wire import bencode
from meshtracker.wire.frame import HEADER, MAX_HANDSHAKE_BYTES, MAX_PAYLOAD_BYTES, FrameType
from meshtracker.wire.link import (
    MAX_CAPABILITIES,
    MAX_DEADLINE_MS,
    MAX_DIRECTED_BYTES,
    MAX_HOPS,
    MAX_REASON_BYTES,
    MAX_SECONDS,
    PIECE_STREAMS,
    VERSIONS,
    Auth,
    BatchFrame,
    Burst,
    Close,
    Heartbeat,
    Hello,
    Interest,
    InterestChange,
    Knowledge,
    Message,
    SnapshotPiece,
    StreamPlan,
    SwarmsEnd,
    SwarmsPiece,
    control,
    decode,
    encode_burst,
    encode_close,
    encode_directed,
    encode_heartbeat,
    encode_hello,
    encode_interest,
    encode_knowledge,
    encode_swarms_end,
    number,
    printable,
    read_versions,
    text,
)
from meshtracker.wire.vector import MAX_NAME_BYTES, Position, StreamId, Vector
from tests.wire.link_support import (
    AUTH_KINDS,
    BATCH,
    BATCH_KINDS,
    DIRECTED,
    HELLO,
    LIMIT,
    MAX_MS,
    MESSAGES,
    SAMPLE_IDS,
    SAMPLES,
    TOO_LARGE_BODY,
    TOO_LONG_REASON,
    WORD,
    payload_of,
    read,
)

PAYLOADS = {name: payload for name, _, payload in SAMPLES}


def decoded_fields(name: str) -> dict[Any, Any]:
    """The bencoded dictionary of an example."""
    fields = bencode.decode(PAYLOADS[name], max_bytes=MAX_PAYLOAD_BYTES)
    assert isinstance(fields, dict)
    return fields


@pytest.mark.parametrize(("messages", "encode"), MESSAGES)
@given(st.data())
def test_what_is_encoded_is_decoded(
    messages: st.SearchStrategy[Message], encode: Callable[..., bytes], data: st.DataObject
) -> None:
    message = data.draw(messages)
    encoded = encode(message)
    assert read(encoded) == message
    assert encode(read(encoded)) == encoded


def test_there_is_an_example_of_every_frame_but_the_later_proofs() -> None:
    assert {kind for _, kind, _ in SAMPLES} == set(FrameType) - set(AUTH_KINDS[1:])


def test_each_frame_that_is_laid_out_as_a_batch_has_a_class_of_its_own() -> None:
    payload = PAYLOADS["batch"]
    decoded = [decode(kind, payload) for kind in BATCH_KINDS]
    assert decoded == [BatchFrame(BATCH, payload), SnapshotPiece(BATCH), SwarmsPiece(BATCH)]


@pytest.mark.parametrize("kind", FrameType)
@given(st.binary(max_size=300))
def test_arbitrary_bytes(kind: FrameType, data: bytes) -> None:
    with contextlib.suppress(WireError):
        decode(kind, data)


@pytest.mark.parametrize(("name", "kind", "payload"), SAMPLES, ids=SAMPLE_IDS)
def test_every_truncation_is_refused(name: str, kind: FrameType, payload: bytes) -> None:
    whole = decode(kind, payload)
    for end in range(len(payload)):
        try:
            decoded = decode(kind, payload[:end])
        except WireError:
            continue
        # Only lists may end early, and only between two of their entries.
        assert name in {"vector", "interest", "heartbeat", "batch", "swarms", "swarms end"}
        assert decoded != whole


@pytest.mark.parametrize(("name", "kind", "payload"), SAMPLES, ids=SAMPLE_IDS)
def test_what_follows_a_message_is_refused(name: str, kind: FrameType, payload: bytes) -> None:
    with pytest.raises(WireError):
        decode(kind, payload + b"\xff")


@pytest.mark.parametrize(("name", "kind", "payload"), SAMPLES, ids=SAMPLE_IDS)
def test_every_changed_byte(name: str, kind: FrameType, payload: bytes) -> None:
    for at in range(len(payload)):
        for value in (0, 1, 0x7F, 0x80, 0xFF, payload[at] ^ 1):
            changed = bytearray(payload)
            changed[at] = value
            with contextlib.suppress(WireError):
                decode(kind, bytes(changed))


scalars = st.integers() | st.binary(max_size=70)
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=9), max_leaves=18)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("auth first", FrameType.AUTH_FIRST),
        ("hello", FrameType.HELLO),
        ("close", FrameType.CLOSE),
        ("snapshot end", FrameType.SNAPSHOT_END),
        ("directed", FrameType.DIRECTED),
    ],
)
@given(st.data())
def test_any_type_in_any_field(name: str, kind: FrameType, data: st.DataObject) -> None:
    good = decoded_fields(name)
    changed = data.draw(st.dictionaries(st.sampled_from(sorted(good)), values))
    with contextlib.suppress(WireError):
        decode(kind, bencode.encode(good | changed))


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("hello", FrameType.HELLO),
        ("snapshot end", FrameType.SNAPSHOT_END),
        ("directed", FrameType.DIRECTED),
        ("burst", FrameType.BURST),
    ],
)
def test_a_message_without_one_of_its_fields_is_refused(name: str, kind: FrameType) -> None:
    optional = {b"capabilities", b"tables", b"least"}
    good = decoded_fields(name)
    for key in good.keys() - optional:
        with pytest.raises(WireError):
            decode(kind, bencode.encode({other: value for other, value in good.items() if other != key}))
    # What a later release adds does not hinder this one.
    assert decode(kind, bencode.encode(good | {b"zz": 1})) == decode(kind, bencode.encode(good))


@given(values)
def test_any_type_in_a_burst(streams: Any) -> None:
    with contextlib.suppress(WireError):
        decode(FrameType.BURST, bencode.encode({b"streams": streams}))


GOOD_PLAN: list[Any] = [b"a", 5, 2, 3, 0, 1, b"new node", 0]


@pytest.mark.parametrize(
    "change",
    [
        {0: b""},
        {0: b"a b"},
        {0: 1},
        {1: -1},
        {1: WORD + 1},
        {2: -1},
        {2: LIMIT + 1},
        {3: -1},
        {3: WORD + 1},
        {4: -1},
        {4: LIMIT + 1},
        {5: 2},
        {6: 0},
        {7: 2},
        {7: -1},
    ],
)
def test_each_part_of_a_plan_is_bounded(change: dict[int, Any]) -> None:
    def payload(plan: list[Any]) -> bytes:
        return bencode.encode({b"streams": [plan]})

    assert isinstance(decode(FrameType.BURST, payload(GOOD_PLAN)), Burst)
    with pytest.raises(WireError):
        decode(FrameType.BURST, payload([change.get(at, value) for at, value in enumerate(GOOD_PLAN)]))
    for plan in (GOOD_PLAN[:-1], [*GOOD_PLAN, 0]):
        with pytest.raises(WireError):
            decode(FrameType.BURST, payload(plan))


def test_the_reason_of_a_plan_is_printable_and_short() -> None:
    payload = bencode.encode({b"streams": [[*GOOD_PLAN[:6], b"\x1b" + b"x" * 1000, 0]]})
    decoded = decode(FrameType.BURST, payload)
    assert isinstance(decoded, Burst)
    assert decoded.plans[0].reason == "?" + "x" * (MAX_NAME_BYTES - 1)


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        (FrameType.VECTOR, b""),
        (FrameType.VECTOR, b"\4"),
        (FrameType.VECTOR, b"\xff" + PAYLOADS["vector"][1:]),
        (FrameType.INTEREST, b""),
        (FrameType.INTEREST, b"\3"),
        (FrameType.INTEREST, bytes(20)),
        (FrameType.INTEREST, bytes(22)),
        (FrameType.HEARTBEAT, b""),
        (FrameType.HEARTBEAT, bytes(24)),
        (FrameType.HEARTBEAT, bytes(26)),
        (FrameType.HEARTBEAT, b"\2" + bytes(24)),
        (FrameType.HEARTBEAT, b"\0" + (MAX_MS + 1).to_bytes(8, "big") + bytes(16)),
        (FrameType.HEARTBEAT, bytes(9) + (LIMIT + 1).to_bytes(8, "big") + bytes(8)),
        (FrameType.HEARTBEAT, bytes(17) + (LIMIT + 1).to_bytes(8, "big")),
        (FrameType.END_OF_BURST, b"\0"),
        (FrameType.CLOSE, b"le"),
        (FrameType.AUTH_FIRST, b"i1e"),
    ],
)
def test_what_begins_wrong_is_refused(kind: FrameType, payload: bytes) -> None:
    with pytest.raises(WireError):
        decode(kind, payload)


def test_the_largest_numbers_of_a_heartbeat_are_taken() -> None:
    largest = Heartbeat(clock_ms=MAX_MS, sent_frames=LIMIT, applied_frames=LIMIT, vector={}, answer_at_once=True)
    assert read(encode_heartbeat(largest)) == largest


# ---------------------------------------------------------------- HELLO, CLOSE, DIRECTED


@pytest.mark.parametrize(
    ("key", "bad"),
    [
        ("name", [b"", b"a b", b"\xff", b"x" * (MAX_NAME_BYTES + 1), 1]),
        ("incarnation", [-1, WORD + 1, b"1"]),
        ("forwards", [2, -1]),
        ("clock", [-1, MAX_MS + 1]),
        ("interval", [-1, MAX_SECONDS + 1]),
        ("ttl", [-1, MAX_SECONDS + 1]),
        ("software", [b"x" * 101, b"\xff", 1]),
        ("v", [-1, 65536, 2]),  # 2: less than ``least``
        ("least", [-1, 5]),  # 5: more than ``v``
        ("capabilities", [b"x", [1], [b""], [b"two words"], [b"x"] * (MAX_CAPABILITIES + 1)]),
        ("tables", [b"x", [1], [b""], [b"two words"], [b"x"] * (MAX_CAPABILITIES + 1)]),
        ("speak", [2, -1, b""]),
    ],
)
def test_each_field_of_a_hello_is_bounded(key: str, bad: list[Any]) -> None:
    good = decoded_fields("hello")
    for value in bad:
        with pytest.raises(WireError):
            decode(FrameType.HELLO, bencode.encode(good | {key.encode(): value}))


def test_a_hello_of_most_words_fits_a_frame() -> None:
    words = tuple(f"{number:0{MAX_NAME_BYTES}}" for number in range(MAX_CAPABILITIES))
    hello = attrs.evolve(HELLO, capabilities=words, tables=words)
    assert read(encode_hello(hello)) == hello


def test_a_hello_that_names_no_tables_has_none() -> None:
    good = decoded_fields("hello")
    del good[b"tables"], good[b"capabilities"]
    decoded = decode(FrameType.HELLO, bencode.encode(good))
    assert isinstance(decoded, Hello)
    assert (decoded.tables, decoded.capabilities) == ((), ())


def test_the_software_of_a_hello_is_printable() -> None:
    decoded = read(encode_hello(attrs.evolve(HELLO, software="\x1b[31m 1\n")))
    assert isinstance(decoded, Hello)
    assert decoded.software == "?[31m 1?"


def test_a_hello_tells_its_stream() -> None:
    assert HELLO.stream == StreamId("leaf-1", WORD)


@pytest.mark.parametrize(
    ("fields", "versions"),
    [({b"v": 3, b"least": 3}, (3, 3)), ({b"v": 5, b"least": 3}, (3, 5)), ({b"v": 2}, (2, 2))],
)
def test_versions_are_a_range_and_protocol_2_said_one_number(
    fields: dict[bytes, Any], versions: tuple[int, int]
) -> None:
    assert read_versions(fields) == versions


@pytest.mark.parametrize("fields", [{}, {b"least": 3}, {b"v": 3, b"least": 4}, {b"v": -1}, {b"v": b"3"}])
def test_versions_that_are_no_range_are_refused(fields: dict[bytes, Any]) -> None:
    with pytest.raises(WireError):
        read_versions(fields)


def test_this_release_speaks_version_3_only() -> None:
    assert VERSIONS == (3, 3)


def test_the_codes_of_a_close_never_change() -> None:
    """They are a closed list that every release reads alike: one may be added, none is given another number."""
    assert [(code.label, int(code)) for code in CloseCode] == [
        ("other", 0),
        ("stopping", 1),
        ("reset", 2),
        ("disabled", 3),
        ("replaced", 4),
        ("authentication", 5),
        ("version", 6),
        ("name", 7),
        ("clock", 8),
        ("timeout", 9),
        ("soft-split", 10),
        ("protocol", 11),
        ("forged", 12),
        ("gap", 13),
        ("future", 14),
        ("flood", 15),
        ("penalty", 16),
        ("unreachable", 17),
    ]
    assert {code.label for code in CloseCode if code.is_breach} == {"protocol", "forged", "flood"}


@pytest.mark.parametrize(
    ("fields", "close"),
    [
        ({"code": 1, "reason": "bye"}, Close(CloseCode.STOPPING, "bye")),
        ({"code": 999, "reason": "bye"}, Close(CloseCode.OTHER, "bye")),
        ({"code": -1, "reason": "bye"}, Close(CloseCode.OTHER, "bye")),
        ({"code": "x", "reason": "bye"}, Close(CloseCode.OTHER, "bye")),
        ({"reason": "wrong password"}, Close(CloseCode.OTHER, "wrong password")),
        ({"code": 8, "reason": 5}, Close(CloseCode.CLOCK, "no reason given")),
        ({"code": 8}, Close(CloseCode.CLOCK, "no reason given")),
        ({"code": 8, "reason": "\x1b[2J\n"}, Close(CloseCode.CLOCK, "?[2J?")),
        ({"code": 8, "reason": TOO_LONG_REASON}, Close(CloseCode.CLOCK, TOO_LONG_REASON[:-1])),
    ],
)
def test_a_close_of_any_release_is_understood(fields: dict[str, Any], close: Close) -> None:
    assert read(control(FrameType.CLOSE, **fields)) == close


def test_a_close_fits_a_frame_before_the_proof_whatever_its_reason() -> None:
    assert len(encode_close(CloseCode.OTHER, "\U0001f600" * 10_000)) <= MAX_HANDSHAKE_BYTES
    close = read(encode_close(CloseCode.OTHER, TOO_LONG_REASON))
    assert isinstance(close, Close)
    assert len(close.reason) == MAX_REASON_BYTES


@pytest.mark.parametrize(
    ("key", "bad"),
    [
        ("what", [-1, 3, b"0"]),
        ("source", [b"", b"a b", b"x" * (MAX_NAME_BYTES + 1), 1]),
        ("target", [b"", b"a b", b"x" * (MAX_NAME_BYTES + 1), 1]),
        ("topic", [b"", b"a b", b"x" * (MAX_NAME_BYTES + 1), 1]),
        ("number", [-1, LIMIT + 1]),
        ("deadline", [-1, MAX_DEADLINE_MS + 1]),
        ("hops", [-1, MAX_HOPS + 1]),
        ("body", [TOO_LARGE_BODY, 1, [b"x"]]),
    ],
)
def test_each_field_of_a_directed_message_is_bounded(key: str, bad: list[Any]) -> None:
    good = decoded_fields("directed")
    for value in bad:
        with pytest.raises(WireError):
            decode(FrameType.DIRECTED, bencode.encode(good | {key.encode(): value}))


def test_the_largest_directed_message_is_taken() -> None:
    name = "x" * MAX_NAME_BYTES
    largest = attrs.evolve(
        DIRECTED,
        source=name,
        target=name,
        topic=name,
        number=LIMIT,
        deadline_ms=MAX_DEADLINE_MS,
        hops=MAX_HOPS,
        body=bytes(MAX_DIRECTED_BYTES),
    )
    assert read(encode_directed(largest)) == largest


@pytest.mark.parametrize("kind", AUTH_KINDS)
def test_the_frames_of_the_proof_hold_any_dictionary(kind: FrameType) -> None:
    assert read(control(kind, message="x", v=3)) == Auth(kind, {b"message": b"x", b"v": 3})


# ---------------------------------------------------------------- what takes several frames


def many(count: int) -> Vector:
    """So many streams of the longest names."""
    largest = Position(LIMIT, WORD)
    return {StreamId(f"{number:0{MAX_NAME_BYTES}}", WORD): largest for number in range(count)}


@pytest.mark.parametrize(
    ("count", "sizes"),
    [
        (0, [0]),
        (1, [1]),
        (PIECE_STREAMS, [PIECE_STREAMS]),
        (PIECE_STREAMS + 1, [PIECE_STREAMS, 1]),
        (10_000, [PIECE_STREAMS] * 33 + [100]),
    ],
)
@pytest.mark.parametrize("everything", [False, True])
def test_a_vector_of_many_takes_several_frames(count: int, sizes: list[int], everything: bool) -> None:
    vector = many(count)
    pieces = [read(encoded) for encoded in encode_knowledge(vector, everything=everything)]
    joined: Vector = {}
    for piece in pieces:
        assert isinstance(piece, Knowledge)
        assert piece.everything is everything
        joined |= piece.vector
    assert [len(piece.vector) for piece in pieces if isinstance(piece, Knowledge)] == sizes
    assert [piece.more for piece in pieces if isinstance(piece, Knowledge)] == [True] * (len(sizes) - 1) + [False]
    assert joined == vector


def test_as_many_streams_as_a_piece_may_have_fit_every_frame() -> None:
    vector = many(PIECE_STREAMS)
    plans = [
        StreamPlan(stream=stream, position=position, after=LIMIT, full=True, reason="fell behind", conflict=True)
        for stream, position in vector.items()
    ]
    assert read(encode_burst(plans)) == Burst(tuple(plans))
    heartbeat = Heartbeat(clock_ms=MAX_MS, sent_frames=LIMIT, applied_frames=LIMIT, vector=vector)
    assert read(encode_heartbeat(heartbeat)) == heartbeat


def test_a_swarms_end_tells_as_much_as_fits() -> None:
    assert read(encode_swarms_end(many(2 * PIECE_STREAMS))) == SwarmsEnd(many(2 * PIECE_STREAMS))
    decoded = read(encode_swarms_end(many(10_000)))
    assert isinstance(decoded, SwarmsEnd)
    assert decoded.vector == many(2 * PIECE_STREAMS)


@pytest.mark.parametrize(("count", "sizes"), [(0, [0]), (3276, [3276]), (3277, [3276, 1]), (7000, [3276, 3276, 448])])
def test_an_interest_of_many_takes_several_frames(count: int, sizes: list[int]) -> None:
    info_hashes = tuple(number.to_bytes(20, "big") for number in range(count))
    changes = [read(encoded) for encoded in encode_interest(Interest.FETCH, info_hashes)]
    assert [len(change.info_hashes) for change in changes if isinstance(change, InterestChange)] == sizes
    assert (
        tuple(info_hash for change in changes if isinstance(change, InterestChange) for info_hash in change.info_hashes)
        == info_hashes
    )


# ---------------------------------------------------------------- fields


@pytest.mark.parametrize("value", [-1, 11, b"1", [1], True])
def test_numbers_are_bounded(value: Any) -> None:
    assert number({b"n": 10}, "n", most=10) == 10
    with pytest.raises(WireError):
        number({b"n": value}, "n", most=10)
    with pytest.raises(WireError):
        number({}, "n", most=10)


@pytest.mark.parametrize("value", [1, b"x" * 6, b"\xff"])
def test_texts_are_bounded(value: Any) -> None:
    assert text({b"t": b"x" * 5}, "t", max_bytes=5) == "xxxxx"
    with pytest.raises(WireError):
        text({b"t": value}, "t", max_bytes=5)
    with pytest.raises(WireError):
        text({}, "t")


def test_a_peers_words_are_printable() -> None:
    assert printable(b"\x1b[31mred\x07\n") == "?[31mred??"
    assert printable("naïve".encode()) == "naïve"
    assert len(printable(b"x" * 10_000)) == MAX_REASON_BYTES


def test_a_frame_of_each_example_has_a_plain_header() -> None:
    for _, kind, payload in SAMPLES:
        assert payload_of(HEADER.pack(b"ML", kind, 0, len(payload)) + payload) == payload
