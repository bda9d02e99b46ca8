"""Notes of nodes of a later release (`tests.note_table`): what that release would keep on its disk besides."""

from __future__ import annotations

from typing import TypeAlias

from meshtracker.node.node import Node
from meshtracker.node.tables import TABLES, MakeTable
from meshtracker.swarm.streams import OWN
from meshtracker.wire.vector import StreamId
from tests.note_table import Note, NoteTable, notes_of

NOTED_TABLES: tuple[MakeTable, ...] = (*TABLES, NoteTable)
KeptNotes: TypeAlias = dict[bytes, tuple[int, bytes, StreamId]]
"""By key: Unix milliseconds, the text, and whose stream it is of."""


def keep_notes(node: Node) -> KeptNotes:
    """All notes that a node holds, fit to be put back into its next life."""
    table = notes_of(node)
    if table is None:
        return {}
    stream = node.registry.streams.stream
    return {key: (note.at_ms, note.text, stream(note.index)) for key, note in table.notes.items()}


def put_notes_back(node: Node, kept: KeptNotes) -> None:
    """Take over notes, as `storage.restore` does peers: its own go out anew if it may not speak of its earlier life."""
    table = notes_of(node)
    if table is None:
        return
    for key, (at_ms, text, stream) in kept.items():
        if stream.name == node.name and not node.mesh.tracks_all:
            table.write(key, text, at_ms + 1)
            continue
        index = node.registry.streams.index(stream)
        assert index is not None, "a few streams have room"
        assert index != OWN, "its next life has another stream"
        table._put(key, Note(at_ms, text, index))
