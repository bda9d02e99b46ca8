"""A node goes on from a snapshot: with its peers and figures, and with what it need not be sent again."""

from __future__ import annotations

from typing import Any

import pytest

from meshtracker.link.transitions import State
from meshtracker.model import STAMP_COUNTER_BITS, Event, PeerState
from meshtracker.node.mesh import RELAYED_MARGIN
from meshtracker.node.node import Node
from meshtracker.storage.restore import Restored, restore
from meshtracker.swarm.access import Access
from meshtracker.swarm.expiry import COMPLETED_TTL_MS
from meshtracker.swarm.peers import PeerPack
from meshtracker.wire.vector import BEGINNING, NOWHERE, Position, StreamId
from tests.storage.support import (
    START,
    TTL_SECONDS,
    announce,
    cut,
    figures,
    fill,
    info_hash,
    link,
    make_node,
    rows,
    saved,
    talk,
    wall_ms,
    write_as,
)

BEFORE, AFTER, OTHER = StreamId("a", 7), StreamId("a", 8), StreamId("other", 9)
MAX_AHEAD_SECONDS = RELAYED_MARGIN * 60.0
"""As much as is taken of other nodes."""
HOUR_SECONDS = 3600.0


def filled(name: str = "a", *, clients: int = 100) -> Node:
    node = make_node(name, 7)
    fill(node, swarms=3, clients=clients, now=START)
    node.mesh.flush(START)
    return node


def test_a_node_has_its_peers_again() -> None:
    before = filled()
    after = make_node("a", 8)

    result = restore(after, saved(before), START + 10)

    assert rows(after) == rows(before)
    assert result == Restored(swarms=3, peers=before.registry.peers, expired=0, future=0)
    assert after.registry.statistics() == before.registry.statistics()
    assert after.registry.completions == 3
    hashes = list(before.registry.swarms)
    assert after.scrape(hashes) == before.scrape(hashes)
    assert after.scrape(hashes)[0].downloaded == 1


def test_its_next_write_wins_over_what_it_restored() -> None:
    before = filled(clients=5)
    after = make_node("a", 8)
    restore(after, saved(before), START)
    written: dict[Any, Any] = {row[0]: row[1] for row in rows(after)[info_hash(0)]}
    announce(after, 0, 1, START - 1, left=1)  # though the clock was set back a little
    [row] = [row for row in rows(after)[info_hash(0)] if row[2] == AFTER]
    assert row[1] > written[row[0]]
    assert row[3] == PeerState.LEECHER


def test_rows_that_aged_out_meanwhile_are_dropped() -> None:
    before = filled()
    announce(before, 0, 500, START + 100)
    after = make_node("a", 8)

    result = restore(after, saved(before), START + TTL_SECONDS + 50)

    assert result.expired == sum(map(len, rows(before).values())) - 1
    assert {swarm: len(found) for swarm, found in rows(after).items()} == {
        info_hash(0): 1,
        # Kept for their completed downloads.
        info_hash(1): 0,
        info_hash(2): 0,
    }
    assert after.registry.peers == 1
    assert after.scrape([info_hash(0)])[0].incomplete == 1


def test_rows_from_the_future_are_dropped_and_not_believed() -> None:
    before = filled(clients=10)
    announce(before, 0, 500, START + 1000)
    after = make_node("a", 8)

    result = restore(after, saved(before), START)

    assert result.future == 1
    assert result.expired == 0
    newest_ms = after.clock.tick(START) >> STAMP_COUNTER_BITS
    assert newest_ms <= after.clock.wall_ms(START) + MAX_AHEAD_SECONDS * 1000


def test_what_rows_from_the_future_had_replaced_is_brought_back() -> None:
    hub, leaf = make_node("hub", 1, forwards=True), make_node("leaf", 7)
    announce(leaf, 0, 1, START)
    announce(hub, 0, 2, START)
    for node in (hub, leaf):
        node.mesh.flush(START)
    sessions = link(leaf, hub, START)
    talk([sessions], START)
    cut(leaf, hub, sessions, START)
    for client in (1, 2):
        # Its clock is wrong, and the hub hears none of it.
        announce(leaf, 0, client, START + 1000, left=0)
    again = make_node("leaf", 8)

    restore(again, saved(leaf), START)
    talk([link(again, hub, START)], START)

    assert rows(again) == rows(hub)
    assert [len(found) for found in rows(again).values()] == [2]


def test_its_rows_are_of_the_stream_that_it_wrote_before() -> None:
    """That one is closed, so that others need not be sent it again; the node writes another one from now on."""
    before = filled()
    after = make_node("a", 8)
    restore(after, saved(before), START + 1)
    assert {row[2] for found in rows(after).values() for row in found} == {BEFORE}
    assert after.registry.streams.rows(BEFORE) == before.registry.peers + before.registry.tombstones
    vector = after.mesh.vector()
    assert vector[BEFORE] == before.mesh.vector()[BEFORE]
    assert vector[AFTER] == BEGINNING


def test_its_completed_downloads_are_of_the_stream_that_it_writes_now() -> None:
    """A figure belongs to the node: its next life counts on from it, and says so."""
    before = filled()
    write_as(before, 1, OTHER, completed=4)
    after = make_node("a", 8)
    restore(after, saved(before), START + 10)
    assert figures(after) == {
        info_hash(0): {"a": (1, wall_ms(START) + 1, AFTER)},
        info_hash(1): {"a": (1, wall_ms(START) + 1, AFTER), "other": (4, wall_ms(START), OTHER)},
        info_hash(2): {"a": (1, wall_ms(START) + 1, AFTER)},
    }
    announce(after, 1, 49, START + 11, left=0, event=Event.COMPLETED)
    assert figures(after)[info_hash(1)]["a"] == (2, wall_ms(START + 11), AFTER)
    hub = make_node("hub", 1, forwards=True)
    after.mesh.flush(START + 11)
    talk([link(after, hub, START + 11)], START + 11)
    assert figures(hub) == figures(after)


def test_a_swarm_without_peers_is_kept_for_its_completed_downloads() -> None:
    before = filled(clients=2)
    after = make_node("a", 8)
    now = START + TTL_SECONDS + 50
    restore(after, saved(before), now)
    assert after.registry.peers == after.registry.tombstones == 0
    assert [answer.downloaded for answer in after.scrape([info_hash(swarm) for swarm in range(3)])] == [1, 1, 1]


@pytest.mark.parametrize("max_streams", [10_000, 4])
def test_streams_keep_their_numbers_where_they_can(max_streams: int) -> None:
    before = filled(clients=5)
    write_as(before, 0, OTHER, completed=4)
    before.mesh.flush(START)
    after = make_node("a", 8, max_streams=max_streams)
    if max_streams == 4:
        assert after.registry.streams.index(StreamId("met already", 1)) == 1
    restore(after, saved(before), START + 1)
    assert rows(after) == rows(before)
    assert {key: swarm.counts() for key, swarm in after.registry.swarms.items()} == {
        key: swarm.counts() for key, swarm in before.registry.swarms.items()
    }
    assert figures(after)[info_hash(0)]["other"] == (4, wall_ms(START), OTHER)
    for stream in (BEFORE, OTHER):
        assert after.registry.streams.rows(stream) == sum(
            row[2] == stream for found in rows(after).values() for row in found
        ) + (stream == OTHER)


def test_rows_of_streams_for_which_there_is_no_room_are_left_out() -> None:
    before = filled(clients=5)
    write_as(before, 0, OTHER, completed=4)
    after = make_node("a", 8, max_streams=2)
    restore(after, saved(before), START)
    [kept] = {row[2] for found in rows(after).values() for row in found}
    assert kept in (BEFORE, OTHER)


def test_the_bounds_of_the_registry_hold() -> None:
    before = filled(clients=10)
    after = make_node("a", 8, max_peers=20, max_peers_per_swarm=9)
    restore(after, saved(before), START)
    assert after.registry.rows == 20
    assert max(len(swarm) for swarm in after.registry.swarms.values()) == 9
    assert after.registry.refused_full > 0


@pytest.mark.parametrize(
    ("forwards", "kept"), [(False, {info_hash(1)}), (True, {info_hash(0), info_hash(1), info_hash(2)})]
)
def test_a_leaf_keeps_only_what_it_serves(*, forwards: bool, kept: set[bytes]) -> None:
    after = make_node("a", 8, forwards=forwards, access=Access("allow", frozenset({info_hash(1)})))
    restore(after, saved(filled()), START)
    assert set(after.registry.swarms) == kept


def test_a_leaf_is_sent_only_what_it_missed() -> None:
    hub, other, leaf = make_node("hub", 1, forwards=True), make_node("other", 2), make_node("leaf", 3)
    fill(other, swarms=2, clients=50, now=START)
    fill(leaf, swarms=2, clients=20, now=START)
    pairs = [link(other, hub, START), link(leaf, hub, START)]
    for node in (other, leaf):
        node.mesh.flush(START)
    talk(pairs, START)
    snapshot = saved(leaf)
    # After the snapshot: lost on the leaf, known to the hub.
    announce(leaf, 1, 300, START + 1)
    leaf.mesh.flush(START + 1)
    talk(pairs, START + 1)
    pairs[1][1].end_of_stream(START + 2)
    announce(other, 0, 400, START + 2)
    other.mesh.flush(START + 2)
    talk(pairs[:1], START + 2)

    again = make_node("leaf", 4)
    restore(again, snapshot, START + 3)
    again.mesh.flush(START + 3)
    sessions = link(again, hub, START + 3)
    talk([sessions, pairs[0]], START + 3)

    assert [session.state for session in sessions] == [State.SYNCED, State.SYNCED]
    resync = sessions[0].statistics(START + 3).resync
    assert "other: partial after batch 1" in resync
    # Its own stream of before is one like any other.
    assert "leaf: partial after batch 1" in resync
    assert rows(again) == rows(hub) == rows(other)
    assert figures(again) == figures(hub) == figures(other)


@pytest.mark.parametrize(
    ("before", "after", "everything"),
    [
        (Access("allow", frozenset({info_hash(0)})), Access("allow", frozenset({info_hash(0)})), False),
        (Access("allow", frozenset({info_hash(0)})), Access("allow", frozenset({info_hash(0), info_hash(1)})), True),
        (Access("deny", frozenset({info_hash(1)})), Access(), True),
    ],
)
def test_an_access_list_that_was_changed_meanwhile(before: Access, after: Access, everything: bool) -> None:
    """What the leaf tracked tells what its vector is worth."""
    hub, leaf = make_node("hub", 1, forwards=True), make_node("leaf", 3, access=before)
    fill(hub, swarms=2, clients=20, now=START)
    hub.mesh.flush(START)
    sessions = link(leaf, hub, START)
    talk([sessions], START)
    cut(leaf, hub, sessions, START)
    assert set(rows(leaf)) == {info_hash(0)}

    again = make_node("leaf", 4, access=after)
    restore(again, saved(leaf), START + 3)
    sessions = link(again, hub, START + 3)
    talk([sessions], START + 3)

    assert [session.state for session in sessions] == [State.SYNCED, State.SYNCED]
    assert ("asked for" in sessions[0].statistics(START + 3).resync) is everything
    assert rows(again) == {swarm: held for swarm, held in rows(hub).items() if after.allows(swarm)}


def test_a_leaf_with_an_access_list_that_becomes_a_hub_is_sent_everything() -> None:
    other, leaf = make_node("other", 1, forwards=True), make_node("node", 3, access=Access("allow", frozenset()))
    fill(other, swarms=2, clients=20, now=START)
    other.mesh.flush(START)
    sessions = link(leaf, other, START)
    talk([sessions], START)
    cut(leaf, other, sessions, START)
    assert not rows(leaf)

    again = make_node("node", 4, forwards=True, access=Access("allow", frozenset()))
    restore(again, saved(leaf), START + 3)
    talk([link(other, again, START + 3)], START + 3)

    assert rows(again) == rows(other)


def test_where_it_was_in_the_streams() -> None:
    before = filled()
    before.mesh.resume({OTHER: Position(5, 6)}, START)
    after = make_node("a", 8)
    restore(after, saved(before), START)
    assert after.mesh.vector() == {AFTER: BEGINNING, BEFORE: before.mesh.vector()[BEFORE], OTHER: Position(5, 6)}


def test_a_stream_that_has_rows_stands_in_the_vector() -> None:
    """Or it would never be forgotten."""
    before = filled()
    write_as(before, 0, OTHER)
    after = make_node("a", 8)
    restore(after, saved(before), START)
    assert after.mesh.vector()[OTHER] == NOWHERE


@pytest.mark.parametrize(("ahead_seconds", "is_known"), [(MAX_AHEAD_SECONDS, True), (MAX_AHEAD_SECONDS + 1, False)])
def test_what_was_let_go_by_a_clock_that_was_wrong_is_not_known(ahead_seconds: float, is_known: bool) -> None:
    """By such a clock peers of other nodes seemed too old, and no row is there to show it."""
    before = make_node("a", 7, clock_ahead_seconds=ahead_seconds)
    before.mesh.resume({OTHER: Position(5, 6)}, START)
    after = make_node("a", 8)
    restore(after, saved(before), START)
    assert after.mesh.vector()[OTHER] == (Position(5, 6) if is_known else NOWHERE)


def test_a_node_whose_clock_was_wrong_links_after_its_restart() -> None:
    """Its completed downloads are from the future too, and must not make its hub close the link."""
    hub = make_node("hub", 1, forwards=True)
    before = make_node("a", 7, clock_ahead_seconds=HOUR_SECONDS)
    fill(before, swarms=2, clients=3, now=START)
    after = make_node("a", 8)
    restore(after, saved(before), START)
    announce(after, 0, 61, START)
    announce(after, 0, 61, START, event=Event.COMPLETED, left=0)
    after.mesh.flush(START)
    sessions = link(after, hub, START)
    talk([sessions], START)
    assert [(session.state, session.reason) for session in sessions] == [(State.SYNCED, "")] * 2
    assert rows(hub) == rows(after)
    assert after.scrape([info_hash(0)])[0].downloaded == 2
    assert hub.scrape([info_hash(0)]) == after.scrape([info_hash(0)])


def test_completed_downloads_that_have_aged_out_are_not_kept() -> None:
    before = filled(clients=2)
    after = make_node("a", 8)
    now = START + COMPLETED_TTL_MS / 1000 + 1
    restore(after, saved(before), now)
    for _ in range(after.sweep.steps_per_round() + 1):
        after.expire(now)
    assert not after.registry.swarms
    assert after.registry.rows == 0


def test_packs_that_cannot_be_are_refused() -> None:
    [swarm, *_] = filled(clients=4).registry.swarms.values()
    good, addresses = bytes(swarm.v4.rows), bytes(swarm.v4.addresses)
    row_bytes = len(good) // len(swarm.v4)
    backwards = b"".join(good[at : at + row_bytes] for at in range(len(good) - row_bytes, -1, -row_bytes))
    assert len(PeerPack.from_bytes(6, rows=good, addresses=addresses)) == 4
    for rows_given, addresses_given, problem in (
        (good[:-1], addresses, "belong together"),
        (good, addresses[6:], "belong together"),
        (backwards, addresses, "order of their states"),
        (good[:-1] + b"\4", addresses, "order of their states"),
    ):
        with pytest.raises(ValueError, match=problem):
            PeerPack.from_bytes(6, rows=rows_given, addresses=addresses_given)
