"""The bytes of a snapshot: all swarms of a node, and how far it knew each node's stream. Integers are big-endian.

    first line     "meshtracker snapshot 1" and a line feed
    header         length 4 | bencoded {name, incarnation, vector: {origin: [incarnation, sequence]},
                   tracks: digest of the swarms that the node tracks; not in files of release 0.1}
    each swarm     1 (1) | info-hash 20 | IPv4 rows 4 | IPv6 rows 4 | origins that completed 2
                   and of each of those: origin 2 | total 8
                   IPv4 rows and addresses, IPv6 rows and addresses, as a `PeerPack` keeps them
    end of swarms  0 (1)
    origin names   length 4 | bencoded list; the position of a name is the origin in rows; this node's is the first
    checksum       blake2b, 32 bytes, over everything before it

The node goes on while its snapshot is made. The vector is taken first, so rows may be newer than it and never older:
what comes again after a restart loses against them, being the same. Origins may join meanwhile: their names come last.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from hashlib import blake2b

import attrs

from meshtracker.errors import SnapshotDamagedError, WireError
from meshtracker.node.node import Node
from meshtracker.swarm.origins import MAX_ORIGINS
from meshtracker.swarm.peers import ROW_BYTES, PeerPack
from meshtracker.swarm.swarm import Swarm
from meshtracker.wire import bencode
from meshtracker.wire.vector import Position, Vector

PIECE_BYTES = 256 * 1024
"""Bytes made in one go: about a millisecond with their checksum."""
PIECE_SWARMS = 1000
"""Swarms visited in one go, for they may be small."""
MAX_BLOCK_BYTES = 256 * 1024
"""Of the header and of the names: `MAX_ORIGINS` entries of a name and two 64-bit numbers take less than half."""

_KIND = b"meshtracker snapshot "
_FIRST_LINE = _KIND + b"1\n"
_LENGTH = struct.Struct("!I")
_SWARM_FOLLOWS = b"\1"
_END_OF_SWARMS = b"\0"
_SWARM = struct.Struct("!20sIIH")
_COMPLETED = struct.Struct("!HQ")
_CHECKSUM_BYTES = 32


@attrs.frozen
class Snapshot:
    """A whole snapshot, decoded. Its swarms become those of the node that restores it."""

    name: str
    """The node that wrote it."""
    incarnation: int
    vector: Vector
    tracks: bytes
    """`Mesh.tracks` of that node: of other swarms the vector says nothing."""
    origins: tuple[str, ...]
    swarms: dict[bytes, Swarm]


def encode(node: Node) -> Iterator[bytes]:
    """A snapshot in pieces of at most `PIECE_BYTES`; the node may change between two of them."""
    checksum = blake2b(digest_size=_CHECKSUM_BYTES)
    for piece in _encode_body(node):
        checksum.update(piece)
        yield piece
    yield checksum.digest()


def _encode_body(node: Node) -> Iterator[bytes]:
    vector = {origin: list(position) for origin, position in node.mesh.vector().items()}
    buffer = bytearray(_FIRST_LINE)
    header: dict[str, bencode.Encodable] = {
        "name": node.name,
        "incarnation": node.incarnation,
        "vector": vector,
        "tracks": node.mesh.tracks(),
    }
    buffer += _block(header)
    for visited, info_hash in enumerate(list(node.registry.swarms), 1):
        swarm = node.registry.get(info_hash)
        if swarm is not None and len(swarm):
            _append_swarm(buffer, info_hash, swarm)
        if len(buffer) >= PIECE_BYTES or visited % PIECE_SWARMS == 0:
            yield from _cut(buffer)
            buffer = bytearray()
    buffer += _END_OF_SWARMS
    buffer += _block(list(node.registry.origins.names))
    yield from _cut(buffer)


def _block(value: bencode.Encodable) -> bytes:
    data = bencode.encode(value)
    return _LENGTH.pack(len(data)) + data


def _append_swarm(buffer: bytearray, info_hash: bytes, swarm: Swarm) -> None:
    """A swarm is copied whole, so that its arrays belong together; 200,000 peers take a few milliseconds."""
    completed = swarm.completed or {}
    buffer += _SWARM_FOLLOWS
    buffer += _SWARM.pack(info_hash, len(swarm.v4), len(swarm) - len(swarm.v4), len(completed))
    for origin, total in completed.items():
        buffer += _COMPLETED.pack(origin, total)
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
        raise SnapshotDamagedError(f"it is of version {version}; this release reads version 1")
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

    def snapshot(self) -> Snapshot:
        header = self._block()
        if not isinstance(header, dict):
            raise TypeError("its header is no dictionary")
        swarms, used = self._swarms()
        names = self._block()
        if self._at != self._end:
            raise ValueError(f"{self._end - self._at} bytes after its end")
        if not isinstance(names, list) or not 0 < len(names) <= MAX_ORIGINS or len({*map(_text, names)}) < len(names):
            raise ValueError("its origins are no list of different names")
        if max(used, default=0) >= len(names):
            raise ValueError("a row is of an origin without a name")
        name = _text(header[b"name"])
        if _text(names[0]) != name:
            raise ValueError("its first origin is not the node that wrote it")
        return Snapshot(
            name=name,
            incarnation=_number(header[b"incarnation"]),
            vector=_vector(header[b"vector"]),
            tracks=_digest(header.get(b"tracks", b"")),
            origins=tuple(map(_text, names)),
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

    def _swarms(self) -> tuple[dict[bytes, Swarm], set[int]]:
        """All swarms, and the origins that occur in them."""
        swarms: dict[bytes, Swarm] = {}
        used: set[int] = set()
        while (mark := self._take(1)) == _SWARM_FOLLOWS:
            info_hash, four, six, completions = _SWARM.unpack(self._take(_SWARM.size))
            completed = dict(_COMPLETED.iter_unpack(self._take(completions * _COMPLETED.size)))
            v4 = self._pack(6, four)
            v6 = self._pack(18, six) if six else None
            swarm = swarms[info_hash] = Swarm.from_packs(v4, v6, completed=completed or None)
            used.update(completed, *(pack.origins() for pack in swarm.packs()))
        if mark != _END_OF_SWARMS:
            raise ValueError("neither a swarm nor their end")
        return swarms, used

    def _pack(self, address_bytes: int, count: int) -> PeerPack:
        rows = self._take(count * ROW_BYTES)
        return PeerPack.from_bytes(address_bytes, rows=rows, addresses=self._take(count * address_bytes))


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
    if not isinstance(value, dict):
        raise TypeError("its vector is no dictionary")
    vector = {}
    for origin, position in value.items():
        if not isinstance(position, list) or len(position) != 2:
            raise ValueError("a position in its vector is no pair")
        vector[_text(origin)] = Position(*map(_number, position))
    return vector
