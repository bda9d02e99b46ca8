"""The bytes of a snapshot: all swarms of a node, and how far it knew each node's stream. Integers are big-endian.

    first line     "meshtracker snapshot 2" and a line feed
    header         length 4 | bencoded {name, at: Unix milliseconds of its beginning,
                   vector: [[name, incarnation, sequence, digest], ...],
                   tracks: digest of the swarms that the node tracks}
    each swarm     1 (1) | info-hash 20 | IPv4 rows 4 | IPv6 rows 4 | figures of completed downloads 2
                   and each of those: stream 2 | total 8 | Unix milliseconds 8
                   IPv4 rows and addresses, IPv6 rows and addresses, as a `PeerPack` keeps them
    end of swarms  0 (1)
    streams        length 4 | bencoded list of [name, incarnation], or [] where there is none;
                   the position in it is the stream in rows; this node's own is the first
    where          8: the offset of the streams, for they are read before the swarms
    checksum       blake2b, 32 bytes, over everything before it

The node goes on while its snapshot is made. The vector is taken first, so rows may be newer than it and never older:
what comes again after a restart loses against them, being the same. Streams may join meanwhile: their list comes last.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from hashlib import blake2b

import attrs

from meshtracker.errors import SnapshotDamagedError, WireError
from meshtracker.node.node import Node
from meshtracker.swarm.peers import ROW_BYTES, PeerPack
from meshtracker.swarm.swarm import Swarm
from meshtracker.wire import bencode
from meshtracker.wire.vector import MAX_STREAMS, Position, StreamId, Vector

PIECE_BYTES = 256 * 1024
"""Bytes made in one go: about a millisecond with their checksum."""
PIECE_SWARMS = 1000
"""Swarms visited in one go, for they may be small."""
MAX_BLOCK_BYTES = 4 << 20
"""Of the header and of the streams: `MAX_STREAMS` entries of a name and three 64-bit numbers take less than half."""

_KIND = b"meshtracker snapshot "
_FIRST_LINE = _KIND + b"2\n"
_LENGTH = struct.Struct("!I")
_SWARM_FOLLOWS = b"\1"
_END_OF_SWARMS = b"\0"
_SWARM = struct.Struct("!20sIIH")
_WHERE = struct.Struct("!Q")
_COMPLETED = struct.Struct("!HQQ")
_CHECKSUM_BYTES = 32
_ORIGIN_AT = 32
"""In a row: after identity and stamp."""


@attrs.frozen
class Snapshot:
    """A whole snapshot, decoded. Its swarms become those of the node that restores it."""

    name: str
    """The node that wrote it."""
    at_ms: int
    """When it was begun, by the clock of that node."""
    vector: Vector
    tracks: bytes
    """`Mesh.tracks` of that node: of other swarms the vector says nothing."""
    streams: tuple[StreamId | None, ...]
    """By their numbers in rows. The first is None: it is for the stream that the restoring node writes, and the one of
    the node that wrote this is the last."""
    swarms: dict[bytes, Swarm]


def encode(node: Node, now: float) -> Iterator[bytes]:
    """A snapshot in pieces of at most `PIECE_BYTES`; the node may change between two of them."""
    checksum = blake2b(digest_size=_CHECKSUM_BYTES)
    streams = node.registry.streams
    streams.holds += 1
    try:
        for piece in _encode_body(node, now):
            checksum.update(piece)
            yield piece
    finally:
        streams.holds -= 1
    yield checksum.digest()


def _encode_body(node: Node, now: float) -> Iterator[bytes]:
    node.mesh.seal(now)
    vector: bencode.Encodable = [[*stream, *position] for stream, position in node.mesh.vector_on_disk().items()]
    buffer = bytearray(_FIRST_LINE)
    header: dict[str, bencode.Encodable] = {
        "name": node.name,
        "at": node.clock.wall_ms(now),
        "vector": vector,
        "tracks": node.mesh.tracks(),
    }
    buffer += _block(header)
    made = 0
    for visited, info_hash in enumerate(list(node.registry.swarms), 1):
        swarm = node.registry.get(info_hash)
        if swarm is not None:
            _append_swarm(buffer, info_hash, swarm)
        if len(buffer) >= PIECE_BYTES or visited % PIECE_SWARMS == 0:
            made += len(buffer)
            yield from _cut(buffer)
            buffer = bytearray()
    buffer += _END_OF_SWARMS
    where = made + len(buffer)
    buffer += _block([list(stream) if stream is not None else [] for stream in node.registry.streams.streams])
    buffer += _WHERE.pack(where)
    yield from _cut(buffer)


def _block(value: bencode.Encodable) -> bytes:
    data = bencode.encode(value)
    return _LENGTH.pack(len(data)) + data


def _append_swarm(buffer: bytearray, info_hash: bytes, swarm: Swarm) -> None:
    """A swarm is copied whole, so that its arrays belong together; 200,000 peers take a few milliseconds."""
    completed = swarm.completed or {}
    buffer += _SWARM_FOLLOWS
    buffer += _SWARM.pack(info_hash, len(swarm.v4), len(swarm) - len(swarm.v4), len(completed))
    for total, at_ms, index in completed.values():
        buffer += _COMPLETED.pack(index, total, at_ms)
    for pack in swarm.packs():
        buffer += pack.rows
        buffer += pack.addresses


def _cut(buffer: bytearray) -> Iterator[bytes]:
    view = memoryview(buffer)
    for start in range(0, len(buffer), PIECE_BYTES):
        yield bytes(view[start : start + PIECE_BYTES])


def decode(data: bytes) -> Snapshot:
    """Read a whole snapshot. Raises `SnapshotDamagedError`, which says what is wrong, and no other error."""
    if not data.startswith(_KIND):
        raise SnapshotDamagedError("it does not begin as a snapshot does")
    body = memoryview(data)[:-_CHECKSUM_BYTES]
    if blake2b(body, digest_size=_CHECKSUM_BYTES).digest() != data[-_CHECKSUM_BYTES:]:
        raise SnapshotDamagedError("its checksum is wrong: it is cut short or was altered")
    if not data.startswith(_FIRST_LINE):
        version = data[len(_KIND) : len(_KIND) + 8].partition(b"\n")[0].decode("ascii", "replace")
        raise SnapshotDamagedError(f"it is of version {version}; this release reads version 2")
    try:
        return _Reader(data, at=len(_FIRST_LINE), end=len(body)).snapshot()
    except (ValueError, TypeError, LookupError, WireError) as error:
        raise SnapshotDamagedError(f"it contradicts itself: {error}") from error


class _Reader:
    """Takes the parts of a snapshot one after the other; raises ValueError for what cannot be.

    The checksum holds by now, so only a fault of the writer comes here; it must not harm the node either.
    """

    def __init__(self, data: bytes, *, at: int, end: int) -> None:
        self._data = data
        self._at = at
        self._end = end
        self._streams: tuple[StreamId | None, ...] = ()

    def snapshot(self) -> Snapshot:
        begun = self._at
        self._at = self._end - _WHERE.size
        (where,) = _WHERE.unpack(self._take(_WHERE.size))
        self._at = where
        listed = _streams(self._block())
        if self._at != self._end - _WHERE.size:
            raise ValueError("something stands between its streams and its end")
        own = listed[0]
        self._streams = (None, *listed[1:], own)
        self._at = begun
        header = self._block()
        if not isinstance(header, dict):
            raise TypeError("its header is no dictionary")
        name = _text(header[b"name"])
        if own is None or own.name != name:
            raise ValueError("its first stream is not of the node that wrote it")
        swarms = self._swarms()
        if self._at != where:
            raise ValueError("something stands between its swarms and its streams")
        return Snapshot(
            name=name,
            at_ms=_number(header[b"at"]),
            vector=_vector(header[b"vector"]),
            tracks=_digest(header.get(b"tracks", b"")),
            streams=self._streams,
            swarms=swarms,
        )

    def _take(self, count: int) -> bytes:
        start = self._at
        self._at += count
        if self._at > self._end:
            raise ValueError("it ends too early")
        return self._data[start : self._at]

    def _block(self) -> bencode.Value:
        (length,) = _LENGTH.unpack(self._take(_LENGTH.size))
        return bencode.decode(self._take(length), max_bytes=MAX_BLOCK_BYTES)

    def _swarms(self) -> dict[bytes, Swarm]:
        swarms: dict[bytes, Swarm] = {}
        while (mark := self._take(1)) == _SWARM_FOLLOWS:
            info_hash, four, six, completions = _SWARM.unpack(self._take(_SWARM.size))
            figures = list(_COMPLETED.iter_unpack(self._take(completions * _COMPLETED.size)))
            v4 = self._pack(6, four)
            swarm = swarms[info_hash] = Swarm.from_packs(v4, self._pack(18, six) if six else None)
            for index, total, at_ms in figures:
                number = index or len(self._streams) - 1
                swarm.set_completed(self._stream(number).name, (total, at_ms, number))
        if mark != _END_OF_SWARMS:
            raise ValueError("neither a swarm nor their end")
        return swarms

    def _pack(self, address_bytes: int, count: int) -> PeerPack:
        rows = _renumber_own(self._take(count * ROW_BYTES), len(self._streams) - 1)
        pack = PeerPack.from_bytes(address_bytes, rows=rows, addresses=self._take(count * address_bytes))
        for index in pack.origins():
            self._stream(index)
        return pack

    def _stream(self, index: int) -> StreamId:
        stream = self._streams[index]
        if stream is None:
            raise ValueError("a row is of a stream that is not listed")
        return stream


def _renumber_own(rows: bytes, number: int) -> bytes:
    """Rows of the node's own stream, which is closed by now, under another number."""
    high, low = divmod(number, 256)
    renumbered = bytearray(rows)
    for at in range(_ORIGIN_AT, len(rows), ROW_BYTES):
        if not renumbered[at] and not renumbered[at + 1]:
            renumbered[at], renumbered[at + 1] = high, low
    return bytes(renumbered)


def _text(value: bencode.Value) -> str:
    if not isinstance(value, bytes):
        raise TypeError("a name is no text")
    return value.decode("utf-8")


def _digest(value: bencode.Value) -> bytes:
    if not isinstance(value, bytes):
        raise TypeError("a digest is no text")
    return value


def _number(value: bencode.Value) -> int:
    if not isinstance(value, int) or value < 0:
        raise ValueError("a number is none, or negative")
    return value


def _vector(value: bencode.Value) -> Vector:
    if not isinstance(value, list):
        raise TypeError("its vector is no list")
    vector = {}
    for entry in value:
        if not isinstance(entry, list) or len(entry) != 4:
            raise ValueError("a position in its vector is not of four parts")
        name, *numbers = entry
        incarnation, sequence, digest = map(_number, numbers)
        vector[StreamId(_text(name), incarnation)] = Position(sequence, digest)
    return vector


def _streams(value: bencode.Value) -> tuple[StreamId | None, ...]:
    if not isinstance(value, list) or not 0 < len(value) <= MAX_STREAMS:
        raise ValueError("its streams are no list")
    streams: list[StreamId | None] = []
    for entry in value:
        if not isinstance(entry, list) or len(entry) not in (0, 2):
            raise ValueError("a stream is not of two parts")
        streams.append(StreamId(_text(entry[0]), _number(entry[1])) if entry else None)
    known = [stream for stream in streams if stream is not None]
    if len(set(known)) < len(known):
        raise ValueError("a stream is listed twice")
    return tuple(streams)
