"""Vectors: how far each node's stream is known, by its name."""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

from meshtracker.errors import WireError

MAX_NAME_BYTES = 64
"""Longest node name."""
_STREAM = struct.Struct("!QQ")


class Position(NamedTuple):
    """How far one origin's stream is known."""

    incarnation: int
    """Unix milliseconds of the origin's start."""
    sequence: int
    """Last batch applied; 0 before the first."""


Vector = dict[str, Position]
"""Origin name to position: exactly what a node knows."""


def encode_vector(vector: Vector) -> bytes:
    """The payload of a VECTOR frame."""
    parts = []
    for name, position in vector.items():
        packed = name.encode()
        parts.append(bytes((len(packed),)) + packed + _STREAM.pack(*position))
    return b"".join(parts)


def decode_vector(payload: bytes, at: int = 0) -> Vector:
    """Raises `WireError`. Its size is bounded by the frame's."""
    vector: Vector = {}
    while at < len(payload):
        name, at = read_name(payload, at)
        if at + _STREAM.size > len(payload):
            raise WireError("a vector is cut short")
        vector[name] = read_position(list(_STREAM.unpack_from(payload, at)))
        at += _STREAM.size
    return vector


def read_position(value: Any) -> Position:
    """A pair of numbers from 0 to 2^63-1. Raises `WireError`."""
    match value:
        case [int(incarnation), int(sequence)] if 0 <= incarnation < 1 << 63 and 0 <= sequence < 1 << 63:
            return Position(incarnation, sequence)
    raise WireError("not a stream position")


def is_name(name: str) -> bool:
    """May a node be called that? Letters, digits, dot, dash and underscore, at most `MAX_NAME_BYTES`."""
    return 0 < len(name) <= MAX_NAME_BYTES and name.isascii() and all(c.isalnum() or c in "._-" for c in name)


def checked_name(name: str) -> str:
    """The same. Raises `WireError` unless it `is_name`."""
    if not is_name(name):
        raise WireError("a node name is empty, too long or has characters other than letters, digits, '.', '_' and '-'")
    return name


def read_name(payload: bytes, at: int) -> tuple[str, int]:
    """``(a name with its length in front, where it ends)``. Raises `WireError`."""
    end = at + 1 + payload[at] if at < len(payload) else len(payload) + 1
    if end > len(payload):
        raise WireError("a node name is cut short")
    return checked_name(payload[at + 1 : end].decode("utf-8", "replace")), end
