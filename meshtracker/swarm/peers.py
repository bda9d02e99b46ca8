"""The peers of one swarm and one address family, packed.

Two byte arrays with one entry a peer: a compact answer is a few slices, and a small swarm is not an object graph.

    addresses   compact address        6 (IPv4) or 18 (IPv6)
    rows        identity 24 | stamp 8 | origin 2 | state 1   = 35 bytes

Entries are kept in three partitions, which only ever move rows at their borders:

    0 ........ leechers ........ live ........ len
    leechers     |    seeders     |  tombstones
    and partial seeds

*Identity* is the 20-byte peer id and the 32-bit client key: what stays the same when a client changes its address.
A tombstone is a row like any other, so that last-writer-wins, expiry, snapshots and resync need no second path for it;
its address is zeroed.

Where it was compiled, `_peers.c` does what `PeerPack` does here, with the same rows in less memory.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple, Self, TypeAlias

from meshtracker.model import PEER_ID_BYTES, PeerState

IDENTITY_BYTES: Final = 24
_FIELDS: Final = struct.Struct("!QHB")
ROW_BYTES: Final = 35
_ROW: Final = struct.Struct("!24sQHB")
_STAMP_ONLY: Final = struct.Struct("!24xQ3x")
_ORIGIN_ONLY: Final = struct.Struct("!32xHx")

_INDEX_ABOVE: Final = 64
"""Rows from which a dictionary beats searching the bytes; it costs ~250 bytes a peer, so small swarms go without."""

_SEEDER: Final = int(PeerState.SEEDER)
_PARTIAL: Final = int(PeerState.PARTIAL)
_REMOVED: Final = int(PeerState.REMOVED)

Range: TypeAlias = tuple[int, int]
"""Positions ``start`` up to ``stop`` of a pack."""


class Row(NamedTuple):
    """What is known of one peer besides its address."""

    identity: bytes
    """20 bytes peer id, 4 bytes key."""
    stamp: int
    """Hybrid logical clock stamp of the announce that wrote it."""
    origin: int
    """Index of the stream that wrote it (see `swarm.streams`)."""
    state: int
    """A `PeerState`, as a plain int."""


RowFields: TypeAlias = tuple[bytes, int, int, int]
"""A `Row` or its fields without names, which cost a fraction of one to make where the package is compiled."""


def unpack_rows(rows: bytes) -> Iterator[RowFields]:
    """The fields of each `Row` in a piece of a pack's ``rows``, as plain tuples: for who looks at a million of them."""
    return _ROW.iter_unpack(rows)


class _Reading:
    """What is read of a pack by way of its bytes and its fields, however it keeps them."""

    __slots__ = ()

    if TYPE_CHECKING:
        addresses: bytearray
        rows: bytearray
        address_bytes: int

        def __init__(self, address_bytes: int) -> None: ...
        def identity(self, position: int) -> bytes: ...
        def fields(self, position: int) -> tuple[int, int, int]: ...
        def addresses_of(self, ranges: list[Range]) -> bytes: ...
        def _fill(self, rows: bytes, addresses: bytes, leechers: int, live: int, partials: int) -> None: ...

    @classmethod
    def from_bytes(cls, address_bytes: int, *, rows: bytes, addresses: bytes) -> Self:
        """A pack from copies of another's ``rows`` and ``addresses``; ValueError unless they can be such copies."""
        count, rest = divmod(len(rows), ROW_BYTES)
        if rest or len(addresses) != count * address_bytes:
            raise ValueError(f"{len(rows)} bytes of rows and {len(addresses)} of addresses do not belong together")
        states = rows[ROW_BYTES - 1 :: ROW_BYTES]
        partitions = states.translate(_PARTITION_OF_BYTE)
        leechers, seeders = partitions.count(0), partitions.count(1)
        if partitions != bytes(leechers) + b"\1" * seeders + b"\2" * (count - leechers - seeders):
            raise ValueError("rows are not in the order of their states")
        pack = cls(address_bytes)
        pack._fill(rows, addresses, leechers, leechers + seeders, states.count(_PARTIAL))
        return pack

    def row(self, position: int) -> Row:
        """The row at a position."""
        return Row(self.identity(position), *self.fields(position))

    def peer_ids(self, ranges: list[Range]) -> tuple[bytes, ...]:
        """Peer ids of positions."""
        return tuple(self.identity(at)[:PEER_ID_BYTES] for start, stop in ranges for at in range(start, stop))

    def addresses_but(self, position: int, stop: int) -> bytes:
        """Compact addresses of all positions before ``stop``, one after the other, but for ``position``."""
        inside = 0 <= position < stop
        return self.addresses_of([(0, position), (position + 1, stop)] if inside else [(0, stop)])

    def entries(self) -> Iterator[tuple[Row, bytes]]:
        """Rows with their compact addresses, as they are now: the pack may change while this is read."""
        size = self.address_bytes
        addresses = bytes(self.addresses)
        for at, row in enumerate(map(Row._make, _ROW.iter_unpack(bytes(self.rows)))):
            yield row, addresses[at * size : at * size + size]

    def copies(self, most_rows: int) -> Iterator[tuple[bytes, bytes]]:
        """``rows`` and ``addresses`` as they are now, in pieces: the pack may change while they are read."""
        rows, addresses, size = bytes(self.rows), bytes(self.addresses), self.address_bytes
        for start in range(0, len(rows) // ROW_BYTES, most_rows):
            stop = start + most_rows
            yield rows[start * ROW_BYTES : stop * ROW_BYTES], addresses[start * size : stop * size]

    def stamps(self) -> list[int]:
        """The stamp of every row, in order."""
        return [stamp for (stamp,) in _STAMP_ONLY.iter_unpack(self.rows)]

    def origins(self) -> set[int]:
        """The streams of all rows, by index."""
        return {origin for (origin,) in _ORIGIN_ONLY.iter_unpack(self.rows)}

    def rows_by_origin(self) -> Counter[int]:
        """How many rows there are of each stream, by index."""
        return Counter(origin for (origin,) in _ORIGIN_ONLY.iter_unpack(self.rows))


class PeerPack(_Reading):
    """Peers of one address family; positions are only valid until the next change."""

    __slots__ = ("_by_address", "_by_identity", "address_bytes", "addresses", "leechers", "live", "partials", "rows")

    def __init__(self, address_bytes: int) -> None:
        """``address_bytes``: 6 for IPv4, 18 for IPv6."""
        self.address_bytes = address_bytes
        self.addresses = bytearray()
        self.rows = bytearray()
        self.leechers = 0
        self.live = 0
        self.partials = 0
        self._by_identity: dict[bytes, int] | None = None
        self._by_address: dict[bytes, int] | None = None

    def _fill(self, rows: bytes, addresses: bytes, leechers: int, live: int, partials: int) -> None:
        self.rows += rows
        self.addresses += addresses
        self.leechers, self.live, self.partials = leechers, live, partials
        if len(self) > _INDEX_ABOVE:
            self._build_index()

    def __len__(self) -> int:
        """Rows, tombstones included."""
        return len(self.rows) // ROW_BYTES

    def find(self, identity: bytes) -> int:
        """Position of a client's row, tombstones included; -1 if there is none."""
        if self._by_identity is not None:
            return self._by_identity.get(identity, -1)
        rows = self.rows
        at = rows.find(identity)
        while at > 0 and at % ROW_BYTES:
            at = rows.find(identity, at + 1)
        return at // ROW_BYTES

    def find_address(self, address: bytes) -> int:
        """Position of a live row with that compact address; -1 if there is none."""
        if self._by_address is not None:
            return self._by_address.get(address, -1)
        size = self.address_bytes
        end = self.live * size
        at = self.addresses.find(address, 0, end)
        while at > 0 and at % size:
            at = self.addresses.find(address, at + 1, end)
        return at // size

    def address(self, position: int) -> bytes:
        """The compact address at a position."""
        size = self.address_bytes
        return bytes(self.addresses[position * size : position * size + size])

    def identity(self, position: int) -> bytes:
        """The identity at a position."""
        return bytes(self.rows[position * ROW_BYTES : position * ROW_BYTES + IDENTITY_BYTES])

    def fields(self, position: int) -> tuple[int, int, int]:
        """``(stamp, origin, state)`` of a position, without the identity."""
        return _FIELDS.unpack_from(self.rows, position * ROW_BYTES + IDENTITY_BYTES)

    def find_current(self, identity: bytes, state: int, address: bytes, stamp: int) -> int:
        """Position of a client's row if it says just this and was written at ``stamp`` or later; else -1."""
        # Most announces come through here. By the address first, for to search the rows takes longer.
        position = self.find_address(address)
        if position >= 0:
            found, written, _, known = _ROW.unpack_from(self.rows, position * ROW_BYTES)
            if found == identity:
                return position if known == state and written >= stamp else -1
        # Nobody alive is there, or the other of two clients that claimed one address on two nodes at once.
        position = self.find(identity)
        if position < 0 or self.address(position) != address:
            return -1
        written, _, known = self.fields(position)
        return position if known == state and written >= stamp else -1

    def addresses_of(self, ranges: list[Range]) -> bytes:
        """Compact addresses of positions, one after the other."""
        addresses, size = self.addresses, self.address_bytes
        if len(ranges) == 1:
            start, stop = ranges[0]
            return bytes(addresses[start * size : stop * size])
        if len(ranges) == 2:
            (start, stop), (begin, end) = ranges
            return b"".join((addresses[start * size : stop * size], addresses[begin * size : end * size]))
        return b"".join([addresses[start * size : stop * size] for start, stop in ranges])

    def addresses_but(self, position: int, stop: int) -> bytes:
        """The same as for any pack, without a list of ranges: of a small swarm everybody is handed out."""
        addresses, size = self.addresses, self.address_bytes
        if not 0 <= position < stop:
            return bytes(addresses[: stop * size])
        start = position * size
        return b"".join((addresses[:start], addresses[start + size : stop * size]))

    def older_than(self, stamp: int, start: int, stop: int) -> list[int]:
        """Positions from ``start`` up to ``stop`` whose stamp is smaller, in order."""
        view = memoryview(self.rows)[start * ROW_BYTES : stop * ROW_BYTES]
        return [at for at, (found,) in enumerate(_STAMP_ONLY.iter_unpack(view), start) if found < stamp]

    def put(self, position: int, row: RowFields, address: bytes) -> int:
        """Write a row at ``position`` (-1: a new one) and return where it is now.

        ``address`` is compact; a tombstone's is not kept.
        """
        state, packed = row[3], _ROW.pack(*row)
        if state == _REMOVED:
            address = bytes(self.address_bytes)
        if position < 0:
            position = len(self)
            self.rows += packed
            self.addresses += address
        else:
            if self._by_identity is not None:
                self._unindex(position)
            self.partials -= self.rows[position * ROW_BYTES + ROW_BYTES - 1] == _PARTIAL
        position = self._make_way(position, _PARTITION[state])
        self._set(position, packed, address)
        self.partials += state == _PARTIAL
        if self._by_identity is not None:
            self._index(position)
        elif len(self) > _INDEX_ABOVE:
            self._build_index()
        return position

    def drop(self, position: int) -> None:
        """Forget a row altogether: the last row of its partition, and of each one behind, takes the place before."""
        self._unindex(position)
        self.partials -= self.rows[position * ROW_BYTES + ROW_BYTES - 1] == _PARTIAL
        last = len(self) - 1
        self._move(last, self._make_way(position, 2))
        del self.rows[last * ROW_BYTES :]
        del self.addresses[last * self.address_bytes :]

    def _make_way(self, position: int, partition: int) -> int:
        """Move a position of no use into ``partition``, and return it: at each border one row goes the other way."""
        if partition > 0 and position < self.leechers:
            self.leechers -= 1
            position = self._move(self.leechers, position)
        if partition > 1 and position < self.live:
            self.live -= 1
            position = self._move(self.live, position)
        if partition < 2 and position >= self.live:
            position = self._move(self.live, position)
            self.live += 1
        if partition < 1 and position >= self.leechers:
            position = self._move(self.leechers, position)
            self.leechers += 1
        return position

    def _move(self, source: int, target: int) -> int:
        """Move a row and return the position it left, which the next move may fill."""
        if source != target:
            row, size = source * ROW_BYTES, self.address_bytes
            self._set(target, self.rows[row : row + ROW_BYTES], self.addresses[source * size : source * size + size])
            if self._by_identity is not None:
                self._index(target)
        return source

    def _set(self, position: int, packed: bytes | bytearray, address: bytes | bytearray) -> None:
        size = self.address_bytes
        self.rows[position * ROW_BYTES : (position + 1) * ROW_BYTES] = packed
        self.addresses[position * size : position * size + size] = address

    def _build_index(self) -> None:
        self._by_identity = {}
        self._by_address = {}
        for position in range(len(self)):
            self._index(position)

    def _index(self, position: int) -> None:
        if self._by_identity is None or self._by_address is None:
            return
        at = position * ROW_BYTES
        self._by_identity[bytes(self.rows[at : at + IDENTITY_BYTES])] = position
        if self.rows[at + ROW_BYTES - 1] != _REMOVED:
            self._by_address[self.address(position)] = position

    def _unindex(self, position: int) -> None:
        if self._by_identity is None or self._by_address is None:
            return
        at = position * ROW_BYTES
        self._by_identity.pop(bytes(self.rows[at : at + IDENTITY_BYTES]), None)
        address = self.address(position)
        # Two clients may have claimed one address on two nodes at once: leave the other's entry alone.
        if self._by_address.get(address) == position:
            del self._by_address[address]


_PARTITION: Final = (0, 0, 1, 2)
"""Partition of each `PeerState`."""
_PARTITION_OF_BYTE = bytes(_PARTITION) + b"\xff" * (256 - len(_PARTITION))
"""The same for ``bytes.translate``; other states have none."""

PlainPeerPack: Final = PeerPack

if not TYPE_CHECKING:
    with suppress(ImportError):  # or the package is installed as plain Python
        from meshtracker.swarm._peers import Pack

        for name, member in vars(_Reading).items():
            if not name.startswith("__"):
                setattr(Pack, name, member)
        PeerPack = Pack
