"""The link's messages: what is encoded is decoded, and nothing else raises anything but `WireError`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtracker.errors import WireError
from meshtracker.wire import bencode
from meshtracker.wire.frame import HEADER, FrameType
from meshtracker.wire.link import (
    MAX_REASON_BYTES,
    Auth,
    BatchFrame,
    Heartbeat,
    Message,
    SnapshotPiece,
    SwarmsPiece,
    control,
    decode,
    encode_heartbeat,
    number,
    printable,
    text,
)
from tests.wire.link_support import (
    AUTH_KINDS,
    BATCH,
    BATCH_KINDS,
    LIMIT,
    MAX_MS,
    MESSAGES,
    PAYLOADS,
    SAMPLE_IDS,
    SAMPLES,
    decoded_fields,
    payload_of,
    read,
)


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


@pytest.mark.parametrize("kind", AUTH_KINDS)
def test_the_frames_of_the_proof_hold_any_dictionary(kind: FrameType) -> None:
    assert read(control(kind, message="x", v=3)) == Auth(kind, {b"message": b"x", b"v": 3})


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
