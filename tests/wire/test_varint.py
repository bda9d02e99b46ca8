"""Numbers of as many bytes as they need."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtracker.errors import WireError
from meshtracker.wire.varint import decode_varint, encode_varint
from tests.wire.link_support import numbers


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


@given(st.binary(max_size=12), st.integers(0, 14))
def test_arbitrary_bytes(data: bytes, at: int) -> None:
    with contextlib.suppress(WireError):
        value, end = decode_varint(data, at)
        assert 0 <= value < 1 << 63
        assert at < end <= len(data)
