"""What a release that has notes keeps of them over a restart."""

from __future__ import annotations

from meshtracker.storage.restore import restore
from meshtracker.storage.snapshot_format import decode, encode
from meshtracker.swarm.access import Access
from tests.mouth_to_mouth import NOW, announce, node, synced
from tests.note_table import notes_of, texts_of
from tests.simulation.notes import NOTED_TABLES, keep_notes, put_notes_back

WALL_MS = 1_700_010_000_000


def test_notes_of_all_streams_come_back_and_are_counted_as_rows() -> None:
    before = node("hub", forwards=True, tables=NOTED_TABLES)
    leaf = node("leaf", tables=NOTED_TABLES)
    for owner in (before, leaf):
        table = notes_of(owner)
        assert table is not None
        table.write(owner.name.encode(), b"text", WALL_MS)
        announce(owner, 1)
        owner.flush(NOW)
    synced(leaf, before)
    kept, file = keep_notes(before), b"".join(encode(before, NOW))

    after = node("hub", forwards=True, tables=NOTED_TABLES)
    restore(after, decode(file), NOW)
    rows = after.registry.streams.rows(leaf.mesh.own)
    put_notes_back(after, kept)
    assert texts_of(after) == {b"hub": b"text", b"leaf": b"text"}
    assert after.registry.streams.rows(leaf.mesh.own) == rows + 1
    assert keep_notes(after) == kept


def test_a_leaf_that_may_not_speak_of_its_earlier_life_writes_its_notes_again() -> None:
    narrowed = Access("allow", frozenset({bytes(20)}))
    before = node("leaf", tables=NOTED_TABLES, access=narrowed)
    table = notes_of(before)
    assert table is not None
    table.write(b"key", b"text", WALL_MS)
    kept, file = keep_notes(before), b"".join(encode(before, NOW))
    after = node("leaf", tables=NOTED_TABLES, access=narrowed)
    restore(after, decode(file), NOW)
    put_notes_back(after, kept)
    assert keep_notes(after) == {b"key": (WALL_MS + 1, b"text", after.mesh.own)}


def test_a_node_without_notes_keeps_none() -> None:
    plain = node("leaf")
    put_notes_back(plain, {b"key": (1, b"text", plain.mesh.own)})
    assert keep_notes(plain) == {}
