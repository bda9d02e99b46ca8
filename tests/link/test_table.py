"""The tables of a node by kind, and what is done with sections of tables that it does not have."""

from __future__ import annotations

import itertools

import pytest

from meshtracker.link.table import Table, Tables
from meshtracker.model import Event
from meshtracker.node.node import Node
from meshtracker.node.tables import TABLES
from meshtracker.swarm.completed_table import COMPLETED_TABLE, CompletedTable
from meshtracker.swarm.peer_table import PEER_TABLE, PeerTable
from meshtracker.wire.batch import Section
from meshtracker.wire.completed_record import CompletedRecord, completed_records, encode_completed
from meshtracker.wire.peer_record import encode_group, groups
from tests.mouth_to_mouth import NOW, announce, node

ONE, TWO = (number.to_bytes(20, "big") for number in (1, 2))
UNKNOWN = 77


def tables_of(owner: Node | None = None) -> Tables:
    merging = (owner or node("leaf")).mesh.merging
    return Tables(make(merging) for make in TABLES)


def test_tables_are_found_by_their_kind() -> None:
    tables = tables_of()
    assert isinstance(tables.get(PEER_TABLE), PeerTable)
    assert isinstance(tables.get(COMPLETED_TABLE), CompletedTable)
    assert tables.get(UNKNOWN) is None
    assert tables.names == ("peers", "completed")


def test_kinds_and_names_are_for_ever() -> None:
    """They are on the wire and in snapshots of every version."""
    assert {table.kind: table.name for table in tables_of().all} == {1: "peers", 2: "completed"}


def test_two_tables_of_one_kind_are_a_mistake() -> None:
    merging = node("leaf").mesh.merging
    with pytest.raises(ValueError, match="two tables of one kind"):
        Tables([PeerTable(merging), CompletedTable(merging), PeerTable(merging)])


def test_a_node_without_tables() -> None:
    tables = Tables([])
    assert (tables.names, tables.all) == ((), ())
    assert tables.narrow([(UNKNOWN, b"x")], {ONE}) == ((UNKNOWN, b"x"),)


# ---------------------------------------------------------------- narrowing

PEERS = {ONE: encode_group(ONE, b"first"), TWO: encode_group(TWO, b"second")}
COMPLETED = {info_hash: encode_completed(CompletedRecord(info_hash, 3, 1000)) for info_hash in (ONE, TWO)}


@pytest.mark.parametrize("wanted", [(), (ONE,), (TWO,), (ONE, TWO), (bytes(20),)])
def test_each_table_leaves_out_what_is_not_wanted(wanted: tuple[bytes, ...]) -> None:
    sections: list[Section] = [
        (PEER_TABLE, b"".join(PEERS.values())),
        (UNKNOWN, b"anything"),
        (COMPLETED_TABLE, b"".join(COMPLETED.values())),
    ]
    narrowed = tables_of().narrow(sections, set(wanted))
    expected = [
        (PEER_TABLE, b"".join(PEERS[info_hash] for info_hash in (ONE, TWO) if info_hash in wanted)),
        # What this node has no table for stays: who knows what it is about?
        (UNKNOWN, b"anything"),
        (COMPLETED_TABLE, b"".join(COMPLETED[info_hash] for info_hash in (ONE, TWO) if info_hash in wanted)),
    ]
    assert narrowed == tuple((kind, section) for kind, section in expected if section)


def test_sections_of_which_all_is_wanted_are_the_same() -> None:
    sections = ((PEER_TABLE, PEERS[ONE]), (COMPLETED_TABLE, COMPLETED[ONE]), (PEER_TABLE, PEERS[TWO]))
    assert tables_of().narrow(sections, {ONE, TWO}) == sections


def sections_of(owner: Node, interest: set[bytes] | None) -> dict[str, list[bytes]]:
    """A snapshot of a node's own stream, by table."""
    found = {}
    for table in owner.mesh.tables.all:
        pieces = table.snapshot(owner.mesh.own, 0, 0, interest)
        found[table.name] = [section for section, count in pieces if count]
    return found


@pytest.mark.parametrize("torrents", [(), (1,), (2,), (1, 2)])
def test_a_narrowed_section_is_the_snapshot_of_a_narrowed_peer(torrents: tuple[int, ...]) -> None:
    """For every table: what a peer with an interest is sent is the same, in whichever way it is brought up."""
    owner = node("leaf")
    for torrent, client in itertools.product((1, 2), range(3)):
        announce(owner, 10 * torrent + client, torrent=torrent)
        announce(owner, 10 * torrent + client, torrent=torrent, event=Event.COMPLETED, left=0)
    owner.mesh.flush(NOW)
    wanted = {torrent.to_bytes(20, "big") for torrent in torrents}
    whole, narrow = sections_of(owner, None), sections_of(owner, wanted)
    for table in owner.mesh.tables.all:
        [section] = whole[table.name]
        pieces = {hash_of(table, record): record for record in records_of(table, section)}
        assert pieces.keys() == {ONE, TWO}
        kept = [table.narrow(section, wanted)] if wanted else []
        assert sorted(records_of(table, b"".join(kept))) == sorted(records_of(table, b"".join(narrow[table.name])))
        assert table.narrow(section, {ONE, TWO}) == section
        assert table.narrow(section, set()) == b""


def records_of(table: Table, section: bytes) -> list[bytes]:
    """A section cut by swarm."""
    if table.kind == PEER_TABLE:
        return [encode_group(info_hash, body) for info_hash, body in groups(section)]
    return [encode_completed(record) for record in completed_records(section)]


def hash_of(table: Table, record: bytes) -> bytes:
    assert table.kind in (PEER_TABLE, COMPLETED_TABLE)
    return record[:20]
