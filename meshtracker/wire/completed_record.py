"""Records of the table of completed downloads.

section    record ...
record     info-hash 20 | total varint | Unix milliseconds varint
           total: downloads of that swarm which clients of the batch's node have completed, in all its lives
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from typing import NamedTuple

from meshtracker.errors import WireError
from meshtracker.model import INFO_HASH_BYTES
from meshtracker.wire.varint import decode_varint, encode_varint

MAX_COMPLETED = 1 << 40
"""Downloads of one swarm at one node: a trillion, so that no sum of them is ever out of range."""
_MAX_MS = 1 << 48


class CompletedRecord(NamedTuple):
    """How many downloads of one swarm a node has seen complete, and since when it says so."""

    info_hash: bytes
    total: int
    at_ms: int
    """Unix milliseconds."""


def encode_completed(record: CompletedRecord) -> bytes:
    """One record."""
    return record.info_hash + encode_varint(record.total) + encode_varint(record.at_ms)


def completed_records(section: bytes) -> Iterator[CompletedRecord]:
    """All of a section. Raises `WireError`."""
    at = 0
    while at < len(section):
        info_hash = section[at : at + INFO_HASH_BYTES]
        total, at = decode_varint(section, at + INFO_HASH_BYTES)
        at_ms, at = decode_varint(section, at)
        if not 0 < total <= MAX_COMPLETED or at_ms >= _MAX_MS:
            raise WireError("a number of completed downloads is out of range")
        yield CompletedRecord(info_hash, total, at_ms)


def narrow_completed(section: bytes, wanted: Container[bytes]) -> bytes:
    """The section without the records of swarms that are not ``wanted``. Raises `WireError`."""
    kept = bytearray()
    at = 0
    while at < len(section):
        start = at
        _, at = decode_varint(section, at + INFO_HASH_BYTES)
        _, at = decode_varint(section, at)
        if section[start : start + INFO_HASH_BYTES] in wanted:
            kept += section[start:at]
    return bytes(kept)
