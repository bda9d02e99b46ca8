"""The whole wire format of the tracker link: frames, control messages, vectors, batches. Numbers are big-endian.

    frame      magic "ML" 2 | type 1 | zero 1 | payload length 4 | payload

    type  name            from      payload                                                       bencoded keys
    1     AUTH_FIRST      dialer    protocol version, SCRAM mechanism, client-first               v mechanism message
    2     AUTH_CHALLENGE  listener  server-first                                                  message
    3     AUTH_PROOF      dialer    client-final                                                  message
    4     AUTH_FINAL      listener  server-final: the listener knows the password too             message
    5     CLOSE           either    one plain line; the sender hangs up                           reason
    6     HELLO           either    who I am                                                      see `Hello`
    7     VECTOR          either    what I know; do I want everything anew all the same?          everything 1 | vector
    8     BURST           either    which streams follow, how and why; before any of their data   see `StreamPlan`
    9     BATCH           either    one batch of an origin's stream                               (binary, below)
    10    SNAPSHOT        either    a piece of the rows of an origin, laid out as a batch         (binary, below)
    11    SNAPSHOT_END    either    all pieces were sent: how many records, up to which sequence  origin incarnation
                                                                                                  sequence records
    12    END_OF_BURST    either    all that BURST announced was sent                             (empty)
    13    HEARTBEAT       either    alive; data frames of this connection sent and applied,       clock 8 | sent 8
                                    and what I know                                               applied 8 | vector
    14    INTEREST        leaf      swarms that it tracks; before VECTOR or later                 see `Interest`
    15    SWARMS          hub       what it knows of swarms just asked for, laid out as a batch   (binary, below)
    16    SWARMS_END      hub       all of one INTEREST FETCH was sent; what the sender knew then  vector

Types 8 to 12, 15 and 16 are data: both ends count them, and HEARTBEAT tells whether they arrive.

    vector     { name length 1 | name | incarnation 8 | sequence 8 } ...
    batch      name length 1 | origin name | incarnation 8 | sequence 8 | base stamp 8 | deflated 1 | group ...
               deflated: 0, or 1 if the groups are compressed (RFC 1951)
    group      info-hash 20 | body length varint | record ...
    record     head 1 | milliseconds after base varint | counter varint | peer id 20 | key 4 | address 6 or 18
               head: bits 0-1 peer state, bit 2 IPv6; a removed peer (state 3) has no address
    completed  head 0x80 | total varint: downloads of this swarm that the batch's origin has seen complete

A group carries its length so that a reader can skip it without decoding its records.
"""

from __future__ import annotations

import enum
import struct
import zlib
from collections.abc import Container, Iterable, Iterator
from typing import Any, NamedTuple

import attrs

from meshtracker.errors import WireError
from meshtracker.model import INFO_HASH_BYTES, STAMP_COUNTER_BITS, PeerState
from meshtracker.wire import bencode

PROTOCOL_VERSION = 2

HEADER = struct.Struct("!2sBBI")
MAGIC = b"ML"

MAX_HANDSHAKE_BYTES = 4096
"""Largest payload before the password is proven: no stranger makes this node hold more."""
MAX_PAYLOAD_BYTES = 65_536
"""Largest payload after that: a heartbeat never waits behind more than one of these."""
MAX_NAME_BYTES = 64
"""Longest node name."""
MAX_INTEREST = 50_000
"""Swarms that a leaf may ask a link to be narrowed to; one that tracks more is sent everything."""
MAX_REASON_BYTES = 500
"""Longest text of a CLOSE that is shown to the operator."""

_MIN_DEFLATED_BYTES = 200
"""Some five records: less is hardly made smaller."""
_TLS_HANDSHAKE = b"\x16\x03"
"""A record's content type and major version (RFC 8446, 5.1)."""
_STREAM = struct.Struct("!QQ")
_BATCH = struct.Struct("!QQQB")
_HEARTBEAT = struct.Struct("!QQQ")
_COUNTER_MASK = (1 << STAMP_COUNTER_BITS) - 1
_REMOVED = int(PeerState.REMOVED)
_IPV6 = 4
_COMPLETED = 0x80
_IDENTITY_BYTES = 24


class FrameType(enum.IntEnum):
    """See the table at the head of the file."""

    AUTH_FIRST = 1
    AUTH_CHALLENGE = 2
    AUTH_PROOF = 3
    AUTH_FINAL = 4
    CLOSE = 5
    HELLO = 6
    VECTOR = 7
    BURST = 8
    BATCH = 9
    SNAPSHOT = 10
    SNAPSHOT_END = 11
    END_OF_BURST = 12
    HEARTBEAT = 13
    INTEREST = 14
    SWARMS = 15
    SWARMS_END = 16


DATA_FRAMES = frozenset(
    {
        FrameType.BURST,
        FrameType.BATCH,
        FrameType.SNAPSHOT,
        FrameType.SNAPSHOT_END,
        FrameType.END_OF_BURST,
        FrameType.SWARMS,
        FrameType.SWARMS_END,
    }
)
"""What the data path carries: whether these arrive is what soft-split detection is about."""


class Interest(enum.IntEnum):
    """What an INTEREST frame, one byte of this and then info-hashes, says of them."""

    TRACK = 0
    """Send changes of these; the first such frame narrows the link to them."""
    FETCH = 1
    """The same, and send at once what is known of them."""
    DROP = 2
    """Changes of these are no longer wanted."""


class Position(NamedTuple):
    """How far one origin's stream is known."""

    incarnation: int
    """Unix milliseconds of the origin's start."""
    sequence: int
    """Last batch applied; 0 before the first."""


Vector = dict[str, Position]
"""Origin name to position: exactly what a node knows."""


class PeerRecord(NamedTuple):
    """One peer in one swarm, as an origin wrote it."""

    identity: bytes
    """20 bytes peer id, 4 bytes key."""
    stamp: int
    state: int
    """A `PeerState`, as a plain int."""
    address_bytes: int
    """6 or 18: the family, also of a removed peer."""
    address: bytes
    """Compact; empty when the peer was removed."""


@attrs.frozen
class Batch:
    """One decoded BATCH or SNAPSHOT frame; its groups are decoded on demand by `groups` and `records`."""

    origin: str
    incarnation: int
    sequence: int
    """Of the batch; in a snapshot the sequence up to which it is complete."""
    base: int
    body: bytes


@attrs.frozen(kw_only=True)
class Hello:
    """What each side says of itself once the password is proven."""

    name: str
    incarnation: int
    forwards: bool
    """A hub sends every origin's stream, a leaf only its own."""
    clock_ms: int
    """Wall clock of the sender, Unix milliseconds."""
    announce_interval_seconds: int
    peer_ttl_seconds: int
    software: str
    previous: Position | None
    """How far the sender knows its own stream from before its restart."""


@attrs.frozen(kw_only=True)
class StreamPlan:
    """One stream of a burst."""

    origin: str
    position: Position
    """Where the receiver will be once it has all of it."""
    after: int
    """CONTINUE: the last sequence the receiver has; FULL: 0."""
    full: bool
    reason: str
    """Why a snapshot is sent; empty for CONTINUE."""


# ---------------------------------------------------------------- frames


def frame(kind: FrameType, payload: bytes = b"") -> bytes:
    """A whole frame. Raises ValueError if the payload is larger than any reader accepts."""
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise ValueError(f"{kind.name} payload of {len(payload)} bytes")
    return HEADER.pack(MAGIC, kind, 0, len(payload)) + payload


class FrameDecoder:
    """Cuts a byte stream into frames; holds at most one frame that is not complete."""

    __slots__ = ("_buffer", "max_payload_bytes")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self.max_payload_bytes = MAX_HANDSHAKE_BYTES

    @property
    def waiting_bytes(self) -> int:
        """Bytes of a frame that is not complete yet."""
        return len(self._buffer)

    def feed(self, data: bytes) -> Iterator[tuple[FrameType, bytes]]:
        """Frames completed by ``data``. The iterator must be used up. Raises `WireError`."""
        buffer = self._buffer
        buffer += data
        at = 0
        try:
            while len(buffer) - at >= HEADER.size:
                magic, kind, zero, length = HEADER.unpack_from(buffer, at)
                if magic != MAGIC or zero:
                    what = " but TLS: is link.tls off on one side?" if buffer.startswith(_TLS_HANDSHAKE) else ""
                    raise WireError(f"not a meshtracker link frame{what}")
                if length > self.max_payload_bytes:
                    raise WireError(f"a frame of {length} bytes where at most {self.max_payload_bytes} are allowed")
                end = at + HEADER.size + length
                if len(buffer) < end:
                    return
                payload = bytes(buffer[at + HEADER.size : end])
                at = end
                try:
                    known = FrameType(kind)
                except ValueError:
                    raise WireError(f"frame type {kind} is unknown") from None
                yield known, payload
        finally:
            del buffer[:at]


# ---------------------------------------------------------------- control messages


def control(kind: FrameType, **fields: Any) -> bytes:
    """A frame with a bencoded dictionary."""
    return frame(kind, bencode.encode(fields))


def read_control(payload: bytes) -> dict[bytes, Any]:
    """The dictionary of a control frame. Raises `WireError`."""
    fields = bencode.decode(payload, max_bytes=MAX_PAYLOAD_BYTES)
    if not isinstance(fields, dict):
        raise WireError("a control frame holds no dictionary")
    return fields


def text(fields: dict[bytes, Any], key: str, *, max_bytes: int = MAX_HANDSHAKE_BYTES) -> str:
    """A UTF-8 field. Raises `WireError`."""
    value = fields.get(key.encode())
    if not isinstance(value, bytes) or len(value) > max_bytes:
        raise WireError(f"field {key!r} is missing or no text of at most {max_bytes} bytes")
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise WireError(f"field {key!r} is not UTF-8") from None


def number(fields: dict[bytes, Any], key: str) -> int:
    """A field from 0 to 2^63-1. Raises `WireError`."""
    value = fields.get(key.encode())
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 63:
        raise WireError(f"field {key!r} is missing or no number")
    return value


def encode_hello(hello: Hello) -> bytes:
    """A HELLO frame."""
    fields: dict[str, Any] = {
        "name": hello.name,
        "incarnation": hello.incarnation,
        "forwards": int(hello.forwards),
        "clock": hello.clock_ms,
        "interval": hello.announce_interval_seconds,
        "ttl": hello.peer_ttl_seconds,
        "software": hello.software,
    }
    if hello.previous is not None:
        fields["previous"] = list(hello.previous)
    return control(FrameType.HELLO, **fields)


def decode_hello(payload: bytes) -> Hello:
    """Raises `WireError`."""
    fields = read_control(payload)
    return Hello(
        name=_name(text(fields, "name", max_bytes=MAX_NAME_BYTES)),
        incarnation=number(fields, "incarnation"),
        forwards=bool(number(fields, "forwards")),
        clock_ms=number(fields, "clock"),
        announce_interval_seconds=number(fields, "interval"),
        peer_ttl_seconds=number(fields, "ttl"),
        software=text(fields, "software", max_bytes=100),
        previous=_position(fields[b"previous"]) if b"previous" in fields else None,
    )


def encode_burst(plans: list[StreamPlan]) -> bytes:
    """A BURST frame."""
    streams = [[plan.origin, *plan.position, plan.after, int(plan.full), plan.reason] for plan in plans]
    return control(FrameType.BURST, streams=streams)


def decode_burst(payload: bytes) -> list[StreamPlan]:
    """Raises `WireError`."""
    plans = []
    for stream in _list(read_control(payload).get(b"streams")):
        match stream:
            case [bytes(name), incarnation, sequence, int(after), 0 | 1 as full, bytes(reason)]:
                plan = StreamPlan(
                    origin=_name(name.decode("utf-8", "replace")),
                    position=_position([incarnation, sequence]),
                    after=after,
                    full=bool(full),
                    reason=printable(reason),
                )
                plans.append(plan)
            case _:
                raise WireError("a stream of a burst is not laid out as it should be")
    return plans


def encode_snapshot_end(origin: str, position: Position, *, records: int) -> bytes:
    """A SNAPSHOT_END frame."""
    return control(
        FrameType.SNAPSHOT_END,
        origin=origin,
        incarnation=position.incarnation,
        sequence=position.sequence,
        records=records,
    )


def decode_snapshot_end(payload: bytes) -> tuple[str, Position, int]:
    """``(origin, position, records)``. Raises `WireError`."""
    fields = read_control(payload)
    origin = _name(text(fields, "origin", max_bytes=MAX_NAME_BYTES))
    return origin, Position(number(fields, "incarnation"), number(fields, "sequence")), number(fields, "records")


def printable(text: bytes) -> str:
    """A peer's words for the operator's terminal: bounded, no control characters."""
    decoded = text[:MAX_REASON_BYTES].decode("utf-8", "replace")
    return "".join(c if c.isprintable() else "?" for c in decoded)


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise WireError("a list is missing")
    return value


def _position(value: Any) -> Position:
    match value:
        case [int(incarnation), int(sequence)] if 0 <= incarnation < 1 << 63 and 0 <= sequence < 1 << 63:
            return Position(incarnation, sequence)
    raise WireError("not a stream position")


def is_name(name: str) -> bool:
    """May a node be called that? Letters, digits, dot, dash and underscore, at most `MAX_NAME_BYTES`."""
    return 0 < len(name) <= MAX_NAME_BYTES and name.isascii() and all(c.isalnum() or c in "._-" for c in name)


def _name(name: str) -> str:
    if not is_name(name):
        raise WireError("a node name is empty, too long or has characters other than letters, digits, '.', '_' and '-'")
    return name


# ---------------------------------------------------------------- vectors


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
        name, at = _read_name(payload, at)
        if at + _STREAM.size > len(payload):
            raise WireError("a vector is cut short")
        vector[name] = _position(list(_STREAM.unpack_from(payload, at)))
        at += _STREAM.size
    return vector


@attrs.frozen(kw_only=True)
class Heartbeat:
    """Alive, and how the data path fares as the sender sees it."""

    clock_ms: int
    """Wall clock of the sender, Unix milliseconds."""
    sent_frames: int
    """Data frames that the sender has written to this connection."""
    applied_frames: int
    """Data frames of this connection that the sender has applied."""
    vector: Vector


def encode_heartbeat(heartbeat: Heartbeat) -> bytes:
    """A HEARTBEAT frame."""
    head = _HEARTBEAT.pack(heartbeat.clock_ms, heartbeat.sent_frames, heartbeat.applied_frames)
    return frame(FrameType.HEARTBEAT, head + encode_vector(heartbeat.vector))


def decode_heartbeat(payload: bytes) -> Heartbeat:
    """Raises `WireError`."""
    if len(payload) < _HEARTBEAT.size:
        raise WireError("a heartbeat is cut short")
    clock_ms, sent_frames, applied_frames = _HEARTBEAT.unpack_from(payload)
    vector = decode_vector(payload, _HEARTBEAT.size)
    return Heartbeat(clock_ms=clock_ms, sent_frames=sent_frames, applied_frames=applied_frames, vector=vector)


def encode_knowledge(vector: Vector, *, everything: bool) -> bytes:
    """A VECTOR frame; ``everything``: send me all that you know, whatever my vector says."""
    return frame(FrameType.VECTOR, bytes((everything,)) + encode_vector(vector))


def decode_knowledge(payload: bytes) -> tuple[Vector, bool]:
    """``(vector, everything)``. Raises `WireError`."""
    if not payload or payload[0] > 1:
        raise WireError("a vector does not begin as it should")
    return decode_vector(payload, 1), bool(payload[0])


def encode_interest(interest: Interest, info_hashes: Iterable[bytes]) -> list[bytes]:
    """INTEREST frames, as many as it takes; at least one, for to track nothing is to be said as well."""
    joined = b"".join(info_hashes)
    step = (MAX_PAYLOAD_BYTES - 1) // INFO_HASH_BYTES * INFO_HASH_BYTES
    head = bytes((interest,))
    return [
        frame(FrameType.INTEREST, head + joined[start : start + step]) for start in range(0, max(len(joined), 1), step)
    ]


def decode_interest(payload: bytes) -> tuple[Interest, list[bytes]]:
    """``(what of them, info-hashes)``. Raises `WireError`."""
    if len(payload) % INFO_HASH_BYTES != 1 or payload[0] > max(Interest):
        raise WireError("an interest is not laid out as it should be")
    hashes = [payload[at : at + INFO_HASH_BYTES] for at in range(1, len(payload), INFO_HASH_BYTES)]
    return Interest(payload[0]), hashes


def _read_name(payload: bytes, at: int) -> tuple[str, int]:
    end = at + 1 + payload[at] if at < len(payload) else len(payload) + 1
    if end > len(payload):
        raise WireError("a node name is cut short")
    return _name(payload[at + 1 : end].decode("utf-8", "replace")), end


# ---------------------------------------------------------------- batches


def encode_record(record: PeerRecord, base: int) -> bytes:
    """One record; its stamp must not be before ``base``'s millisecond."""
    after_ms = (record.stamp >> STAMP_COUNTER_BITS) - (base >> STAMP_COUNTER_BITS)
    counter = record.stamp & _COUNTER_MASK
    head = record.state | (_IPV6 if record.address_bytes == 18 else 0)
    # Nearly every live record fits these two bytes.
    if after_ms < 128 and counter < 128:
        return bytes((head, after_ms, counter)) + record.identity + record.address
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
    origin, at = _read_name(payload, 0)
    if at + _BATCH.size > len(payload):
        raise WireError("a batch is cut short")
    incarnation, sequence, base, deflated = _BATCH.unpack_from(payload, at)
    if deflated > 1:
        raise WireError("a batch is not laid out as it should be")
    body = payload[at + _BATCH.size :]
    return Batch(origin, *_position([incarnation, sequence]), base, _inflate(body) if deflated else body)


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


def encode_varint(value: int) -> bytes:
    """LEB128, seven bits a byte, low bits first."""
    if value < 128:
        return _SMALL[value]
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def decode_varint(data: bytes, at: int) -> tuple[int, int]:
    """``(value, where it ends)``; at most nine bytes, 63 bits. Raises `WireError`."""
    value = shift = 0
    for byte in data[at : at + 9]:
        at += 1
        if byte < 128:
            return value | byte << shift, at
        value |= (byte & 127) << shift
        shift += 7
    raise WireError("a number is cut short or too large")


_SMALL = [bytes((value,)) for value in range(128)]
"""Numbers of one byte, which nearly all are."""
