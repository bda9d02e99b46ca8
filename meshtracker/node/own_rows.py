"""Rows of this node's own, of other tables than that of peers, that go out with its next batches."""

from __future__ import annotations

from collections.abc import Iterator

from meshtracker.link.table import Tables
from meshtracker.wire.batch import Section


class OwnRows:
    """By kind and key, each once, however often it was written since the last batch."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._waiting: dict[int, dict[bytes, None]] = {}

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def note(self, kind: int, key: bytes) -> None:
        """A row was written."""
        self._waiting.setdefault(kind, {})[key] = None

    def drop(self) -> None:
        """None of them is to go out."""
        self._waiting.clear()

    def take(self, most_bytes: int, *, is_alone: bool) -> Iterator[Section]:
        """Sections of those that fit; the rest waits on. ``is_alone``: one row at least, for all the room is theirs."""
        for kind in list(self._waiting):
            table, keys = self._tables.get(kind), self._waiting[kind]
            section = bytearray()
            while keys and table is not None:
                key = next(iter(keys))
                record = table.encode_own(key)
                if len(section) + len(record) > most_bytes and (section or not is_alone):
                    break
                del keys[key]
                section += record
            if not keys or table is None:
                del self._waiting[kind]
            most_bytes -= len(section)
            is_alone = is_alone and not section
            if section:
                yield kind, bytes(section)
