"""What a node knows after a restart, and how it takes over the figures of its earlier life."""

from __future__ import annotations

from meshtracker.model import Event
from meshtracker.node.mesh import QUIET_SECONDS
from meshtracker.swarm.completed_table import COMPLETED_TABLE
from meshtracker.wire.completed_record import completed_records
from meshtracker.wire.vector import BEGINNING, NOWHERE, Position, StreamId
from tests.mouth_to_mouth import NOW, announce, node, settle, synced
from tests.node.support import (
    TABLE_NAMES,
    TORRENT,
    WALL_MS,
    X,
    allow,
    batch_of,
    completed_of,
    have,
    receive,
    record_of,
    sealed,
)


def test_resume() -> None:
    owner = node("n")
    before = StreamId("n", 900)
    owner.mesh.resume({before: Position(4, 77), X: Position(3, 88)}, NOW)
    # What it wrote before is a stream like any other.
    assert owner.mesh.vector() == {owner.mesh.own: BEGINNING, before: Position(4, 77), X: Position(3, 88)}
    assert receive(owner, batch_of(record_of(1), sequence=4)) == 1
    assert receive(owner, batch_of(record_of(2), stream=before, sequence=5)) == 1


def test_a_stream_that_has_rows_and_no_position_is_known_after_a_restart_as_one_that_lacks_all() -> None:
    owner = node("n")
    owner.registry.streams.index(X)
    owner.mesh.resume({}, NOW)
    assert owner.mesh.vector()[X] == NOWHERE
    owner.mesh.flush(NOW + 2 * QUIET_SECONDS)
    assert owner.registry.streams.find(X) is None


def test_a_narrowed_node_goes_on_with_its_digests() -> None:
    owner = node("n", access=allow(TORRENT))
    owner.mesh.resume({X: Position(3, 88)}, NOW)
    assert owner.mesh.vector()[X] == Position(3, 88)


def test_rows_of_a_snapshot_that_broke_off_are_still_known_of() -> None:
    owner = node("n")
    owner.mesh.apply_rows(batch_of(record_of(1), sequence=0), NOW, is_direct=False, is_part=True)
    assert owner.mesh.vector()[X] == NOWHERE
    have(owner, X, Position(1, 5))
    assert owner.mesh.vector()[X] == Position(1, 5)
    # Another hub's, which knew less.
    have(owner, X, Position(0, 9))
    assert owner.mesh.vector()[X] == Position(1, 5)
    # This node's rows were dropped for the hub's: its position holds, though it is less.
    owner.mesh.finish_snapshot(X, Position(0, 9), NOW, tables=TABLE_NAMES, replaces=True)
    assert owner.mesh.vector()[X] == Position(0, 9)


def test_completed_downloads_are_taken_over_by_the_next_life() -> None:
    """It has lost all, and counts on from what its hub knows."""
    hub, other = node("hub", forwards=True), node("other")
    first = node("a")
    link, to_other = synced(first, hub), synced(other, hub)
    for client in range(3):
        announce(first, client, left=0, event=Event.COMPLETED)
    first.flush(NOW)
    settle(link, to_other)
    link.cut()

    later = NOW + 10
    second = node("a")
    link = synced(second, hub, later)
    assert completed_of(second) == 3
    announce(second, 9, later, left=0, event=Event.COMPLETED)
    assert completed_of(second) == 4
    second.flush(later)
    settle(link, to_other, now=later)
    assert [completed_of(owner) for owner in (second, hub, other)] == [4, 4, 4]
    # The figure is the new life's everywhere, so that the old one can be forgotten with its last peer.
    for owner in (hub, other):
        completed = owner.registry.swarms[bytes(20)].completed
        assert completed is not None
        assert owner.registry.streams.stream(completed["a"][2]) == second.mesh.own


def test_a_life_that_takes_over_a_figure_says_so_though_nobody_completes_another_download() -> None:
    hub, first = node("hub", forwards=True), node("a")
    link = synced(first, hub)
    announce(first, 1, left=0, event=Event.COMPLETED)
    first.flush(NOW)
    settle(link)
    announce(first, 1, NOW + 1, event=Event.STOPPED)
    first.flush(NOW + 1)
    settle(link, now=NOW + 1)
    link.cut()
    second = node("a")
    link = synced(second, hub, NOW + 10)
    # Its earlier life may be another node of its name that is alive, until it is silent.
    now = NOW + 10 + QUIET_SECONDS
    second.flush(now)
    settle(link, now=now)
    assert hub.mesh.rows(first.mesh.own) == 2
    now += 1
    second.flush(now)
    settle(link, now=now)
    completed = hub.registry.swarms[bytes(20)].completed
    assert completed is not None
    assert completed["a"][0] == 1
    assert hub.registry.streams.stream(completed["a"][2]) == second.mesh.own
    assert hub.mesh.rows(first.mesh.own) == 1  # the tombstone


def test_a_figure_of_its_own_from_a_snapshot_is_said_anew() -> None:
    owner = node("n")
    before = StreamId("n", 900)
    index = owner.registry.streams.index(before)
    assert index is not None
    owner.registry.merge_completed(TORRENT, "n", (5, WALL_MS, index))
    owner.mesh.resume({before: Position(4, 77)}, NOW)
    owner.mesh.take_over_completed(NOW + 1)
    owner.mesh.flush(NOW)
    [(kind, section)] = sealed(owner, 1).sections
    assert kind == COMPLETED_TABLE
    assert [record.total for record in completed_records(section)] == [5]
    assert owner.mesh.rows(before) == 0
