"""What the link carries: tables, each with its own records. The session knows none of them by name.

A batch holds a section for each table that it has records of (`wire.batch`). A node that has no table of some kind
keeps such sections in its log and passes them on unread; it cannot make snapshots of them, which HELLO tells.
To add a table: write a class like those in `node.tables`, and put it into the list there.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from typing import Any, Protocol

from meshtracker.errors import WireError
from meshtracker.model import Window
from meshtracker.wire.batch import Section
from meshtracker.wire.vector import StreamId


class Changes(Protocol):
    """The records of one section, read and found possible, but not applied: what can fail is behind them."""

    count: int
    """Records."""
    left_out: int
    """Records of another node that nobody honest writes: they are passed over, and counted."""
    newest: int
    """The latest stamp in them; 0 where the records have none. One that is too far ahead makes the node ask again."""


class Table(Protocol):
    """One kind of record. Rows belong to streams and are counted in `swarm.streams`: one without rows is forgotten."""

    @property
    def kind(self) -> int:
        """Number of its sections, the same on all nodes and for ever."""

    @property
    def name(self) -> str:
        """One word, told in HELLO."""

    def read(self, section: bytes, base: int, *, strict: bool) -> Any:
        """The records of a section as `Changes`. Raises `WireError`.

        ``strict``: it raises also for a record that no honest node writes.
        """

    def apply(self, stream: StreamId, index: int, changes: Any, window: Window) -> int:
        """Merge them, but for those stamped outside of ``window``; returns how many changed something.

        Never fails. ``index`` is the stream's in `swarm.streams`.
        """

    def encode_own(self, key: bytes) -> bytes:
        """The record of a row that this node has written, by the key that it was noted under; empty if it is gone."""

    def snapshot(
        self, stream: StreamId, index: int, base: int, interest: Iterable[bytes] | None
    ) -> Iterator[tuple[bytes, int]]:
        """Sections, and the records of each, with all rows of a stream; each costs little to make.

        Rows older than the stamp ``base`` are left out if they age by it. ``interest``: info-hashes; None for all.
        """

    def swarms(self, info_hashes: Iterable[bytes], base: int) -> Iterator[dict[int, bytes]]:
        """Sections by index of their stream with all rows of some swarms; nothing if its rows belong to no swarm."""

    def narrow(self, section: bytes, wanted: Container[bytes]) -> bytes:
        """The section without what belongs to swarms that are not ``wanted``; as it is if nothing belongs to one."""

    def begin_anew(self, stamp: int, newest: int, *, keeps_age: bool) -> None:
        """Rows of index 0 are stamped ``stamp``, others' that are stamped after ``newest`` are dropped.

        ``keeps_age``: own rows are stamped only as much later as it takes to win over what they were.
        """


class Tables:
    """The tables of a node by kind."""

    def __init__(self, tables: Iterable[Table]) -> None:
        self.all = tuple(tables)
        self._by_kind = {table.kind: table for table in self.all}
        if len(self._by_kind) < len(self.all):
            raise ValueError("two tables of one kind")
        self.names = tuple(table.name for table in self.all)

    def get(self, kind: int) -> Table | None:
        """The table of a kind, if this node has it."""
        return self._by_kind.get(kind)

    def narrow(self, sections: Iterable[Section], wanted: Container[bytes]) -> tuple[Section, ...]:
        """Sections without what belongs to swarms that are not ``wanted``. What is not known, or damaged, stays."""
        narrowed = []
        for kind, records in sections:
            table = self._by_kind.get(kind)
            try:
                kept = records if table is None else table.narrow(records, wanted)
            except WireError:
                kept = records
            if kept:
                narrowed.append((kind, kept))
        return tuple(narrowed)
