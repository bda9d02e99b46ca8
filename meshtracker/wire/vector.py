"""Streams, positions and vectors: what a node knows of everybody's streams.

vector     { name length 1 | name | incarnation 8 | sequence 8 | digest 8 } ...
"""

from __future__ import annotations

import struct
from hashlib import sha256
from typing import NamedTuple

from meshtracker.errors import WireError

MAX_NAME_BYTES = 64
"""Longest node name."""
MAX_STREAMS = 10_000
"""Streams that a node knows at once: bounds every table of them. A row has room for 65,536."""
_STREAM = struct.Struct("!QQQ")
_WORD = struct.Struct("!Q")
DIGEST_BYTES = 8
_MAX_SEQUENCE = (1 << 63) - 1
_MAX_DIGEST = (1 << 64) - 1


class StreamId(NamedTuple):
    """Whose stream, and which: a node begins a new one at each start."""

    name: str
    incarnation: int
    """64 random bits. Nothing orders incarnations: neither of two is the later one."""


class Position(NamedTuple):
    """How far a stream is known."""

    sequence: int
    """Last batch applied. 0: some rows may be here, but nothing is known to be complete."""
    digest: int
    """Chained over the batches up to it (`chain`): equal ones mean that the same was read. 0: not known."""


Vector = dict[StreamId, Position]
"""Exactly what a node knows."""

NOWHERE = Position(0, 0)
"""Of a stream of which nothing is known to be complete."""
FORGOTTEN = Position(0, 2)
"""In a heartbeat: of a stream that its sender knows no longer, for it has no rows and is silent."""
BEGINNING = Position(0, 1)
"""Of a stream at its origin, before its first batch."""


def chain(digest: int, payload: bytes) -> int:
    """The digest after one more batch, whose payload as it is relayed is given; what is not known stays unknown."""
    if not digest:
        return 0
    link: int = _WORD.unpack_from(sha256(_WORD.pack(digest) + payload).digest())[0]
    # Even: see `has_rows_beside`.
    return link & ~1 or 2


def above(digest: int) -> int:
    """Another digest for rows that are in none of the batches: a greater one, for of two the greater stays; odd."""
    room = _MAX_DIGEST - digest
    return (digest + 1 + chain(digest or 1, b"rows beside the stream") % max(1, room // 2)) | 1 if room else 1


def has_rows_beside(position: Position) -> bool:
    """Does a position say that there are rows that are in none of the batches up to it?"""
    return position.sequence > 0 and position.digest & 1 == 1


def differ(one: int, other: int) -> bool:
    """Do two digests of one position say that not the same was read? Not if either is unknown."""
    return bool(one and other) and one != other


def encode_vector(vector: Vector) -> bytes:
    """As it goes into VECTOR, HEARTBEAT and SWARMS_END."""
    return b"".join([encode_stream(stream) + _WORD.pack(at[0]) + _WORD.pack(at[1]) for stream, at in vector.items()])


def decode_vector(payload: bytes, at: int = 0) -> Vector:
    """Raises `WireError`. Its size is bounded by the frame's."""
    vector: Vector = {}
    while at < len(payload):
        name, at = read_name(payload, at)
        if at + _STREAM.size > len(payload):
            raise WireError("a vector is cut short")
        incarnation, sequence, digest = _STREAM.unpack_from(payload, at)
        vector[StreamId(name, incarnation)] = Position(checked_sequence(sequence), digest)
        at += _STREAM.size
    return vector


def encode_stream(stream: StreamId) -> bytes:
    """A stream as a batch and a vector begin with it."""
    name = stream.name.encode()
    return bytes((len(name),)) + name + _WORD.pack(stream.incarnation)


def checked_sequence(sequence: int) -> int:
    """A sequence from 0 to 2^63-1, so that one can always be added. Raises `WireError`."""
    if not 0 <= sequence <= _MAX_SEQUENCE:
        raise WireError("a sequence is out of range")
    return sequence


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
