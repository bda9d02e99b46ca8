"""What is sent when a link comes up, and when one end restarts or falls behind."""

from __future__ import annotations

from typing import Any

import pytest

from meshtracker.link.proof.authentication import Credential
from meshtracker.link.transitions import State
from meshtracker.model import Event
from meshtracker.swarm.access import Access
from tests.link.support import SYNCED, pair, sequences
from tests.mouth_to_mouth import NOW, PASSWORD, Link, announce, node, rows, settle, synced

LEAVES = Credential(PASSWORD, hubs_are_listed=True)
"""Of a hub that believes leaves what they say of their own clients only."""


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
    again = node("leaf")
    link = synced(again, hub)
    # It has nothing to tell yet; what it was before is a stream that it lacks.
    assert link.hub.statistics(NOW).resync == ""
    assert link.leaf.statistics(NOW).resync == "leaf: full (new node)"
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
    again = node("leaf")
    if saved:
        again.mesh.resume(leaf.mesh.vector(), NOW)
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
    again = node("hub", forwards=True)
    first = synced(early, again)
    assert len(rows(again)) == 1
    second = synced(late, again)
    settle(first, second)
    assert rows(early) == rows(again) == rows(late)
    assert len(rows(again)) == 2
    assert sequences(early) == sequences(again) == sequences(late)


def test_what_both_ends_lost_at_once_is_brought_back_by_a_third() -> None:
    leaf, hub = pair(5)
    announce(hub, 90)
    hub.mesh.flush(NOW)
    third = node("third")
    links = [synced(leaf, hub), synced(third, hub)]
    settle(*links)
    before = rows(third)
    for link in links:
        link.cut()
    leaf_again, hub_again = node("leaf"), node("hub", forwards=True)
    links = [synced(leaf_again, hub_again), synced(third, hub_again)]
    settle(*links)
    sent = links[1].leaf.statistics(NOW).sent_resync.split("; ")
    assert sorted(sent) == ["hub: full (new node)", "leaf: full (new node)"]
    assert rows(leaf_again) == rows(hub_again) == rows(third) == before
    assert len(before) == 6
    assert sequences(leaf_again) == sequences(hub_again) == sequences(third)


@pytest.mark.parametrize(
    ("leaf_options", "link_options"),
    [({"access": Access("deny", frozenset({bytes(20)}))}, {}), ({}, {"hub_credential": LEAVES})],
)
def test_a_leaf_that_does_not_hold_all_or_may_not_speak_brings_nothing_back(
    leaf_options: dict[str, Any], link_options: dict[str, Any]
) -> None:
    """The operator sees how many rows it keeps to itself."""
    hub = node("hub", forwards=True)
    for client in range(5):
        announce(hub, client, torrent=client)
    hub.mesh.flush(NOW)
    leaf = node("leaf", **leaf_options)
    synced(leaf, hub, **link_options).cut()
    kept = len(rows(leaf))
    assert kept >= 4
    again = node("hub", forwards=True)
    link = synced(leaf, again, **link_options)
    assert not rows(again)
    assert link.leaf.statistics(NOW).sent_resync == ""
    assert link.leaf.statistics(NOW).unshared_rows == kept
    # Announced again, they are there again.
    for client in range(5):
        announce(again, client, NOW + 1, torrent=client)
    again.mesh.flush(NOW + 1)
    settle(link, now=NOW + 1)
    assert len(rows(leaf)) == kept
    assert link.leaf.statistics(NOW).unshared_rows == 0


def test_the_hub_brings_a_stream_back_to_all_who_lost_it() -> None:
    """A node that has died; of its stream each of two leaves has missed another part."""
    hub, dead = node("hub", forwards=True), node("dead")
    early, never = node("early"), node("never")
    announce(dead, 1)
    dead.mesh.flush(NOW)
    synced(dead, hub).cut()
    synced(early, hub).cut()
    announce(dead, 2)
    dead.mesh.flush(NOW)
    synced(dead, hub).cut()
    links = [synced(early, hub), synced(never, hub)]
    settle(*links)
    assert "dead: partial after batch 1" in links[0].leaf.statistics(NOW).resync
    assert "dead: full (new node)" in links[1].leaf.statistics(NOW).resync
    assert rows(early) == rows(never) == rows(hub)
    assert len(rows(hub)) == 2


def test_two_hubs_each_of_which_has_a_part_of_an_earlier_life() -> None:
    leaf = node("leaf")
    one, two = node("one", forwards=True), node("two", forwards=True)
    announce(leaf, 1)
    leaf.mesh.flush(NOW)
    synced(leaf, one).cut()
    announce(leaf, 2)
    leaf.mesh.flush(NOW)
    synced(leaf, two).cut()
    before = leaf.mesh.own
    leaf = node("leaf")
    slow = Link(leaf, one)
    while slow.hub.state is not State.BURSTING:
        slow.step()
    quick = synced(leaf, two)
    between = Link(two, one)
    for _ in range(50):
        between.step()
        quick.step()
    assert one.mesh.position(before) is not None
    settle(slow, quick, between)
    assert slow.states == quick.states == between.states == SYNCED
    assert rows(leaf) == rows(one) == rows(two)
    assert len(rows(leaf)) == 2
    assert sequences(leaf) == sequences(one) == sequences(two)
