from __future__ import annotations

import pytest

from meshtracker.link.state import State
from meshtracker.model import STAMP_COUNTER_BITS
from meshtracker.node.node import Node
from meshtracker.storage.restore import MAX_FUTURE_SECONDS, Restored, restore
from meshtracker.storage.snapshot_format import Snapshot, decode, encode
from meshtracker.swarm.access import Access
from meshtracker.swarm.peers import PeerPack
from meshtracker.wire.vector import Position
from tests.storage.support import (
    START,
    TTL_SECONDS,
    announce,
    fill,
    info_hash,
    link,
    make_node,
    rows,
    talk,
)


def snapshot_of(node: Node) -> Snapshot:
    return decode(b"".join(encode(node)))


def filled(name: str = "a", *, clients: int = 100) -> Node:
    node = make_node(name, 7)
    fill(node, swarms=3, clients=clients, now=START)
    node.mesh.flush(START)
    return node


def test_a_node_has_its_peers_again() -> None:
    before = filled()
    after = make_node("a", 8)

    result = restore(after, snapshot_of(before), START + 10)

    assert rows(after) == rows(before)
    assert result == Restored(swarms=3, peers=before.registry.peers, expired=0, future=0)
    assert after.registry.statistics() == before.registry.statistics()
    hashes = list(before.registry.swarms)
    assert after.scrape(hashes) == before.scrape(hashes)
    assert after.scrape(hashes)[0].downloaded == 1


def test_its_next_write_wins_over_what_it_restored() -> None:
    before = filled(clients=5)
    newest = max(stamp for swarm in before.registry.swarms.values() for stamp in swarm.v4.stamps())
    after = make_node("a", 8)
    restore(after, snapshot_of(before), START)
    assert after.clock.tick(START - 1) > newest  # though the clock was set back a little


def test_rows_that_aged_out_meanwhile_are_dropped() -> None:
    before = filled()
    announce(before, 0, 500, START + 100)
    after = make_node("a", 8)

    result = restore(after, snapshot_of(before), START + TTL_SECONDS + 50)

    assert result.expired == sum(map(len, rows(before).values())) - 1
    assert [len(found) for found in rows(after).values()] == [1]
    assert after.registry.peers == 1
    assert after.scrape([info_hash(0)])[0].incomplete == 1


def test_rows_from_the_future_are_dropped_and_not_believed() -> None:
    before = filled(clients=10)
    announce(before, 0, 500, START + 1000)
    after = make_node("a", 8)

    result = restore(after, snapshot_of(before), START)

    assert result.future == 1
    assert result.expired == 0
    newest_ms = after.clock.tick(START) >> STAMP_COUNTER_BITS
    assert newest_ms <= after.clock.wall_ms(START) + MAX_FUTURE_SECONDS * 1000


def test_what_rows_from_the_future_had_replaced_is_brought_back() -> None:
    hub, leaf = make_node("hub", 1, forwards=True), make_node("leaf", 7)
    announce(leaf, 0, 1, START)
    announce(hub, 0, 2, START)
    for node in (hub, leaf):
        node.mesh.flush(START)
    talk([link(leaf, hub, START)], START)
    for client in (1, 2):
        # Its clock is wrong, and the hub hears none of it.
        announce(leaf, 0, client, START + 1000, left=0)
    again = make_node("leaf", 8)

    restore(again, snapshot_of(leaf), START)
    talk([link(again, hub, START)], START)

    assert rows(again) == rows(hub)
    assert [len(found) for found in rows(again).values()] == [2]


def test_origins_are_renumbered_where_they_must_be() -> None:
    before = filled(clients=5)
    other = before.registry.origins.index("other")
    for swarm in before.registry.swarms.values():
        swarm.count_completed(other, 4)
        row = swarm.v4.row(0)
        swarm.put(swarm.v4, 0, row._replace(origin=other), swarm.v4.address(0))
    after = make_node("a", 8)
    after.registry.origins.index("met already")
    restore(after, snapshot_of(before), START)
    assert rows(after) == rows(before)
    assert after.registry.statistics() == before.registry.statistics()
    assert after.registry.swarms[info_hash(0)].completed == {0: 1, 2: 4}


def test_the_bounds_of_the_registry_hold() -> None:
    before = filled(clients=10)
    after = make_node("a", 8, max_peers=20, max_peers_per_swarm=9)
    restore(after, snapshot_of(before), START)
    assert after.registry.peers + after.registry.tombstones == 20
    assert max(len(swarm) for swarm in after.registry.swarms.values()) == 9
    assert after.registry.refused_full > 0


@pytest.mark.parametrize(
    ("forwards", "kept"), [(False, {info_hash(1)}), (True, {info_hash(0), info_hash(1), info_hash(2)})]
)
def test_a_leaf_keeps_only_what_it_serves(*, forwards: bool, kept: set[bytes]) -> None:
    after = make_node("a", 8, forwards=forwards, access=Access("allow", frozenset({info_hash(1)})))
    restore(after, snapshot_of(filled()), START)
    assert set(after.registry.swarms) == kept


def test_a_leaf_is_sent_only_what_it_missed() -> None:
    hub, other, leaf = make_node("hub", 1, forwards=True), make_node("other", 2), make_node("leaf", 3)
    fill(other, swarms=2, clients=50, now=START)
    fill(leaf, swarms=2, clients=20, now=START)
    pairs = [link(other, hub, START), link(leaf, hub, START)]
    for node in (other, leaf):
        node.mesh.flush(START)
    talk(pairs, START)
    snapshot = snapshot_of(leaf)
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
    assert "leaf: partial after batch 1" in resync
    assert rows(again) == rows(hub) == rows(other)


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
    talk([link(leaf, hub, START)], START)
    assert set(rows(leaf)) == {info_hash(0)}

    again = make_node("leaf", 4, access=after)
    restore(again, snapshot_of(leaf), START + 3)
    sessions = link(again, hub, START + 3)
    talk([sessions], START + 3)

    assert [session.state for session in sessions] == [State.SYNCED, State.SYNCED]
    assert ("asked for" in sessions[0].statistics(START + 3).resync) is everything
    assert rows(again) == {swarm: held for swarm, held in rows(hub).items() if after.allows(swarm)}


def test_a_leaf_with_an_access_list_that_becomes_a_hub_is_sent_everything() -> None:
    other, leaf = make_node("other", 1, forwards=True), make_node("node", 3, access=Access("allow", frozenset()))
    fill(other, swarms=2, clients=20, now=START)
    other.mesh.flush(START)
    talk([link(leaf, other, START)], START)
    assert not rows(leaf)

    again = make_node("node", 4, forwards=True, access=Access("allow", frozenset()))
    restore(again, snapshot_of(leaf), START + 3)
    talk([link(other, again, START + 3)], START + 3)

    assert rows(again) == rows(other)


def test_where_it_was_in_the_streams_of_others() -> None:
    before = filled()
    before.mesh.resume({"x": Position(5, 6)})
    after = make_node("a", 8)
    restore(after, snapshot_of(before), START)
    assert after.mesh.vector() == {"a": Position(8, 0), "x": Position(5, 6)}
    assert after.mesh.previous == Position(7, 1)


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
