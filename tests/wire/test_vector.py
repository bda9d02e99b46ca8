"""Vectors, and what nodes may be called."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtracker.errors import WireError
from meshtracker.wire import bencode
from meshtracker.wire.batch import (
    decode_batch,
)
from meshtracker.wire.link import (
    decode_burst,
    decode_knowledge,
    decode_snapshot_end,
    encode_knowledge,
)
from meshtracker.wire.vector import MAX_NAME_BYTES, Position, decode_vector, encode_vector, is_name
from tests.wire.link_support import payload_of, vectors


@given(vectors, st.booleans())
def test_vector(vector: dict[str, Position], everything: bool) -> None:
    assert decode_vector(encode_vector(vector)) == vector
    assert encode_vector(decode_vector(encode_vector(vector))) == encode_vector(vector)
    assert decode_knowledge(payload_of(encode_knowledge(vector, everything=everything))) == (vector, everything)


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
