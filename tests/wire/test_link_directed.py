"""DIRECTED: each field is bounded, and the largest is taken."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from meshtracker.errors import WireError
from meshtracker.wire import bencode
from meshtracker.wire.frame import FrameType
from meshtracker.wire.link import MAX_DEADLINE_MS, MAX_DIRECTED_BYTES, MAX_HOPS, decode, encode_directed
from meshtracker.wire.vector import MAX_NAME_BYTES
from tests.wire.link_support import DIRECTED, LIMIT, TOO_LARGE_BODY, decoded_fields, read


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
