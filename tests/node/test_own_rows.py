"""Rows of a node's own fill its batches as far as there is room, each row once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from meshtracker.node.own_rows import OwnRows
from meshtracker.node.tables import TABLES
from meshtracker.wire.batch import Section
from tests.mouth_to_mouth import node
from tests.note_table import NOTE_TABLE, NoteTable, notes_of

MOST_BYTES = 120


def rows_of(texts: dict[bytes, bytes]) -> OwnRows:
    """Notes that wait for a batch."""
    owner = node("n", tables=(*TABLES, NoteTable))
    table = notes_of(owner)
    assert table is not None
    rows = OwnRows(owner.mesh.tables)
    for key, text in texts.items():
        table.write(key, text, 1)
        rows.note(NOTE_TABLE, key)
        # Written twice since the last batch: told once.
        rows.note(NOTE_TABLE, key)
    return rows


def taken(rows: OwnRows) -> list[list[Section]]:
    """The sections of all batches that it takes."""
    batches = []
    while rows:
        batches.append(list(rows.take(MOST_BYTES, is_alone=True)))
    return batches


@given(st.dictionaries(st.binary(min_size=1, max_size=20), st.binary(max_size=200), max_size=12))
def test_all_rows_go_out_once_in_batches_that_are_full_or_hold_one_row(texts: dict[bytes, bytes]) -> None:
    reader = rows_of({})
    table = reader._tables.get(NOTE_TABLE)
    assert table is not None
    told: list[bytes] = []
    for sections in taken(rows_of(texts)):
        [(kind, section)] = sections
        assert kind == NOTE_TABLE
        found = table.read(section, 0, strict=True).notes
        assert len(section) <= MOST_BYTES or len(found) == 1
        told += [key for key, _, _ in found]
    assert told == list(texts)


def test_a_row_that_is_too_large_beside_others_waits() -> None:
    rows = rows_of({b"large": bytes(MOST_BYTES)})
    assert list(rows.take(MOST_BYTES, is_alone=False)) == []
    assert rows
    assert len(list(rows.take(MOST_BYTES, is_alone=True))) == 1
    assert not rows


def test_rows_of_no_table_and_dropped_rows_wait_for_nothing() -> None:
    rows = rows_of({b"a": b"text"})
    rows.note(NOTE_TABLE + 1, b"of no table")
    assert [kind for kind, _ in rows.take(MOST_BYTES, is_alone=True)] == [NOTE_TABLE]
    assert not rows
    rows.note(NOTE_TABLE, b"a")
    rows.drop()
    assert not rows
