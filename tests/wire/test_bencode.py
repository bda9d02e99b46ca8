"""Bencode: what is well-formed comes back the same, anything else is a WireError and no other error."""

from __future__ import annotations

import bencodepy
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from meshtracker.errors import WireError
from meshtracker.wire.bencode import MAX_DEPTH, Value, decode, encode

PLENTY = 1 << 20

values = st.recursive(
    st.integers(-(10**19), 10**19) | st.binary(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.binary(max_size=8), inner, max_size=4),
    max_leaves=20,
)


@given(values)
def test_round_trip(value: Value) -> None:
    assert decode(encode(value), max_bytes=PLENTY, max_depth=100) == value


def test_keys_are_sorted_and_text_is_utf_8() -> None:
    assert encode({"b": 1, "a": "ü", "aa": [b"x", ()]}) == b"d1:a2:\xc3\xbc2:aal1:xlee1:bi1ee"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"e",
        b"x",
        b"i1",
        b"ie",
        b"i-e",
        b"i-0e",
        b"i01e",
        b"i-01e",
        b"i1_0e",
        b"i 1e",
        b"i+1e",
        b"i" + b"9" * 21 + b"e",
        b"i" + b"9" * 5000 + b"e",
        b"3:ab",
        b"01:a",
        b"-1:a",
        b"1 :a",
        b"999999999:a",
        b"9999999999999999999999:a",
        b"1",
        b"1:",
        b":",
        b"l",
        b"li1e",
        b"d",
        b"di1ei1ee",
        b"dlei1ee",
        b"d1:a",
        b"d1:ae",
        b"d1:ai1e1:be",
        b"i1ei2e",
        b"i1e\n",
        b"lee",
    ],
)
def test_what_is_not_bencode(data: bytes) -> None:
    with pytest.raises(WireError):
        decode(data, max_bytes=PLENTY)


def test_the_size_is_bounded() -> None:
    assert decode(b"3:abc", max_bytes=5) == b"abc"
    with pytest.raises(WireError, match="5 bytes where at most 4"):
        decode(b"3:abc", max_bytes=4)


@pytest.mark.parametrize("opening", [b"l", b"d1:a"])
def test_the_depth_is_bounded(opening: bytes) -> None:
    def nested(depth: int) -> bytes:
        return opening * (depth - 1) + b"le" + b"e" * (depth - 1)

    decode(nested(MAX_DEPTH), max_bytes=PLENTY)
    with pytest.raises(WireError, match="deeper"):
        decode(nested(MAX_DEPTH + 1), max_bytes=PLENTY)
    with pytest.raises(WireError, match="deeper"):
        decode(opening * 100_000, max_bytes=PLENTY)


def test_keys_may_be_in_any_order_and_the_last_of_two_counts() -> None:
    assert decode(b"d1:bi1e1:ai2e1:bi3ee", max_bytes=PLENTY) == {b"a": 2, b"b": 3}


@given(values, st.data())
def test_every_cut_is_noticed(value: Value, data: st.DataObject) -> None:
    encoded = encode(value)
    cut = data.draw(st.integers(0, len(encoded) - 1))
    with pytest.raises(WireError):
        decode(encoded[:cut], max_bytes=PLENTY, max_depth=100)


@given(st.binary(max_size=60) | st.text("ilde0123456789:-", max_size=60).map(str.encode))
@example(b"d" * 60)
def test_arbitrary_bytes(data: bytes) -> None:
    try:
        value = decode(data, max_bytes=PLENTY)
    except WireError:
        return
    assert bencodepy.Bencode().decode(data) == value
