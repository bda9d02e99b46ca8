"""What clients were promised: every change that a node noted, and which of them the mesh may have lost.

The protocol permits one loss (docs/decisions 0003, 0006): a change lives as long as the node whose client made it
keeps it, or any hub does. A leaf passes on its own stream only, so what is left on other leaves once those have all
lost their memory stays there until it ages out. Such a change is *orphaned*: a node may still hold it or not. Nothing
else may be missing, and no row may be there that was never noted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from meshtracker.model import STAMP_COUNTER_BITS, PeerState
from meshtracker.wire.batch import PeerRecord
from tests.mouth_to_mouth import Rows

Key = tuple[bytes, int, bytes]
"""Info-hash, bytes of an address, identity: what a row is found by."""


class Change(NamedTuple):
    """A row as its origin wrote it; the later one is the greater."""

    stamp: int
    origin: str
    state: int
    address: bytes


class Keeper(NamedTuple):
    """Somebody whose memory keeps changes alive."""

    name: str
    forwards: bool
    rows: Rows


class Ledger:
    """All changes by key."""

    def __init__(self) -> None:
        self.changes: dict[Key, set[Change]] = {}
        self.orphans: dict[Key, set[Change]] = {}
        self.completed: dict[tuple[bytes, str], int] = {}
        self.noted = 0

    def note(self, info_hash: bytes, record: PeerRecord, origin: str) -> None:
        """A client was answered."""
        key = (info_hash, record.address_bytes, record.identity)
        address = b"" if record.state == PeerState.REMOVED else record.address
        self.changes.setdefault(key, set()).add(Change(record.stamp, origin, record.state, address))
        self.noted += 1

    def note_completed(self, info_hash: bytes, origin: str, total: int) -> None:
        """A node has counted so many completed downloads of its own."""
        self.completed[info_hash, origin] = max(total, self.completed.get((info_hash, origin), 0))

    def expected(self, key: Key) -> Change | None:
        """The last change of a key that must not be lost."""
        return max(self.changes.get(key, set()) - self.orphans.get(key, set()), default=None)

    def forget(self, keepers: Iterable[Keeper]) -> None:
        """Somebody lost his memory: what none of the ``keepers`` that are left holds is orphaned."""
        by_name: Mapping[str, Keeper] = {keeper.name: keeper for keeper in keepers}
        hubs = [keeper for keeper in by_name.values() if keeper.forwards]
        for key in self.changes:
            while (last := self.expected(key)) is not None:
                own = by_name.get(last.origin)
                if any(holds(keeper.rows, key, last) for keeper in (*hubs, *((own,) if own else ()))):
                    break
                self.orphans.setdefault(key, set()).add(last)


def holds(rows: Rows, key: Key, change: Change) -> bool:
    """Is exactly that change there?"""
    held = change_of(rows, key)
    return held is not None and is_same(held, change)


def is_same(held: Change, change: Change) -> bool:
    """Is that the change, be it that a hub has passed it on as its own?"""
    return held == change or (held.origin.startswith("hub") and held._replace(origin=change.origin) == change)


def change_of(rows: Rows, key: Key) -> Change | None:
    """A row of a node as the change that made it."""
    row = rows.get(key)
    if row is None:
        return None
    address, stamp, state, origin = row
    return Change(stamp, origin, state, b"" if state == PeerState.REMOVED else address)


def unix_seconds(change: Change) -> float:
    """When it was made, by the clock of its origin."""
    return (change.stamp >> STAMP_COUNTER_BITS) / 1000
