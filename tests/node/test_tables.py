"""The list of tables, and what adding one takes."""

from __future__ import annotations

import contextlib
from collections.abc import Container, Iterable, Iterator
from typing import Any

import attrs
import pytest

from meshtracker.errors import WireError
from meshtracker.link.table import Tables
from meshtracker.model import Window
from meshtracker.node.node import Node
from meshtracker.node.tables import TABLES
from meshtracker.swarm.access import Access
from meshtracker.swarm.merging import Merging
from meshtracker.swarm.registry import Registry
from meshtracker.swarm.streams import OWN, Streams
from meshtracker.wire.batch import MAX_KIND
from meshtracker.wire.vector import StreamId, is_name
from tests.mouth_to_mouth import NOW, announce, node, settle, synced


def merging() -> Merging:
    registry = Registry(
        streams=Streams(StreamId("n", 1)), max_peers=100, max_peers_per_swarm=100, max_peers_per_node=100
    )
    return Merging(registry, access=Access(), forwards=True, peer_ttl_seconds=4500)


def test_kinds_and_names_never_change() -> None:
    """They are on the wire and in logs of nodes of every release."""
    tables = [make(merging()) for make in TABLES]
    assert [(table.kind, table.name) for table in tables] == [(1, "peers"), (2, "completed")]
    assert all(0 <= table.kind <= MAX_KIND and is_name(table.name) for table in tables)


def test_two_tables_of_one_kind_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="two tables of one kind"):
        Tables(make(merging()) for make in (*TABLES, TABLES[0]))


@pytest.mark.parametrize("section", [b"", b"\0", bytes(30), b"\xff" * 30])
def test_no_table_changes_anything_when_it_reads(section: bytes) -> None:
    for make in TABLES:
        owner = merging()
        with contextlib.suppress(WireError):
            make(owner).read(section, 0, strict=True)
        assert (owner.registry.rows, len(owner.registry.swarms), owner.applied) == (0, 0, 0)


# ---------------------------------------------------------------- one more table


@attrs.define
class _Words:
    """Changes of `Notes`."""

    words: list[bytes]
    left_out: int = 0
    newest: int = 0

    @property
    def count(self) -> int:
        """Records."""
        return len(self.words)


class Notes:
    """A table of a later release: words of eight bytes, which nodes say once and for ever."""

    kind = 9
    name = "notes"

    def __init__(self, owner: Merging) -> None:
        self._merging = owner
        self.words: dict[bytes, int] = {}

    def write(self, word: bytes) -> None:
        """This node says it."""
        self._put(word, OWN)
        self._merging.note(self.kind, word)

    def _put(self, word: bytes, index: int) -> bool:
        if word in self.words:
            return False
        self.words[word] = index
        self._merging.registry.streams.count(index, 1)
        return True

    def read(self, section: bytes, base: int, *, strict: bool) -> _Words:
        return _Words([section[at : at + 8] for at in range(0, len(section), 8)])

    def apply(self, stream: StreamId, index: int, changes: Any, window: Window) -> int:
        return sum(self._put(word, index) for word in changes.words)

    def encode_own(self, key: bytes) -> bytes:
        return key

    def snapshot(
        self,
        stream: StreamId,
        index: int,
        base: int,
        interest: Iterable[bytes] | None,
    ) -> Iterator[tuple[bytes, int]]:
        mine = [word for word, said_by in self.words.items() if said_by == index]
        if mine:
            yield b"".join(mine), len(mine)

    def swarms(self, info_hashes: Iterable[bytes], base: int) -> Iterator[dict[int, bytes]]:
        return iter(())

    def narrow(self, section: bytes, wanted: Container[bytes]) -> bytes:
        return section

    def begin_anew(self, stamp: int, newest: int, *, keeps_age: bool) -> None:
        """Words have no stamps."""


LATER = (*TABLES, Notes)


def notes(owner: Node) -> Notes:
    [table] = [table for table in owner.mesh.tables.all if isinstance(table, Notes)]
    return table


def test_a_table_that_is_added_to_the_list_is_carried_by_batches_and_by_snapshots() -> None:
    a, hub, b = node("a", tables=LATER), node("hub", forwards=True, tables=LATER), node("b", tables=LATER)
    links = [synced(a, hub), synced(b, hub)]
    notes(a).write(b"said now")
    announce(a, 1)
    a.flush(NOW)
    settle(*links)
    for owner in (hub, b):
        assert list(notes(owner).words) == [b"said now"]
        assert owner.mesh.rows(a.mesh.own) == 2
    newcomer = node("c", tables=LATER)
    synced(newcomer, hub)
    assert list(notes(newcomer).words) == [b"said now"]
    assert newcomer.registry.peers == 1


def test_a_hub_without_a_table_carries_it_unread_and_cannot_give_it_to_newcomers() -> None:
    a, hub, b = node("a", tables=LATER), node("hub", forwards=True), node("b", tables=LATER)
    links = [synced(a, hub), synced(b, hub)]
    # Live batches after the first are passed on as they are; before that b takes a snapshot.
    announce(a, 1)
    a.flush(NOW)
    settle(*links)
    notes(a).write(b"said now")
    a.flush(NOW)
    settle(*links)
    assert list(notes(b).words) == [b"said now"]
    assert hub.mesh.statistics().unknown_sections == 1
    newcomer = node("c", tables=LATER)
    link = synced(newcomer, hub)
    assert notes(newcomer).words == {}
    assert newcomer.registry.peers == 1
    assert "hub does not know notes: upgrade this hub first to carry that" in link.leaf.warnings


def test_what_a_hub_could_not_carry_comes_once_it_is_upgraded() -> None:
    a, old_hub = node("a", tables=LATER), node("hub", forwards=True)
    link = synced(a, old_hub)
    notes(a).write(b"said now")
    a.flush(NOW)
    settle(link)
    newcomer = node("c", tables=LATER)
    to_newcomer = synced(newcomer, old_hub)
    for one in (link, to_newcomer):
        one.cut()
    hub = node("hub", forwards=True, tables=LATER)
    links = [synced(a, hub), synced(newcomer, hub)]
    settle(*links)
    assert list(notes(hub).words) == list(notes(newcomer).words) == [b"said now"]
