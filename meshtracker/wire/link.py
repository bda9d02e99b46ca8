"""The wire format of the tracker link, drawn whole, and its messages. Numbers are big-endian.

The parts drawn below the table are in modules of their own: `frame`, `vector`, `batch`, `peer_record`,
`completed_record`, `varint`. Records of a table lie in a section, so that a node skips what it has no table for.

    frame      magic "ML" 2 | type 1 | zero 1 | payload length 4 | payload

    type  name            from      payload                                                       bencoded keys
    1     AUTH_FIRST      dialer    versions, SCRAM mechanism, client-first                       v least mechanism
                                                                                                  message
    2     AUTH_CHALLENGE  listener  server-first                                                  message
    3     AUTH_PROOF      dialer    client-final                                                  message
    4     AUTH_FINAL      listener  server-final: the listener knows the password too             message
    5     CLOSE           either    a code and one plain line; the sender hangs up                code reason
    6     HELLO           either    who I am, what I speak                                        see `Hello`
    7     VECTOR          either    what I know, in as many frames as it takes                    flags 1 | vector
                                    flags: bit 0 send me everything, bit 1 more follows
    8     BURST           either    which streams follow, how and why                             see `StreamPlan`
    9     BATCH           either    one batch of a stream                                         (binary, below)
    10    SNAPSHOT        either    a piece of the rows of a stream, laid out as a batch          (binary, below)
    11    SNAPSHOT_END    either    all pieces were sent: how many records, up to which batch     name incarnation
                                                                                                  sequence digest
                                                                                                  records beside
    12    END_OF_BURST    either    all that the vectors called for was sent                      (empty)
    13    HEARTBEAT       either    alive; data frames of this connection sent and applied,       flags 1 | clock 8
                                    and what of my vector has moved since the last one            sent 8 | applied 8
                                    flags: bit 0 answer at once                                   vector
    14    INTEREST        leaf      swarms that it tracks; before VECTOR or later                 see `Interest`
    15    SWARMS          hub       what it knows of swarms just asked for, laid out as a batch   (binary, below)
    16    SWARMS_END      hub       all of one INTEREST FETCH was sent; what the sender knew then  vector
    17    DIRECTED        either    a request or an answer from one node to another               see `Directed`

Types 8 to 12, 15 and 16 are data: both ends count them, and HEARTBEAT tells whether they arrive.

    vector     { stream | sequence 8 | digest 8 } ...
    stream     name length 1 | name | incarnation 8
    batch      stream | sequence 8 | base stamp 8 | deflated 1 | section ...
               deflated: 0, or 1 if the sections are compressed (RFC 1951)
    section    kind of table varint | length varint | records; of kind 0: digest 8, see `batch.DIGEST_SECTION`
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, TypeAlias

import attrs

from meshtracker.errors import CloseCode, WireError
from meshtracker.model import INFO_HASH_BYTES
from meshtracker.wire import bencode
from meshtracker.wire.batch import Batch, decode_batch
from meshtracker.wire.frame import MAX_HANDSHAKE_BYTES, MAX_PAYLOAD_BYTES, FrameType, frame
from meshtracker.wire.vector import (
    MAX_NAME_BYTES,
    Position,
    StreamId,
    Vector,
    checked_name,
    checked_sequence,
    decode_vector,
    encode_vector,
)

VERSIONS = (3, 3)
"""The oldest and the newest version of the protocol that this release speaks."""

MAX_INTEREST = 50_000
"""Swarms that a leaf may ask a link to be narrowed to; one that tracks more is sent everything."""
MAX_REASON_BYTES = 500
"""Longest text of a CLOSE that is shown to the operator."""
MAX_CAPABILITIES = 64
"""Words of a HELLO."""
MAX_SECONDS = 10 * 365 * 86_400
"""Longest interval that a node may say it has."""
PIECE_STREAMS = 300
"""Streams in one VECTOR, HEARTBEAT or BURST: with the longest names a BURST of them takes 53 kB, and fits a frame."""
MAX_DIRECTED_BYTES = 16_384
"""Body of a directed message."""
MAX_DEADLINE_MS = 60_000
MAX_HOPS = 8
"""Links that a directed message passes."""
_HEARTBEAT = struct.Struct("!BQQQ")
_ANSWER_AT_ONCE = 1
_EVERYTHING, _MORE = 1, 2
_MAX_MS = (1 << 48) - 1
_MAX_COUNT = (1 << 63) - 1
_MAX_INCARNATION = (1 << 64) - 1


class Interest(enum.IntEnum):
    """What an INTEREST frame, one byte of this and then info-hashes, says of them."""

    TRACK = 0
    """Send changes of these; the first such frame narrows the link to them."""
    FETCH = 1
    """The same, and send at once what is known of them."""
    DROP = 2
    """Changes of these are no longer wanted."""


# ---------------------------------------------------------------- messages, one class a frame type


@attrs.frozen
class Auth:
    """AUTH_FIRST to AUTH_FINAL."""

    kind: FrameType
    fields: dict[bytes, Any]


@attrs.frozen
class Close:
    """Why the sender hangs up."""

    code: CloseCode
    reason: str
    """One plain line for people."""


@attrs.frozen(kw_only=True)
class Hello:
    """What each side says of itself once the password is proven."""

    name: str
    incarnation: int
    forwards: bool
    """A hub sends every stream, a leaf only its own."""
    clock_ms: int
    """Wall clock of the sender, Unix milliseconds."""
    announce_interval_seconds: int
    peer_ttl_seconds: int
    software: str
    versions: tuple[int, int] = VERSIONS
    """The oldest and the newest that the sender speaks; both ends use the newest that they have in common."""
    capabilities: tuple[str, ...] = ()
    """What is new within a version."""
    tables: tuple[str, ...] = ()
    """Names of the tables that the sender knows, so that it can make snapshots of them."""
    may_speak: bool = True
    """May the receiver of this HELLO send streams of other nodes than itself? A listener says no to a leaf that has a
    credential of its own."""

    @property
    def stream(self) -> StreamId:
        """The stream that the sender writes at present."""
        return StreamId(self.name, self.incarnation)


@attrs.frozen
class Knowledge:
    """A piece of the sender's vector."""

    vector: Vector
    everything: bool
    """Send all that you know, whatever the vector says."""
    more: bool
    """Another piece follows."""


@attrs.frozen(kw_only=True)
class StreamPlan:
    """One stream that follows."""

    stream: StreamId
    position: Position
    """Where the receiver will be once it has all of it."""
    after: int
    """CONTINUE: the last sequence the receiver has; FULL: 0."""
    full: bool
    reason: str
    """Why a snapshot is sent; empty for CONTINUE."""
    conflict: bool = False
    """FULL: the two ends have read different batches under one number."""


@attrs.frozen
class Burst:
    """Streams that follow."""

    plans: tuple[StreamPlan, ...]


@attrs.frozen
class BatchFrame:
    """A BATCH with the payload that it was decoded from, which is what is relayed."""

    batch: Batch
    payload: bytes


@attrs.frozen
class SnapshotPiece:
    """Some rows of a stream."""

    batch: Batch


@attrs.frozen
class SnapshotEnd:
    """All rows of a stream have been sent."""

    stream: StreamId
    position: Position
    records: int
    beside: int = 0
    """The latest stamp of rows that may be in no batch up to the position, and of which its digest does not tell."""


@attrs.frozen
class EndOfBurst:
    """All that the vectors called for has been sent."""


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
    """What has moved since the sender's last one."""
    answer_at_once: bool = False
    """Is this a challenge: is anybody there?"""


@attrs.frozen
class InterestChange:
    """Swarms that the sender tracks, or no longer."""

    interest: Interest
    info_hashes: tuple[bytes, ...]


@attrs.frozen
class SwarmsPiece:
    """Rows of swarms that were asked for."""

    batch: Batch


@attrs.frozen
class SwarmsEnd:
    """All that was asked for has been sent; what the sender knew when it began."""

    vector: Vector


class DirectedKind(enum.IntEnum):
    """What a directed message is."""

    REQUEST = 0
    ANSWER = 1
    UNDELIVERABLE = 2
    """An answer of a node on the way: the request did not arrive. Its body says why."""


@attrs.frozen(kw_only=True)
class Directed:
    """A request from one node to another by name, or its answer; hubs pass it on."""

    kind: DirectedKind
    source: str
    target: str
    number: int
    """Drawn by the source of the request; the answer has the same."""
    topic: str
    """What the request is about: the target's handler of that name takes it."""
    deadline_ms: int
    """Time that is left until nobody waits any more."""
    hops: int
    """Links that it may still pass."""
    body: bytes


Message: TypeAlias = (
    Auth
    | Close
    | Hello
    | Knowledge
    | Burst
    | BatchFrame
    | SnapshotPiece
    | SnapshotEnd
    | EndOfBurst
    | Heartbeat
    | InterestChange
    | SwarmsPiece
    | SwarmsEnd
    | Directed
)


def decode(kind: FrameType, payload: bytes) -> Message:
    """The message of a frame; the only place where payloads are read. Raises `WireError`."""
    match kind:
        case FrameType.BATCH:
            return BatchFrame(decode_batch(payload), payload)
        case FrameType.HEARTBEAT:
            return _decode_heartbeat(payload)
        case FrameType.SNAPSHOT:
            return SnapshotPiece(decode_batch(payload))
        case FrameType.SNAPSHOT_END:
            return _decode_snapshot_end(payload)
        case FrameType.BURST:
            return Burst(tuple(_decode_plans(payload)))
        case FrameType.END_OF_BURST:
            return _decode_end(payload)
        case FrameType.SWARMS:
            return SwarmsPiece(decode_batch(payload))
        case FrameType.SWARMS_END:
            return SwarmsEnd(decode_vector(payload))
        case FrameType.INTEREST:
            return _decode_interest(payload)
        case FrameType.VECTOR:
            return _decode_knowledge(payload)
        case FrameType.HELLO:
            return _decode_hello(payload)
        case FrameType.CLOSE:
            return _decode_close(payload)
        case FrameType.DIRECTED:
            return _decode_directed(payload)
        case _:
            return Auth(kind, _read_control(payload))


# ---------------------------------------------------------------- fields of control frames


def control(kind: FrameType, **fields: Any) -> bytes:
    """A frame with a bencoded dictionary."""
    return frame(kind, bencode.encode(fields))


def _read_control(payload: bytes) -> dict[bytes, Any]:
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


def number(fields: dict[bytes, Any], key: str, *, most: int) -> int:
    """A field from 0 to ``most``. Raises `WireError`."""
    value = fields.get(key.encode())
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
        raise WireError(f"field {key!r} is missing or no number from 0 to {most}")
    return value


def _words(fields: dict[bytes, Any], key: str) -> tuple[str, ...]:
    value = fields.get(key.encode(), [])
    if not isinstance(value, list) or len(value) > MAX_CAPABILITIES:
        raise WireError(f"field {key!r} is no list of at most {MAX_CAPABILITIES} words")
    words = []
    for word in value:
        if not isinstance(word, bytes):
            raise WireError(f"field {key!r} holds something else than words")
        words.append(checked_name(word.decode("utf-8", "replace")))
    return tuple(words)


def printable(text: bytes) -> str:
    """A peer's words for the operator's terminal: bounded, no control characters."""
    decoded = text[:MAX_REASON_BYTES].decode("utf-8", "replace")
    return "".join(c if c.isprintable() else "?" for c in decoded)


def read_versions(fields: dict[bytes, Any]) -> tuple[int, int]:
    """The oldest and the newest protocol version of AUTH_FIRST or HELLO. Raises `WireError`.

    Protocol 2 said one number.
    """
    newest = number(fields, "v", most=0xFFFF)
    return (number(fields, "least", most=newest) if b"least" in fields else newest), newest


# ---------------------------------------------------------------- control frames


def encode_close(code: CloseCode, reason: str) -> bytes:
    """A CLOSE frame."""
    return control(FrameType.CLOSE, code=int(code), reason=reason[:MAX_REASON_BYTES])


def _decode_close(payload: bytes) -> Close:
    fields = _read_control(payload)
    code, reason = fields.get(b"code"), fields.get(b"reason")
    return Close(
        CloseCode(code) if isinstance(code, int) and code in set(CloseCode) else CloseCode.OTHER,
        printable(reason) if isinstance(reason, bytes) else "no reason given",
    )


def encode_hello(hello: Hello) -> bytes:
    """A HELLO frame."""
    return control(
        FrameType.HELLO,
        name=hello.name,
        incarnation=hello.incarnation,
        forwards=int(hello.forwards),
        clock=hello.clock_ms,
        interval=hello.announce_interval_seconds,
        ttl=hello.peer_ttl_seconds,
        software=hello.software,
        v=hello.versions[1],
        least=hello.versions[0],
        capabilities=list(hello.capabilities),
        tables=list(hello.tables),
        speak=int(hello.may_speak),
    )


def _decode_hello(payload: bytes) -> Hello:
    fields = _read_control(payload)
    return Hello(
        name=checked_name(text(fields, "name", max_bytes=MAX_NAME_BYTES)),
        incarnation=number(fields, "incarnation", most=_MAX_INCARNATION),
        forwards=bool(number(fields, "forwards", most=1)),
        clock_ms=number(fields, "clock", most=_MAX_MS),
        announce_interval_seconds=number(fields, "interval", most=MAX_SECONDS),
        peer_ttl_seconds=number(fields, "ttl", most=MAX_SECONDS),
        software=printable(text(fields, "software", max_bytes=100).encode()),
        versions=read_versions(fields),
        capabilities=_words(fields, "capabilities"),
        tables=_words(fields, "tables"),
        may_speak=bool(number(fields, "speak", most=1)),
    )


def encode_knowledge(vector: Vector, *, everything: bool) -> list[bytes]:
    """VECTOR frames, as many as it takes, at least one."""
    pieces = list(_pieces(vector)) or [{}]
    last = len(pieces) - 1
    return [
        frame(FrameType.VECTOR, bytes((_EVERYTHING * everything | _MORE * (at < last),)) + encode_vector(piece))
        for at, piece in enumerate(pieces)
    ]


def _pieces(vector: Vector) -> Iterator[Vector]:
    entries = iter(vector.items())
    while piece := dict(islice(entries, PIECE_STREAMS)):
        yield piece


def _decode_knowledge(payload: bytes) -> Knowledge:
    if not payload or payload[0] > _EVERYTHING | _MORE:
        raise WireError("a vector does not begin as it should")
    flags = payload[0]
    return Knowledge(decode_vector(payload, 1), bool(flags & _EVERYTHING), bool(flags & _MORE))


def encode_burst(plans: Iterable[StreamPlan]) -> bytes:
    """A BURST frame of at most `PIECE_STREAMS` plans."""
    streams = [
        [*plan.stream, *plan.position, plan.after, int(plan.full), plan.reason, int(plan.conflict)] for plan in plans
    ]
    return control(FrameType.BURST, streams=streams)


def _decode_plans(payload: bytes) -> Iterator[StreamPlan]:
    streams = _read_control(payload).get(b"streams")
    if not isinstance(streams, list):
        raise WireError("a burst holds no list")
    for stream in streams:
        match stream:
            case [
                bytes(name),
                int(incarnation),
                int(sequence),
                int(digest),
                int(after),
                0 | 1 as full,
                bytes(reason),
                0 | 1 as conflict,
            ] if 0 <= incarnation <= _MAX_INCARNATION and 0 <= digest <= _MAX_INCARNATION:
                yield StreamPlan(
                    stream=StreamId(checked_name(name.decode("utf-8", "replace")), incarnation),
                    position=Position(checked_sequence(sequence), digest),
                    after=checked_sequence(after),
                    full=bool(full),
                    reason=printable(reason[:MAX_NAME_BYTES]),
                    conflict=bool(conflict),
                )
            case _:
                raise WireError("a stream of a burst is not laid out as it should be")


def encode_snapshot_end(end: SnapshotEnd) -> bytes:
    """A SNAPSHOT_END frame."""
    return control(
        FrameType.SNAPSHOT_END,
        name=end.stream.name,
        incarnation=end.stream.incarnation,
        sequence=end.position.sequence,
        digest=end.position.digest,
        records=end.records,
        beside=end.beside,
    )


def _decode_snapshot_end(payload: bytes) -> SnapshotEnd:
    fields = _read_control(payload)
    return SnapshotEnd(
        StreamId(
            checked_name(text(fields, "name", max_bytes=MAX_NAME_BYTES)),
            number(fields, "incarnation", most=_MAX_INCARNATION),
        ),
        Position(number(fields, "sequence", most=_MAX_COUNT), number(fields, "digest", most=_MAX_INCARNATION)),
        number(fields, "records", most=_MAX_COUNT),
        number(fields, "beside", most=_MAX_COUNT),
    )


def encode_end_of_burst() -> bytes:
    """An END_OF_BURST frame."""
    return frame(FrameType.END_OF_BURST)


def _decode_end(payload: bytes) -> EndOfBurst:
    if payload:
        raise WireError("the end of a burst is empty")
    return EndOfBurst()


def encode_heartbeat(heartbeat: Heartbeat) -> bytes:
    """HEARTBEAT frames: one, or as many as its vector takes."""
    head = _HEARTBEAT.pack(
        _ANSWER_AT_ONCE * heartbeat.answer_at_once,
        heartbeat.clock_ms,
        heartbeat.sent_frames,
        heartbeat.applied_frames,
    )
    pieces = list(_pieces(heartbeat.vector)) or [{}]
    return b"".join(frame(FrameType.HEARTBEAT, head + encode_vector(piece)) for piece in pieces)


def _decode_heartbeat(payload: bytes) -> Heartbeat:
    if len(payload) < _HEARTBEAT.size:
        raise WireError("a heartbeat is cut short")
    flags, clock_ms, sent_frames, applied_frames = _HEARTBEAT.unpack_from(payload)
    if flags > _ANSWER_AT_ONCE or clock_ms > _MAX_MS or max(sent_frames, applied_frames) > _MAX_COUNT:
        raise WireError("a number of a heartbeat is out of range")
    return Heartbeat(
        clock_ms=clock_ms,
        sent_frames=sent_frames,
        applied_frames=applied_frames,
        vector=decode_vector(payload, _HEARTBEAT.size),
        answer_at_once=bool(flags),
    )


def encode_interest(interest: Interest, info_hashes: Iterable[bytes]) -> list[bytes]:
    """INTEREST frames, as many as it takes; at least one, for to track nothing is to be said as well."""
    joined = b"".join(info_hashes)
    step = (MAX_PAYLOAD_BYTES - 1) // INFO_HASH_BYTES * INFO_HASH_BYTES
    head = bytes((interest,))
    return [
        frame(FrameType.INTEREST, head + joined[start : start + step]) for start in range(0, max(len(joined), 1), step)
    ]


def _decode_interest(payload: bytes) -> InterestChange:
    if len(payload) % INFO_HASH_BYTES != 1 or payload[0] > max(Interest):
        raise WireError("an interest is not laid out as it should be")
    hashes = tuple(payload[at : at + INFO_HASH_BYTES] for at in range(1, len(payload), INFO_HASH_BYTES))
    return InterestChange(Interest(payload[0]), hashes)


def encode_swarms_end(vector: Vector) -> bytes:
    """A SWARMS_END frame. Of a vector that does not fit, what fits: the rest counts as unknown."""
    return frame(FrameType.SWARMS_END, encode_vector(dict(islice(vector.items(), 2 * PIECE_STREAMS))))


def encode_directed(message: Directed) -> bytes:
    """A DIRECTED frame."""
    return control(
        FrameType.DIRECTED,
        what=int(message.kind),
        source=message.source,
        target=message.target,
        number=message.number,
        topic=message.topic,
        deadline=message.deadline_ms,
        hops=message.hops,
        body=message.body,
    )


def _decode_directed(payload: bytes) -> Directed:
    fields = _read_control(payload)
    body = fields.get(b"body")
    if not isinstance(body, bytes) or len(body) > MAX_DIRECTED_BYTES:
        raise WireError(f"a directed message has no body of at most {MAX_DIRECTED_BYTES} bytes")
    return Directed(
        kind=DirectedKind(number(fields, "what", most=max(DirectedKind))),
        source=checked_name(text(fields, "source", max_bytes=MAX_NAME_BYTES)),
        target=checked_name(text(fields, "target", max_bytes=MAX_NAME_BYTES)),
        number=number(fields, "number", most=_MAX_COUNT),
        topic=checked_name(text(fields, "topic", max_bytes=MAX_NAME_BYTES)),
        deadline_ms=number(fields, "deadline", most=MAX_DEADLINE_MS),
        hops=number(fields, "hops", most=MAX_HOPS),
        body=body,
    )
