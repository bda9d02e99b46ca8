"""Batches: the records of one node's stream, grouped by info-hash. Laid out as drawn in `wire.link`."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Container, Iterator

import attrs

from meshtracker.errors import WireError
from meshtracker.model import INFO_HASH_BYTES, STAMP_COUNTER_BITS, PeerState
from meshtracker.wire.frame import HEADER, MAX_PAYLOAD_BYTES, FrameType, frame
from meshtracker.wire.varint import decode_varint, encode_varint
from meshtracker.wire.vector import read_name, read_position

_MIN_DEFLATED_BYTES = 200
"""Some five records: less is hardly made smaller."""
_BATCH = struct.Struct("!QQQB")
_COUNTER_MASK = (1 << STAMP_COUNTER_BITS) - 1
_REMOVED = int(PeerState.REMOVED)
_IPV6 = 4
_COMPLETED = 0x80
_IDENTITY_BYTES = 24


class PeerRecord:
    """One peer in one swarm, as an origin wrote it. A plain class, since compiled those are made fastest."""

    __slots__ = ("address", "address_bytes", "identity", "stamp", "state")

    def __init__(self, identity: bytes, stamp: int, state: int, address_bytes: int, address: bytes) -> None:
        self.identity = identity
        """20 bytes peer id, 4 bytes key."""
        self.stamp = stamp
        self.state = state
        """A `PeerState`, as a plain int."""
        self.address_bytes = address_bytes
        """6 or 18: the family, also of a removed peer."""
        self.address = address
        """Compact; empty when the peer was removed."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PeerRecord) and self._fields() == other._fields()

    def __hash__(self) -> int:
        return hash(self._fields())

    def __repr__(self) -> str:
        return f"PeerRecord{self._fields()}"

    def _fields(self) -> tuple[bytes, int, int, int, bytes]:
        return self.identity, self.stamp, self.state, self.address_bytes, self.address


@attrs.frozen
class Batch:
    """One decoded BATCH or SNAPSHOT frame; its groups are decoded on demand by `groups` and `records`."""

    origin: str
    incarnation: int
    sequence: int
    """Of the batch; in a snapshot the sequence up to which it is complete."""
    base: int
    body: bytes


def encode_record(record: PeerRecord, base: int) -> bytes:
    """One record; its stamp must not be before ``base``'s millisecond."""
    after_ms = (record.stamp >> STAMP_COUNTER_BITS) - (base >> STAMP_COUNTER_BITS)
    counter = record.stamp & _COUNTER_MASK
    head = record.state | (_IPV6 if record.address_bytes == 18 else 0)
    # `encode_varint` of what nearly every live record has.
    if after_ms < 128 and counter < 128 * 128:
        numbers = (head, after_ms, counter) if counter < 128 else (head, after_ms, counter & 127 | 128, counter >> 7)
        return bytes(numbers) + record.identity + record.address
    return bytes((head,)) + encode_varint(after_ms) + encode_varint(counter) + record.identity + record.address


def encode_completed(total: int) -> bytes:
    """The record of a swarm's completed downloads."""
    return bytes((_COMPLETED,)) + encode_varint(total)


def encode_group(info_hash: bytes, body: bytes | bytearray) -> bytes:
    """The records of one swarm."""
    return info_hash + encode_varint(len(body)) + body


def encode_batch(kind: FrameType, batch: Batch) -> bytes:
    """A BATCH, SNAPSHOT or SWARMS frame; a BATCH is compressed, for it is sent as it is to every node of the mesh."""
    name = batch.origin.encode()
    body = batch.body
    deflated = False
    if kind is FrameType.BATCH and len(body) >= _MIN_DEFLATED_BYTES:
        compressor = zlib.compressobj(level=1, wbits=-zlib.MAX_WBITS)
        smaller = compressor.compress(body) + compressor.flush()
        deflated = len(smaller) < len(body)
        body = smaller if deflated else body
    head = bytes((len(name),)) + name + _BATCH.pack(batch.incarnation, batch.sequence, batch.base, deflated)
    return frame(kind, head + body)


def decode_batch(payload: bytes) -> Batch:
    """The head of a batch, and ``body`` uncompressed; its groups are not looked at yet. Raises `WireError`."""
    origin, at = read_name(payload, 0)
    if at + _BATCH.size > len(payload):
        raise WireError("a batch is cut short")
    incarnation, sequence, base, deflated = _BATCH.unpack_from(payload, at)
    if deflated > 1:
        raise WireError("a batch is not laid out as it should be")
    body = payload[at + _BATCH.size :]
    return Batch(origin, *read_position([incarnation, sequence]), base, _inflate(body) if deflated else body)


def _inflate(body: bytes) -> bytes:
    """However small a frame is, it never unfolds to more than a frame may be."""
    inflater = zlib.decompressobj(wbits=-zlib.MAX_WBITS)
    try:
        inflated = inflater.decompress(body, MAX_PAYLOAD_BYTES)
    except zlib.error as error:
        raise WireError(f"a batch cannot be uncompressed: {error}") from error
    if not inflater.eof or inflater.unused_data:
        raise WireError("a compressed batch is cut short, too large or followed by something")
    return inflated


def groups(batch: Batch) -> Iterator[tuple[bytes, bytes]]:
    """``(info_hash, record bytes)`` of each group. Raises `WireError`."""
    body = batch.body
    at = 0
    while at < len(body):
        start = at + INFO_HASH_BYTES
        length, start = decode_varint(body, start)
        end = start + length
        if end > len(body):
            raise WireError("a group is cut short")
        yield body[at : at + INFO_HASH_BYTES], body[start:end]
        at = end


def narrow(batch_frame: bytes, wanted: Container[bytes]) -> bytes:
    """A BATCH frame of this node's logs without the groups of swarms that are not ``wanted``; no record is decoded."""
    batch = decode_batch(batch_frame[HEADER.size :])
    kept = b"".join([encode_group(info_hash, body) for info_hash, body in groups(batch) if info_hash in wanted])
    if len(kept) == len(batch.body):
        return batch_frame
    return encode_batch(FrameType.BATCH, Batch(batch.origin, batch.incarnation, batch.sequence, batch.base, kept))


def records(body: bytes, base: int) -> Iterator[PeerRecord | int]:
    """The records of one group; a plain int is the swarm's completed downloads. Raises `WireError`."""
    base_ms = base >> STAMP_COUNTER_BITS
    at = 0
    size = len(body)
    while at < size:
        head = body[at]
        if head == _COMPLETED:
            total, at = decode_varint(body, at + 1)
            yield total
            continue
        if head > _IPV6 + _REMOVED:
            raise WireError(f"a record of unknown kind {head:#x}")
        after_ms, at = decode_varint(body, at + 1)
        if at < size and body[at] < 128:
            counter = body[at]
            at += 1
        else:
            counter, at = decode_varint(body, at)
        state = head & _REMOVED
        address_bytes = 18 if head & _IPV6 else 6
        middle = at + _IDENTITY_BYTES
        end = middle if state == _REMOVED else middle + address_bytes
        if end > size or counter > _COUNTER_MASK or base_ms + after_ms >= 1 << 48:
            raise WireError("a record is cut short or its stamp is out of range")
        stamp = (base_ms + after_ms) << STAMP_COUNTER_BITS | counter
        yield PeerRecord(body[at:middle], stamp, state, address_bytes, body[middle:end])
        at = end
