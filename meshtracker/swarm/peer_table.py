"""The table of peers on the link: rows of swarms, one for each client and address family."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Iterator
from typing import Final

from meshtracker.model import PeerState, Window
from meshtracker.swarm.merging import Merging
from meshtracker.swarm.peers import ROW_BYTES, PeerPack, unpack_rows
from meshtracker.swarm.streams import OWN
from meshtracker.swarm.swarm import Swarm
from meshtracker.wire.peer_record import PeerRecord, encode_group, encode_record, groups, narrow_peers, records
from meshtracker.wire.vector import StreamId

PEER_TABLE: Final = 1
"""Kind of its sections."""
PIECE_BYTES = 16_000
"""A piece is sent once it has grown to this: some 400 rows."""
PIECE_ROWS = 2000
"""Rows looked at for one piece."""
GROUP_ROWS = 200
"""Rows of one family in one group: at most 18 kB in both, so that the piece it tips over still fits its frame."""
_GROUP_BYTES: Final = 24
"""Info-hash and length of a group."""
_REMOVED: Final = int(PeerState.REMOVED)


class PeerChanges:
    """Records of one section by swarm."""

    __slots__ = ("count", "groups", "left_out", "newest")

    def __init__(self) -> None:
        self.groups: list[tuple[bytes, list[PeerRecord]]] = []
        self.count = 0
        self.left_out = 0
        self.newest = 0


class PeerTable:
    """See `link.table.Table`."""

    kind: Final = PEER_TABLE
    name: Final = "peers"

    def __init__(self, merging: Merging) -> None:
        self._merging = merging

    def read(self, section: bytes, base: int, *, strict: bool) -> PeerChanges:
        """The records by swarm. Raises `WireError`."""
        changes = PeerChanges()
        count = left_out = newest = 0
        for info_hash, body in groups(section):
            kept: list[PeerRecord] = []
            for record in records(body, base, strict=strict):
                if record is None:
                    left_out += 1
                    continue
                kept.append(record)
                if record.stamp > newest:
                    newest = record.stamp
            count += len(kept)
            changes.groups.append((info_hash, kept))
        changes.count, changes.left_out, changes.newest = count + left_out, left_out, newest
        return changes

    def apply(self, stream: StreamId, index: int, changes: PeerChanges, window: Window) -> int:
        """Merge the records stamped within ``window``; returns how many changed a swarm."""
        oldest, newest = window.oldest, window.newest
        merging = self._merging
        registry = merging.registry
        may_add = index == OWN or not registry.is_exhausted(stream.name)
        applied = stale = 0
        for info_hash, found in changes.groups:
            if not merging.tracks(info_hash):
                merging.dropped += len(found)
                continue
            swarm = registry.swarms.get(info_hash)
            if swarm is None:
                swarm = registry.swarm(info_hash)
            for record in found:
                stamp = record.stamp
                if not oldest <= stamp <= newest:
                    stale += 1
                    continue
                row = record.identity, stamp, index, record.state
                if registry.merge(swarm, row, record.address, record.address_bytes, may_add):
                    applied += 1
                else:
                    stale += 1
            if not len(swarm):
                registry.forget_if_empty(info_hash)
        merging.applied += applied
        merging.stale += stale
        return applied

    def snapshot(
        self,
        stream: StreamId,  # noqa: ARG002  # as all tables do
        index: int,
        base: int,
        interest: Iterable[bytes] | None,
    ) -> Iterator[tuple[bytes, int]]:
        """Sections with all rows of a stream; what changes meanwhile comes in a later batch, and wins by its stamp."""
        swarms = self._merging.registry.swarms
        parts: list[bytes] = []
        sent = size = looked = 0
        for info_hash in list(swarms if interest is None else interest):
            for body, count, rows in _groups_of(swarms.get(info_hash), index, base):
                if count:
                    parts.append(encode_group(info_hash, body))
                    size += len(body) + _GROUP_BYTES
                sent += count
                looked += rows
                if size >= PIECE_BYTES or looked >= PIECE_ROWS:
                    yield b"".join(parts), sent
                    parts = []
                    sent = size = looked = 0
        if parts:
            yield b"".join(parts), sent

    def swarms(self, info_hashes: Iterable[bytes], base: int) -> Iterator[dict[int, bytes]]:
        """Sections by index of their stream with all rows of some swarms."""
        waiting: dict[int, list[bytes]] = defaultdict(list)
        size = 0
        for info_hash in info_hashes:
            for bodies in _groups(self._merging.registry.swarms.get(info_hash), base):
                for index, body in bodies.items():
                    waiting[index].append(encode_group(info_hash, body))
                    size += len(body) + _GROUP_BYTES
                if size >= PIECE_BYTES:
                    yield {index: b"".join(parts) for index, parts in waiting.items()}
                    waiting.clear()
                    size = 0
        if waiting:
            yield {index: b"".join(parts) for index, parts in waiting.items()}

    def narrow(self, section: bytes, wanted: Container[bytes]) -> bytes:
        """The section without the groups of other swarms."""
        return narrow_peers(section, wanted)

    def encode_own(self, key: bytes) -> bytes:  # noqa: ARG002  # as all tables do
        """Not used: what clients change goes into a batch as it comes (`link.outbox`)."""
        return b""

    def begin_anew(self, stamp: int, newest: int, *, keeps_age: bool) -> None:
        """Stamp the rows of this node's own stream anew, and drop those of others that are from after ``newest``."""
        registry = self._merging.registry
        for info_hash, swarm in list(registry.swarms.items()):
            for pack in swarm.packs():
                for (identity, written, index, state), known in pack.entries():
                    if index != OWN and written <= newest:
                        continue
                    position = pack.find(identity)
                    if index != OWN:
                        registry.drop(swarm, pack, position)
                        continue
                    address = b"" if state == _REMOVED else known
                    registry.write(
                        swarm, pack, position, (identity, written + 1 if keeps_age else stamp, OWN, state), address
                    )
            registry.forget_if_empty(info_hash)


def _groups_of(swarm: Swarm | None, index: int, base: int) -> Iterator[tuple[bytearray, int, int]]:
    """``(encoded records of a stream, how many, rows looked at)`` of one swarm; a large swarm makes several."""
    if swarm is None:
        yield bytearray(), 0, 1
        return
    body = bytearray()
    count, looked = 0, 1
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


def _groups(swarm: Swarm | None, base: int) -> Iterator[dict[int, bytearray]]:
    """Encoded records of one swarm by index of their stream; a large swarm makes several."""
    for pack in swarm.packs() if swarm is not None else ():
        for rows, addresses in pack.copies(GROUP_ROWS):
            yield _by_stream(pack, rows, addresses, base)


def _by_stream(pack: PeerPack, rows: bytes, addresses: bytes, base: int) -> dict[int, bytearray]:
    size = pack.address_bytes
    bodies: dict[int, bytearray] = defaultdict(bytearray)
    for at, (identity, stamp, index, state) in enumerate(unpack_rows(rows)):
        if stamp >= base:
            address = b"" if state == _REMOVED else addresses[at * size : at * size + size]
            bodies[index] += encode_record(PeerRecord(identity, stamp, state, size, address), base)
    return bodies
