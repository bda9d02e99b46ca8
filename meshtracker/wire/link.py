"""The wire format of the tracker link, drawn whole, and its control messages. Numbers are big-endian.

The parts drawn below the table are in modules of their own: `frame`, `vector`, `batch`, `varint`.

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
from collections.abc import Iterable
from typing import Any

import attrs

from meshtracker.errors import WireError
from meshtracker.model import INFO_HASH_BYTES
from meshtracker.wire import bencode
from meshtracker.wire.frame import MAX_HANDSHAKE_BYTES, MAX_PAYLOAD_BYTES, FrameType, frame
from meshtracker.wire.vector import (
    MAX_NAME_BYTES,
    Position,
    Vector,
    checked_name,
    decode_vector,
    encode_vector,
    read_position,
)

PROTOCOL_VERSION = 2

MAX_INTEREST = 50_000
"""Swarms that a leaf may ask a link to be narrowed to; one that tracks more is sent everything."""
MAX_REASON_BYTES = 500
"""Longest text of a CLOSE that is shown to the operator."""
_HEARTBEAT = struct.Struct("!QQQ")


class Interest(enum.IntEnum):
    """What an INTEREST frame, one byte of this and then info-hashes, says of them."""

    TRACK = 0
    """Send changes of these; the first such frame narrows the link to them."""
    FETCH = 1
    """The same, and send at once what is known of them."""
    DROP = 2
    """Changes of these are no longer wanted."""


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
        name=checked_name(text(fields, "name", max_bytes=MAX_NAME_BYTES)),
        incarnation=number(fields, "incarnation"),
        forwards=bool(number(fields, "forwards")),
        clock_ms=number(fields, "clock"),
        announce_interval_seconds=number(fields, "interval"),
        peer_ttl_seconds=number(fields, "ttl"),
        software=text(fields, "software", max_bytes=100),
        previous=read_position(fields[b"previous"]) if b"previous" in fields else None,
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
                    origin=checked_name(name.decode("utf-8", "replace")),
                    position=read_position([incarnation, sequence]),
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
    origin = checked_name(text(fields, "origin", max_bytes=MAX_NAME_BYTES))
    return origin, Position(number(fields, "incarnation"), number(fields, "sequence")), number(fields, "records")


def printable(text: bytes) -> str:
    """A peer's words for the operator's terminal: bounded, no control characters."""
    decoded = text[:MAX_REASON_BYTES].decode("utf-8", "replace")
    return "".join(c if c.isprintable() else "?" for c in decoded)


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise WireError("a list is missing")
    return value


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
