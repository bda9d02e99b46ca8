"""What is sent when a link comes up, and when one end restarts or falls behind."""

from __future__ import annotations

import pytest

from meshtracker.link.state import State
from meshtracker.model import Event
from meshtracker.wire.vector import Position
from tests.link.support import SYNCED, pair
from tests.mouth_to_mouth import NOW, Link, announce, node, rows, settle, synced


def test_continue_and_full_with_its_reason() -> None:
    leaf, hub = pair(3, mesh={"max_log_bytes": 1500})
    link = synced(leaf, hub)
    link.cut()
    announce(leaf, 50)
    leaf.mesh.flush(NOW)
    link = synced(leaf, hub)
    assert link.hub.statistics(NOW).resync == "leaf: partial after batch 1"
    link.cut()
    for client in range(60, 80):
        announce(leaf, client)
        leaf.mesh.flush(NOW)
    link = synced(leaf, hub)
    assert link.hub.statistics(NOW).resync == "leaf: full (fell behind)"
    assert rows(leaf) == rows(hub)
    link.cut()
    again = node("leaf", incarnation=2000)
    link = synced(again, hub)
    assert link.hub.statistics(NOW).resync == "leaf: full (new incarnation)"
    assert rows(again) == rows(hub)


def test_a_reader_that_falls_behind_in_the_middle_gets_a_snapshot() -> None:
    leaf, hub = pair(3, mesh={"max_log_bytes": 1500})
    link = synced(leaf, hub)
    for client in range(60, 80):
        announce(leaf, client)
        leaf.mesh.flush(NOW)
    settle(link)
    assert link.states == SYNCED
    assert "leaf: full (fell behind)" in link.leaf.statistics(NOW).sent_resync
    assert rows(leaf) == rows(hub)


def test_a_removal_reaches_a_leaf_that_was_away_past_the_log() -> None:
    hub = node("hub", forwards=True, mesh={"max_log_bytes": 1000})
    leaf, away = node("leaf"), node("away")
    announce(leaf, 1)
    leaf.mesh.flush(NOW)
    links = [synced(leaf, hub), synced(away, hub)]
    settle(*links)
    assert len(rows(away)) == 1
    links.pop().cut()
    announce(leaf, 1, NOW + 1, event=Event.STOPPED)
    for client in range(2, 30):
        announce(leaf, client, NOW + 1)
        leaf.mesh.flush(NOW + 1)
        settle(*links, now=NOW + 1)
    link = synced(away, hub, NOW + 2)
    assert "leaf: full (fell behind)" in link.leaf.statistics(NOW).resync
    assert rows(away) == rows(hub) == rows(leaf)
    assert away.registry.peers == 28
    assert away.registry.tombstones == 1


@pytest.mark.parametrize("saved", [False, True])
def test_a_restarted_nodes_own_clients_are_brought_back(saved: bool) -> None:
    leaf, hub = pair(5)
    synced(leaf, hub).cut()
    again = node("leaf", incarnation=2000)
    if saved:
        again.mesh.resume(leaf.mesh.vector())
    announce(leaf, 50)
    leaf.mesh.flush(NOW)
    link = synced(leaf, hub)
    announce(leaf, 51)
    leaf.mesh.flush(NOW)
    settle(link)
    link.cut()
    link = synced(again, hub)
    assert ("leaf: partial after batch 1" if saved else "leaf: full (new node)") in link.leaf.statistics(NOW).resync
    found = {row[2][:20] for row in rows(again)}
    assert found == {b"-MT0001-%012d" % client for client in ((50, 51) if saved else (0, 1, 2, 3, 4, 50, 51))}
    if not saved:
        assert rows(again) == rows(hub)


def test_what_was_brought_back_reaches_those_who_lacked_it() -> None:
    """The hub lost its memory; one leaf knows more of its earlier life than the other that linked first."""
    hub = node("hub", forwards=True)
    early, late = node("early"), node("late")
    announce(hub, 1)
    hub.mesh.flush(NOW)
    synced(early, hub).cut()
    announce(hub, 2)
    hub.mesh.flush(NOW)
    synced(late, hub).cut()
    again = node("hub", incarnation=2000, forwards=True)
    first = synced(early, again)
    assert len(rows(again)) == 1
    second = synced(late, again)
    settle(first, second)
    assert rows(early) == rows(again) == rows(late)
    assert len(rows(again)) == 2


def test_both_ends_restarted_at_once() -> None:
    leaf, hub = pair(5)
    announce(hub, 90)
    hub.mesh.flush(NOW)
    synced(leaf, hub).cut()
    leaf_again, hub_again = node("leaf", incarnation=2000), node("hub", incarnation=2000, forwards=True)
    leaf_again.mesh.resume({"hub": Position(1000, 1)})
    hub_again.mesh.resume({"leaf": Position(1000, 1)})
    link = synced(leaf_again, hub_again)
    assert "hub: full" in link.leaf.statistics(NOW).sent_resync
    assert "leaf: full" in link.hub.statistics(NOW).sent_resync


def test_a_second_hub_may_tell_of_the_new_life_before_the_first_brought_back_the_old_one() -> None:
    leaf = node("leaf")
    one, two = node("one", forwards=True), node("two", forwards=True)
    announce(leaf, 1)
    leaf.mesh.flush(NOW)
    synced(leaf, one).cut()
    announce(leaf, 2)
    leaf.mesh.flush(NOW)
    synced(leaf, two).cut()
    leaf = node("leaf", incarnation=2000)
    slow = Link(leaf, one)
    while slow.hub.state is not State.BURSTING:
        slow.step()
    quick = synced(leaf, two)
    between = Link(two, one)
    for _ in range(50):
        between.step()
        quick.step()
    assert one.mesh.position("leaf") is not None
    settle(slow, quick, between)
    assert slow.states == quick.states == between.states == SYNCED
    assert rows(leaf) == rows(one) == rows(two)
    assert len(rows(leaf)) == 2
