"""The link's control messages: what is encoded is decoded, and nothing else raises anything but `WireError`."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtracker.errors import WireError
from meshtracker.wire import bencode
from meshtracker.wire.link import (
    MAX_REASON_BYTES,
    Heartbeat,
    Hello,
    Interest,
    StreamPlan,
    decode_burst,
    decode_heartbeat,
    decode_hello,
    decode_interest,
    decode_snapshot_end,
    encode_burst,
    encode_heartbeat,
    encode_hello,
    encode_interest,
    encode_snapshot_end,
    number,
    printable,
    read_control,
    text,
)
from meshtracker.wire.vector import Position
from tests.wire.link_support import (
    DECODERS,
    SAMPLES,
    hellos,
    names,
    numbers,
    payload_of,
    plans,
    positions,
    vectors,
    words,
)


@given(hellos)
def test_hello(hello: Hello) -> None:
    encoded = encode_hello(hello)
    assert decode_hello(payload_of(encoded)) == hello
    assert encode_hello(decode_hello(payload_of(encoded))) == encoded


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
