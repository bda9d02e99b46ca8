"""Resets: the link is made anew, and on demand brings everything anew both ways."""

from __future__ import annotations

import pytest

from meshtracker.errors import CloseCode
from meshtracker.link.transitions import State
from meshtracker.node.commands import ResetLinks
from meshtracker.node.node import Node
from meshtracker.swarm.streams import OWN
from meshtracker.wire.frame import FrameType
from meshtracker.wire.link import Knowledge, decode
from tests.link.support import CLOSED, SYNCED, pair
from tests.mouth_to_mouth import NOW, Link, announce, frames, node, rows, settle, synced


def both() -> tuple[Node, Node, Link]:
    """A leaf and a hub with clients of their own, linked; each has the other's peers."""
    leaf, hub = pair(5)
    for client in range(50, 55):
        announce(hub, client)
    hub.mesh.flush(NOW)
    return leaf, hub, synced(leaf, hub)


def lose(victim: Node) -> int:
    """All rows of other nodes go without a trace; returns how many."""
    before = len(rows(victim))
    for info_hash, swarm in list(victim.registry.swarms.items()):
        for row, _ in list(swarm.v4.entries()):
            if row.origin != OWN:
                victim.registry.drop(swarm, swarm.v4, swarm.v4.find(row.identity))
        victim.registry.forget_if_empty(info_hash)
    return before - len(rows(victim))


def vectors(link: Link) -> list[bool]:
    """What the VECTORs of both ends say of ``everything``."""
    return [
        knowledge.everything
        for end in link.ends
        for kind, payload in frames(link.bytes[end])
        if isinstance(knowledge := decode(kind, payload), Knowledge)
    ]


@pytest.mark.parametrize("index", [0, 1])
def test_a_reset_tells_both_ends_why(index: int) -> None:
    *_, link = both()
    near, far = link.ends[index], link.ends[1 - index]
    near.close("reset on a by b: c", NOW, code=CloseCode.RESET)
    settle(link)
    assert link.states == CLOSED
    assert near.reason == far.reason == "reset on a by b: c"
    assert (near.code, near.told_by_peer, near.refusal) == (CloseCode.RESET, False, None)
    assert (far.code, far.told_by_peer, far.refusal) == (CloseCode.RESET, True, None)


def test_a_reset_comes_ahead_of_data_and_once() -> None:
    leaf, _, link = both()
    announce(leaf, 9)
    leaf.mesh.flush(NOW)
    link.leaf.close("one", NOW, code=CloseCode.RESET)
    link.leaf.close("two", NOW, code=CloseCode.RESET)
    assert [kind for kind, _ in frames(link.leaf.data_to_send(NOW))] == [FrameType.CLOSE]
    assert link.leaf.data_to_send(NOW) == b""
    assert link.leaf.reason == "one"


def test_a_link_that_had_ended_was_not_reset() -> None:
    *_, link = both()
    link.leaf.end_of_stream(NOW)
    link.leaf.close("too late", NOW, code=CloseCode.RESET)
    assert link.leaf.code is CloseCode.UNREACHABLE
    assert link.leaf.reason == "the other side hung up"


def test_a_reset_before_anything_was_said() -> None:
    leaf, hub = pair()
    link = Link(leaf, hub)
    link.leaf.close("stop", NOW, code=CloseCode.RESET)
    settle(link)
    assert link.states == CLOSED
    assert link.hub.reason == "stop"


def test_a_partial_reset_brings_what_was_missed() -> None:
    leaf, hub, link = both()
    hub.execute(ResetLinks(name="leaf", caller="op"), NOW)
    settle(link)
    link.cut()
    announce(leaf, 9)
    leaf.mesh.flush(NOW)
    link = synced(leaf, hub)
    assert link.hub.statistics(NOW).resync == "leaf: partial after batch 1"
    assert link.leaf.statistics(NOW).resync == ""
    assert vectors(link) == [False, False]


@pytest.mark.parametrize("index", [0, 1])
@pytest.mark.parametrize("victim_index", [0, 1])
def test_a_full_reset_brings_everything_anew_both_ways(index: int, victim_index: int) -> None:
    leaf, hub, link = both()
    owner, other = ((leaf, "hub"), (hub, "leaf"))[index]
    owner.execute(ResetLinks(name=other, full=True, caller="op"), NOW)
    settle(link)
    assert link.states == CLOSED
    link.cut()
    # What one end has lost without knowing it comes back, whichever end that is.
    assert lose((leaf, hub)[victim_index]) == 5
    link = synced(leaf, hub)
    assert rows(leaf) == rows(hub)
    assert len(rows(hub)) == 10
    assert link.hub.statistics(NOW).resync == "leaf: full (asked for)"
    assert link.leaf.statistics(NOW).resync == "hub: full (asked for)"
    assert sorted(vectors(link)) == [False, True]
    # Once is enough.
    assert not any(neighbour.wants_everything for each in (leaf, hub) for neighbour in each.links.neighbours(NOW))
    link.cut()
    assert "asked for" not in synced(leaf, hub).leaf.statistics(NOW).resync


def test_a_full_reset_brings_the_streams_of_others_too() -> None:
    leaf, hub, link = both()
    third = node("third")
    announce(third, 99)
    third.mesh.flush(NOW)
    synced(third, hub).cut()
    settle(link)
    leaf.execute(ResetLinks(name="hub", full=True, caller="op"), NOW)
    settle(link)
    link.cut()
    assert lose(leaf) == 6
    assert "third: full (" in synced(leaf, hub).leaf.statistics(NOW).resync
    assert rows(leaf) == rows(hub)


def test_everything_is_still_wanted_if_the_link_breaks_before_it_has_come() -> None:
    leaf, hub, link = both()
    hub.execute(ResetLinks(name="leaf", full=True, caller="op"), NOW)
    settle(link)
    link.cut()
    link = Link(leaf, hub)
    while link.leaf.state is not State.BURSTING:
        link.step()
    link.cut()
    assert "leaf: full (asked for)" in synced(leaf, hub).hub.statistics(NOW).resync


def test_a_node_that_restarts_and_is_sent_everything_gets_its_earlier_stream_back_too() -> None:
    leaf, hub, link = both()
    hub.execute(ResetLinks(name="leaf", full=True, caller="op"), NOW)
    settle(link)
    link.cut()
    again = node("leaf")
    link = synced(again, hub)
    assert "leaf: full (new node)" in link.leaf.statistics(NOW).resync
    assert rows(again) == rows(hub) == rows(leaf)


def test_resets_again_and_again_under_load_lose_nothing() -> None:
    leaf, hub, link = both()
    now = NOW
    for turn in range(200):
        now += 0.1
        for owner in (leaf, hub):
            announce(owner, turn % 30 + 100 * owner.mesh.forwards, now, left=turn // 30 % 2)
            owner.mesh.flush(now)
        for _ in range(turn % 12):
            link.step(now)
        (leaf, hub)[turn % 2].execute(ResetLinks(name=None, full=turn % 7 == 0, caller="op"), now)
        for _ in range(turn % 3):
            link.step(now)
        link.cut(now)
        link = Link(leaf, hub, now)
    settle(link, now=now)
    assert link.states == SYNCED
    assert rows(leaf) == rows(hub)
