"""HELLO: each field is bounded, and versions are a range."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from meshtracker.errors import WireError
from meshtracker.wire import bencode
from meshtracker.wire.frame import FrameType
from meshtracker.wire.link import MAX_CAPABILITIES, MAX_SECONDS, VERSIONS, Hello, decode, encode_hello, read_versions
from meshtracker.wire.vector import MAX_NAME_BYTES, StreamId
from tests.wire.link_support import HELLO, MAX_MS, WORD, decoded_fields, read, refuse_each


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
    refuse_each("hello", key, bad)


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
