"""A table that no release has: short texts by key. It shows what adding one takes, and what a hub does without it."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from typing import Final, NamedTuple

import attrs

from meshtracker.errors import WireError
from meshtracker.model import STAMP_COUNTER_BITS, Window
from meshtracker.node.node import Node
from meshtracker.swarm.merging import Merging
from meshtracker.swarm.streams import OWN
from meshtracker.wire.varint import decode_varint, encode_varint
from meshtracker.wire.vector import StreamId

NOTE_TABLE: Final = 99
PIECE_NOTES: Final = 100


class Note(NamedTuple):
    """One text; the later one of a key wins."""

    at_ms: int
    text: bytes
    # Of a stream. A tuple has a method of that name, which nobody calls here.
    index: int  # type: ignore[assignment]


@attrs.frozen
class NoteChanges:
    """Records of one section."""

    notes: list[tuple[bytes, int, bytes]]
    count: int
    left_out: int = 0
    newest: int = 0


class NoteTable:
    """See `link.table.Table`.

    section    { key length varint | key | Unix milliseconds varint | text length varint | text } ...
    """

    kind: Final = NOTE_TABLE
    name: Final = "notes"

    def __init__(self, merging: Merging) -> None:
        self.notes: dict[bytes, Note] = {}
        self._merging = merging

    def write(self, key: bytes, text: bytes, at_ms: int) -> None:
        """This node writes a note."""
        known = self.notes.get(key)
        self._put(key, Note(max(at_ms, known.at_ms + 1 if known else 0), text, OWN))
        self._merging.note(self.kind, key)

    def _put(self, key: bytes, note: Note) -> None:
        known = self.notes.get(key)
        if known is not None:
            self._merging.registry.streams.count(known.index, -1)
        self._merging.registry.streams.count(note.index, 1)
        self.notes[key] = note

    def read(self, section: bytes, base: int, *, strict: bool) -> NoteChanges:
        notes = []
        at = 0
        while at < len(section):
            key, at = _text(section, at)
            at_ms, at = decode_varint(section, at)
            text, at = _text(section, at)
            notes.append((key, at_ms, text))
        newest = max((at_ms for _, at_ms, _ in notes), default=0)
        return NoteChanges(notes, len(notes), newest=newest << STAMP_COUNTER_BITS)

    def apply(self, stream: StreamId, index: int, changes: NoteChanges, window: Window) -> int:
        streams = self._merging.registry.streams
        applied = 0
        for key, at_ms, text in changes.notes:
            known = self.notes.get(key)
            new = (at_ms, text, stream)
            if known is not None and new <= (known.at_ms, known.text, streams.stream(known.index)):
                continue
            if at_ms << STAMP_COUNTER_BITS <= window.newest:
                self._put(key, Note(at_ms, text, index))
                applied += 1
        return applied

    def encode_own(self, key: bytes) -> bytes:
        return self._encode(key)

    def _encode(self, key: bytes) -> bytes:
        note = self.notes[key]
        return b"".join(
            (encode_varint(len(key)), key, encode_varint(note.at_ms), encode_varint(len(note.text)), note.text)
        )

    def snapshot(
        self, stream: StreamId, index: int, base: int, interest: Iterable[bytes] | None
    ) -> Iterator[tuple[bytes, int]]:
        keys = [key for key, note in self.notes.items() if note.index == index]
        for start in range(0, len(keys), PIECE_NOTES):
            piece = keys[start : start + PIECE_NOTES]
            yield b"".join(map(self._encode, piece)), len(piece)

    def swarms(self, info_hashes: Iterable[bytes], base: int) -> Iterator[dict[int, bytes]]:
        return iter(())

    def narrow(self, section: bytes, wanted: Container[bytes]) -> bytes:
        return section

    def begin_anew(self, stamp: int, newest: int, *, keeps_age: bool) -> None:
        for key, note in list(self.notes.items()):
            if note.index == OWN:
                self.notes[key] = note._replace(at_ms=min(note.at_ms, stamp >> STAMP_COUNTER_BITS))
            elif note.at_ms << STAMP_COUNTER_BITS > newest:
                del self.notes[key]
                self._merging.registry.streams.count(note.index, -1)


def _text(section: bytes, at: int) -> tuple[bytes, int]:
    length, at = decode_varint(section, at)
    if at + length > len(section):
        raise WireError("a note is cut short")
    return section[at : at + length], at + length


def notes_of(node: Node) -> NoteTable | None:
    """The notes of a node, if it has that table."""
    table = node.mesh.tables.get(NOTE_TABLE)
    return table if isinstance(table, NoteTable) else None


def texts_of(node: Node) -> dict[bytes, bytes]:
    """All notes that a node holds."""
    table = notes_of(node)
    return {key: note.text for key, note in table.notes.items()} if table is not None else {}
