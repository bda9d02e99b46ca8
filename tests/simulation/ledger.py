"""What clients were promised: every change that a node noted, and which of them the mesh may have lost.

The protocol permits one loss (docs/decisions/0019): a change lives as long as anybody keeps it who may speak of it: the
node whose client made it, a hub, or a leaf that knows the mesh password and keeps all that it hears. What is left on
other leaves stays there until it ages out. Such a change is *orphaned*: a node may still hold it or not. Nothing else
may be missing, and no row may be there that was never noted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from meshtracker.model import STAMP_COUNTER_BITS, PeerState
from meshtracker.wire.peer_record import PeerRecord
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
    speaks_for_others: bool
    rows: Rows


class Ledger:
    """All changes by key."""

    def __init__(self) -> None:
        self.changes: dict[Key, set[Change]] = {}
        self.orphans: dict[Key, set[Change]] = {}
        self.completed: dict[tuple[bytes, str], int] = {}
        self.of_guests: dict[tuple[bytes, str], int] = {}
        """Completed downloads that guests have counted, and may have told nobody of before they went."""
        self.noted = 0
        self._changes_of_guests: set[tuple[Key, Change]] = set()

    def note(self, info_hash: bytes, record: PeerRecord, origin: str, *, is_guest: bool = False) -> None:
        """A client was answered. ``is_guest``: by a node that will not come back, whatever others have that name."""
        key = (info_hash, record.address_bytes, record.identity)
        address = b"" if record.state == PeerState.REMOVED else record.address
        change = Change(record.stamp, origin, record.state, address)
        self.changes.setdefault(key, set()).add(change)
        if is_guest:
            self._changes_of_guests.add((key, change))
        self.noted += 1

    def note_completed(self, info_hash: bytes, origin: str, total: int, *, is_guest: bool = False) -> None:
        """A node has counted so many completed downloads of its own."""
        figures = self.of_guests if is_guest else self.completed
        figures[info_hash, origin] = max(total, figures.get((info_hash, origin), 0))

    def least_completed(self, info_hash: bytes) -> int:
        """Completed downloads that must be counted."""
        return sum(total for (of, _), total in self.completed.items() if of == info_hash)

    def most_completed(self, info_hash: bytes) -> int:
        """Completed downloads that may be counted."""
        keys = {key for key in (*self.completed, *self.of_guests) if key[0] == info_hash}
        return sum(max(self.completed.get(key, 0), self.of_guests.get(key, 0)) for key in keys)

    def expected(self, key: Key) -> Change | None:
        """The last change of a key that must not be lost."""
        return max(self.changes.get(key, set()) - self.orphans.get(key, set()), default=None)

    def forget(self, keepers: Iterable[Keeper]) -> None:
        """Somebody lost his memory: what none of the ``keepers`` that are left holds is orphaned."""
        by_name: Mapping[str, Keeper] = {keeper.name: keeper for keeper in keepers}
        speakers = [keeper for keeper in by_name.values() if keeper.speaks_for_others]
        for key in self.changes:
            while (last := self.expected(key)) is not None:
                own = None if (key, last) in self._changes_of_guests else by_name.get(last.origin)
                if any(holds(keeper.rows, key, last) for keeper in (*speakers, *((own,) if own else ()))):
                    break
                self.orphans.setdefault(key, set()).add(last)


def holds(rows: Rows, key: Key, change: Change) -> bool:
    """Is exactly that change there?"""
    return change_of(rows, key) == change


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
