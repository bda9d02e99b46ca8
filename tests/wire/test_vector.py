"""Streams, positions and vectors, and what nodes may be called."""

from __future__ import annotations

import contextlib
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtracker.errors import WireError
from meshtracker.wire import bencode
from meshtracker.wire.frame import FrameType
from meshtracker.wire.link import decode
from meshtracker.wire.vector import (
    BEGINNING,
    MAX_NAME_BYTES,
    NOWHERE,
    Position,
    StreamId,
    Vector,
    chain,
    checked_name,
    checked_sequence,
    decode_vector,
    differ,
    encode_stream,
    encode_vector,
    has_rows_beside,
    is_name,
    read_name,
)
from tests.wire.link_support import DIRECTED, LIMIT, VECTOR, stream_ids, vectors, words


@given(vectors, st.binary(max_size=3))
def test_vector(vector: Vector, before: bytes) -> None:
    encoded = encode_vector(vector)
    assert decode_vector(before + encoded, len(before)) == vector
    assert encode_vector(decode_vector(encoded)) == encoded


@given(stream_ids)
def test_a_stream_is_a_name_and_an_incarnation(stream: StreamId) -> None:
    encoded = encode_stream(stream)
    name, at = read_name(encoded, 0)
    assert StreamId(name, int.from_bytes(encoded[at:])) == stream
    assert len(encoded) == at + 8


def test_streams_of_one_name_are_told_apart_by_their_incarnation() -> None:
    vector = {StreamId("a", 1): Position(1, 2), StreamId("a", 2): Position(3, 4)}
    assert decode_vector(encode_vector(vector)) == vector


def test_a_vector_cut_anywhere_but_between_two_streams_is_refused() -> None:
    encoded = encode_vector(VECTOR)
    [first, _] = [encode_vector({stream: position}) for stream, position in VECTOR.items()]
    for end in range(len(encoded)):
        if end in (0, len(first)):
            assert len(decode_vector(encoded[:end])) == (end > 0)
        else:
            with pytest.raises(WireError):
                decode_vector(encoded[:end])


@given(st.binary(max_size=200))
def test_arbitrary_bytes(data: bytes) -> None:
    with contextlib.suppress(WireError):
        for stream, position in decode_vector(data).items():
            assert is_name(stream.name)
            assert checked_sequence(position.sequence) == position.sequence


@pytest.mark.parametrize("sequence", [-1, LIMIT + 1])
def test_a_sequence_to_which_none_can_be_added_is_refused(sequence: int) -> None:
    assert checked_sequence(LIMIT) == LIMIT
    with pytest.raises(WireError):
        checked_sequence(sequence)
    encoded = encode_stream(StreamId("a", 1)) + (sequence % (1 << 64)).to_bytes(8, "big") + bytes(8)
    with pytest.raises(WireError):
        decode_vector(encoded)


# ---------------------------------------------------------------- digests


@given(words.filter(bool), st.binary(max_size=100))
def test_a_digest_is_chained_over_the_payloads(digest: int, payload: bytes) -> None:
    """As drawn by hand, so that every release has the same."""
    expected = int.from_bytes(sha256(digest.to_bytes(8, "big") + payload).digest()[:8]) & ~1 or 2
    assert chain(digest, payload) == expected != 0
    assert not has_rows_beside(Position(1, expected))


@given(st.binary(max_size=100))
def test_what_is_not_known_stays_unknown(payload: bytes) -> None:
    assert chain(0, payload) == 0


@given(st.lists(st.binary(max_size=5), min_size=2, max_size=6, unique=True), st.data())
def test_another_order_or_another_payload_gives_another_digest(payloads: list[bytes], data: st.DataObject) -> None:
    def digest_of(batches: list[bytes]) -> int:
        digest = BEGINNING.digest
        for payload in batches:
            digest = chain(digest, payload)
        return digest

    other = data.draw(st.permutations(payloads))
    assert differ(digest_of(payloads), digest_of(other)) is (other != payloads)
    assert differ(digest_of(payloads), digest_of(payloads[:-1]))


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [(5, 6, True), (6, 5, True), (5, 5, False), (0, 5, False), (5, 0, False), (0, 0, False)],
)
def test_only_two_known_digests_differ(one: int, other: int, expected: bool) -> None:
    assert differ(one, other) is expected


def test_nowhere_is_before_the_beginning() -> None:
    assert NOWHERE < BEGINNING < Position(1, 0)
    assert not differ(NOWHERE.digest, BEGINNING.digest)


# ---------------------------------------------------------------- names


@pytest.mark.parametrize("name", ["a", "leaf-1.example_2", "A" * MAX_NAME_BYTES])
def test_names(name: str) -> None:
    assert is_name(name)
    assert checked_name(name) == name


@pytest.mark.parametrize("name", ["", "a b", "ä", "a\n", "a/b", "a\0", "A" * (MAX_NAME_BYTES + 1), "\x1b[31m"])
def test_no_names(name: str) -> None:
    assert not is_name(name)
    packed = name.encode()
    plan: list[Any] = [name, 1, 1, 1, 0, 0, "", 0]
    snapshot_end: dict[str, Any] = {"name": name, "incarnation": 1, "sequence": 1, "digest": 1, "records": 0}
    directed: dict[str, Any] = {
        "what": 0,
        "source": DIRECTED.source,
        "target": name,
        "number": 1,
        "topic": "t",
        "deadline": 1,
        "hops": 1,
        "body": b"",
    }
    with pytest.raises(WireError):
        checked_name(name)
    for kind, payload in (
        (FrameType.SWARMS_END, bytes((len(packed),)) + packed + bytes(24)),
        (FrameType.BATCH, bytes((len(packed),)) + packed + bytes(25)),
        (FrameType.SNAPSHOT_END, bencode.encode(snapshot_end)),
        (FrameType.BURST, bencode.encode({"streams": [plan]})),
        (FrameType.DIRECTED, bencode.encode(directed)),
    ):
        with pytest.raises(WireError):
            decode(kind, payload)


def test_a_name_that_is_cut_short_is_refused() -> None:
    assert read_name(b"x\3abcy", 1) == ("abc", 5)
    for payload, at in ((b"", 0), (b"\3ab", 0), (b"\1a", 2), (b"\1a", 9)):
        with pytest.raises(WireError):
            read_name(payload, at)
