"""Rows as a link carries them: the snapshot of an origin, and whole swarms that were asked for.

Both are made piece by piece while the rows change; each piece is a few milliseconds of work, at either end.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Set

import attrs

from meshtracker.model import PeerState
from meshtracker.swarm.peers import ROW_BYTES, PeerPack, unpack_rows
from meshtracker.swarm.registry import Registry
from meshtracker.wire.batch import Batch, PeerRecord, encode_batch, encode_completed, encode_group, encode_record
from meshtracker.wire.frame import FrameType

PIECE_BYTES = 16_000
"""A piece is sent once it has grown to this: some 400 rows."""
PIECE_ROWS = 2000
"""Rows looked at for one piece."""
GROUP_ROWS = 200
"""Rows of one family in one group: at most 18 kB in both, so that the piece it tips over still fits its frame."""
_GROUP_BYTES = 24
"""Info-hash and length of a group."""
_REMOVED = int(PeerState.REMOVED)


def snapshot(registry: Registry, head: Batch, interest: Set[bytes] | None) -> Iterator[tuple[bytes, int]]:
    """SNAPSHOT frames, and the records of each, with all rows of one origin.

    ``head`` is a batch without a body: the origin, where its stream is, and the oldest stamp that is sent.
    Of the swarms of ``interest`` only; None: of all.
    """
    index = registry.origins.index(head.origin)
    groups: list[bytes] = []
    sent = size = looked = 0
    for info_hash in list(registry.swarms if interest is None else interest):
        for body, count, rows in _groups_of(registry, info_hash, index, head.base):
            if count:
                groups.append(encode_group(info_hash, body))
                size += len(body) + _GROUP_BYTES
            sent += count
            looked += rows
            if size >= PIECE_BYTES or looked >= PIECE_ROWS:
                yield encode_batch(FrameType.SNAPSHOT, attrs.evolve(head, body=b"".join(groups))), sent
                groups = []
                sent = size = looked = 0
    if groups:
        yield encode_batch(FrameType.SNAPSHOT, attrs.evolve(head, body=b"".join(groups))), sent


def _groups_of(registry: Registry, info_hash: bytes, index: int, base: int) -> Iterator[tuple[bytearray, int, int]]:
    """``(encoded records of an origin, how many, rows looked at)`` of one swarm; a large swarm makes several."""
    swarm = registry.get(info_hash)
    if swarm is None:
        yield bytearray(), 0, 1
        return
    total = swarm.completed.get(index, 0) if swarm.completed else 0
    body = bytearray(encode_completed(total) if total else b"")
    count, looked = int(bool(total)), 1
    for pack in swarm.packs():
        size = pack.address_bytes
        for rows, addresses in pack.copies(GROUP_ROWS):
            for at, (identity, stamp, origin, state) in enumerate(unpack_rows(rows)):
                if origin == index and stamp >= base:
                    address = b"" if state == _REMOVED else addresses[at * size : at * size + size]
                    body += encode_record(PeerRecord(identity, stamp, state, size, address), base)
                    count += 1
            looked += len(rows) // ROW_BYTES
            if looked >= GROUP_ROWS:
                yield body, count, looked
                body, count, looked = bytearray(), 0, 0
    yield body, count, looked


def swarms(registry: Registry, info_hashes: Iterable[bytes], base: int) -> Iterator[bytes]:
    """SWARMS frames with all rows of some swarms, of every origin, that are stamped ``base`` or later."""
    waiting: dict[int, list[bytes]] = defaultdict(list)
    size = 0
    for info_hash in info_hashes:
        for bodies in _groups(registry, info_hash, base):
            for index, body in bodies.items():
                waiting[index].append(encode_group(info_hash, body))
                size += len(body) + _GROUP_BYTES
            if size >= PIECE_BYTES:
                yield from _frames(registry, waiting, base)
                waiting.clear()
                size = 0
    yield from _frames(registry, waiting, base)


def _frames(registry: Registry, groups_of: Mapping[int, list[bytes]], base: int) -> Iterator[bytes]:
    for index, groups in groups_of.items():
        # Of no incarnation and at no position: it says nothing of any stream.
        batch = Batch(registry.origins.names[index], 0, 0, base, b"".join(groups))
        yield encode_batch(FrameType.SWARMS, batch)


def _groups(registry: Registry, info_hash: bytes, base: int) -> Iterator[Mapping[int, bytearray]]:
    """Encoded records of one swarm by origin; a large swarm makes several."""
    swarm = registry.get(info_hash)
    if swarm is None:
        return
    bodies: dict[int, bytearray] = defaultdict(bytearray)
    for index, total in (swarm.completed or {}).items():
        bodies[index] += encode_completed(total)
    yield bodies
    for pack in swarm.packs():
        for rows, addresses in pack.copies(GROUP_ROWS):
            yield _by_origin(pack, rows, addresses, base)


def _by_origin(pack: PeerPack, rows: bytes, addresses: bytes, base: int) -> Mapping[int, bytearray]:
    size = pack.address_bytes
    bodies: dict[int, bytearray] = defaultdict(bytearray)
    for at, (identity, stamp, origin, state) in enumerate(unpack_rows(rows)):
        if stamp >= base:
            address = b"" if state == _REMOVED else addresses[at * size : at * size + size]
            bodies[origin] += encode_record(PeerRecord(identity, stamp, state, size, address), base)
    return bodies
