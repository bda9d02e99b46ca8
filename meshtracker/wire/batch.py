"""Batches: what one node wrote, in sections of one table each. Laid out as drawn in `wire.link`.

The head and the sections are read here, by every node; what is in a section is its table's business, so a node passes
on, unread, what it has no table for.
"""

from __future__ import annotations

import struct
import zlib

import attrs

from meshtracker.errors import WireError
from meshtracker.wire.frame import MAX_PAYLOAD_BYTES, FrameType, frame
from meshtracker.wire.varint import decode_varint, encode_varint
from meshtracker.wire.vector import MAX_NAME_BYTES, StreamId, checked_sequence, encode_stream, read_name

DIGEST_SECTION = 0
"""Kind of the section that a hub puts first into a batch of which it has left something out: the digest after the whole
batch, 8 bytes. No table has that kind."""
MAX_KIND = 0xFFFF
"""Kinds of tables are small numbers."""
MAX_SECTIONS = 64
"""Of one batch: many more than there are tables."""
_BATCH = struct.Struct("!QQQB")
_HEAD = struct.Struct("!QQB")
MAX_BODY_BYTES = MAX_PAYLOAD_BYTES - (1 + MAX_NAME_BYTES + _BATCH.size)
"""Of the sections, uncompressed: whatever is left of a body that was read fits a frame again, compressed or not."""
_MIN_DEFLATED_BYTES = 200
"""Some five records: less is hardly made smaller."""

Section = tuple[int, bytes]
"""``(kind of table, its records)``."""


@attrs.frozen
class Batch:
    """A BATCH, a piece of a snapshot, or a part of SWARMS."""

    stream: StreamId
    sequence: int
    """Of the batch; 0 elsewhere."""
    base: int
    """Stamp from which the records' stamps are counted."""
    sections: tuple[Section, ...]


def encode_batch(kind: FrameType, batch: Batch) -> bytes:
    """A BATCH, SNAPSHOT or SWARMS frame; a BATCH is compressed, for it is sent as it is to every node of the mesh.

    Raises ValueError if the sections are larger than `MAX_BODY_BYTES`.
    """
    body = b"".join([encode_section(number, records) for number, records in batch.sections])
    if len(body) > MAX_BODY_BYTES:
        raise ValueError(f"a batch of {len(body)} bytes")
    deflated = False
    if kind is FrameType.BATCH and len(body) >= _MIN_DEFLATED_BYTES:
        compressor = zlib.compressobj(level=1, wbits=-zlib.MAX_WBITS)
        smaller = compressor.compress(body) + compressor.flush()
        deflated = len(smaller) < len(body)
        body = smaller if deflated else body
    head = encode_stream(batch.stream) + _HEAD.pack(batch.sequence, batch.base, deflated)
    return frame(kind, head + body)


def encode_section(kind: int, records: bytes) -> bytes:
    """Records of one table, which a reader can skip."""
    return encode_varint(kind) + encode_varint(len(records)) + records


def decode_batch(payload: bytes) -> Batch:
    """The head and the sections, uncompressed; no record is looked at yet. Raises `WireError`."""
    name, at = read_name(payload, 0)
    if at + _BATCH.size > len(payload):
        raise WireError("a batch is cut short")
    incarnation, sequence, base, deflated = _BATCH.unpack_from(payload, at)
    if deflated > 1:
        raise WireError("a batch is not laid out as it should be")
    body = payload[at + _BATCH.size :]
    if deflated:
        body = _inflate(body)
    elif len(body) > MAX_BODY_BYTES:
        raise WireError("a batch is too large")
    return Batch(StreamId(name, incarnation), checked_sequence(sequence), base, _sections(body))


def _inflate(body: bytes) -> bytes:
    """However small a frame is, it never unfolds to more than a frame may hold."""
    inflater = zlib.decompressobj(wbits=-zlib.MAX_WBITS)
    try:
        inflated = inflater.decompress(body, MAX_BODY_BYTES)
    except zlib.error as error:
        raise WireError(f"a batch cannot be uncompressed: {error}") from error
    if not inflater.eof or inflater.unused_data:
        raise WireError("a compressed batch is cut short, too large or followed by something")
    return inflated


def _sections(body: bytes) -> tuple[Section, ...]:
    sections: list[Section] = []
    at, size = 0, len(body)
    while at < size:
        kind, at = decode_varint(body, at)
        length, at = decode_varint(body, at)
        end = at + length
        if end > size or kind > MAX_KIND or len(sections) >= MAX_SECTIONS:
            raise WireError("a section of a batch is cut short, of an impossible kind, or one of too many")
        sections.append((kind, body[at:end]))
        at = end
    return tuple(sections)
