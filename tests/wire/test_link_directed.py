"""DIRECTED: each field is bounded, and the largest is taken."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from meshtracker.wire.link import MAX_DEADLINE_MS, MAX_DIRECTED_BYTES, MAX_HOPS, encode_directed
from meshtracker.wire.vector import MAX_NAME_BYTES
from tests.wire.link_support import DIRECTED, LIMIT, TOO_LARGE_BODY, read, refuse_each


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
    refuse_each("directed", key, bad)


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
