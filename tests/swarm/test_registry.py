"""Merging is a join: any order, any repetition, any numbering of the nodes gives the same rows. And the bounds hold."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtracker.model import PeerState
from meshtracker.swarm.origins import Origins
from meshtracker.swarm.peers import Row
from meshtracker.swarm.registry import Registry

NAMES = ["a", "b", "c"]


class Write(NamedTuple):
    swarm: int
    family: int
    client: int
    stamp: int
    origin: str
    state: PeerState


def registry_of(
    own: str = "self", *, max_peers: int = 1000, max_peers_per_swarm: int = 1000, max_peers_per_origin: int = 1000
) -> Registry:
    return Registry(
        origins=Origins(own),
        max_peers=max_peers,
        max_peers_per_swarm=max_peers_per_swarm,
        max_peers_per_origin=max_peers_per_origin,
    )


def merge(registry: Registry, write: Write) -> bool:
    row = Row(bytes([write.client]) * 24, write.stamp, registry.origins.index(write.origin), write.state)
    # What a stamp of one origin says never differs, so the address follows from both.
    address = bytes([write.stamp, ord(write.origin)]) * (write.family // 2)
    return registry.merge(registry.swarm(bytes([write.swarm]) * 20), row, address, write.family)


def rows_of(registry: Registry) -> set[tuple[object, ...]]:
    return {
        (info_hash, row.identity, address, row.stamp, row.state, registry.origins.names[row.origin])
        for info_hash, swarm in registry.swarms.items()
        for pack in swarm.packs()
        for row, address in pack.entries()
    }


states_by_stamp = st.sampled_from(PeerState)
writes = st.builds(
    Write,
    swarm=st.integers(0, 1),
    family=st.sampled_from([6, 18]),
    client=st.integers(0, 2),
    stamp=st.integers(1, 4),
    origin=st.sampled_from(NAMES),
    state=states_by_stamp,
)
write_sets = st.lists(
    writes, max_size=25, unique_by=lambda write: (write.swarm, write.family, write.client, write.stamp, write.origin)
)


@given(write_sets, st.data())
def test_any_order_and_repetition_gives_the_same_rows(records: list[Write], data: st.DataObject) -> None:
    first = registry_of()
    for record in records:
        merge(first, record)
    second = registry_of("b")
    for name in data.draw(st.permutations(NAMES)):
        second.origins.index(name)
    repeated = records + (data.draw(st.lists(st.sampled_from(records), max_size=10)) if records else [])
    for record in data.draw(st.permutations(repeated)):
        merge(second, record)
    assert rows_of(first) == rows_of(second)
    assert (first.peers, first.tombstones) == (second.peers, second.tombstones)
    counts = [{key: swarm.counts() for key, swarm in registry.swarms.items()} for registry in (first, second)]
    assert counts[0] == counts[1]
    # A plain model of last writer wins.
    winners: dict[tuple[int, int, int], Write] = {}
    for record in records:
        key = record[:3]
        if key not in winners or (record.stamp, record.origin) > (winners[key].stamp, winners[key].origin):
            winners[key] = record
    assert {(key[0], key[2]) for key in winners} == {(row[0][0], row[1][0]) for row in rows_of(first)}  # type: ignore[index]
    assert first.tombstones == sum(record.state is PeerState.REMOVED for record in winners.values())
    assert first.peers == len(winners) - first.tombstones


def test_merge_says_whether_it_won() -> None:
    registry = registry_of()
    record = Write(0, 6, 1, 5, "b", PeerState.LEECHER)
    assert merge(registry, record)
    assert not merge(registry, record)
    assert not merge(registry, record._replace(origin="a"))
    assert merge(registry, record._replace(origin="c"))
    assert not merge(registry, record._replace(stamp=4, origin="c"))


@pytest.mark.parametrize("bounds", [{"max_peers": 3}, {"max_peers_per_swarm": 3}])
def test_a_full_registry_takes_no_new_rows_but_changes_old_ones(bounds: dict[str, int]) -> None:
    registry = registry_of("self", **bounds)
    results = [merge(registry, Write(0, 6, client, 1, "a", PeerState.LEECHER)) for client in range(5)]
    assert results == [True, True, True, False, False]
    assert registry.statistics().refused_full == 2
    assert merge(registry, Write(0, 6, 1, 2, "a", PeerState.REMOVED))
    assert (registry.peers, registry.tombstones) == (2, 1)
    # A tombstone makes room for somebody who is there, and only one.
    assert merge(registry, Write(0, 6, 4, 2, "a", PeerState.LEECHER))
    assert (registry.peers, registry.tombstones) == (3, 0)
    assert not merge(registry, Write(0, 6, 5, 2, "a", PeerState.LEECHER))


@given(write_sets, st.integers(1, 5))
def test_one_node_takes_no_more_than_its_room(records: list[Write], bound: int) -> None:
    registry = registry_of(max_peers_per_origin=bound)
    for record in records:
        merge(registry, record)
        held = Counter(row[-1] for row in rows_of(registry))
        # A row that a node takes over from another one is no new row.
        assert [registry.is_exhausted(registry.origins.index(name)) for name in NAMES] == [
            held[name] >= bound for name in NAMES
        ]
    swarm = registry.swarms.get(bytes(20))
    while swarm is not None and len(swarm.v4):
        registry.drop(swarm, swarm.v4, 0)
    held = Counter(row[-1] for row in rows_of(registry))
    assert [registry.is_exhausted(registry.origins.index(name)) for name in NAMES] == [held[n] >= bound for n in NAMES]


def test_a_flood_of_one_node_leaves_room_for_others() -> None:
    registry = registry_of(max_peers_per_origin=3)
    results = [merge(registry, Write(swarm, 6, 1, 1, "a", PeerState.LEECHER)) for swarm in range(5)]
    assert results == [True, True, True, False, False]
    assert registry.statistics().refused_full == 2
    assert merge(registry, Write(0, 6, 2, 1, "b", PeerState.LEECHER))


def test_swarms_without_rows_count_as_full_too() -> None:
    registry = registry_of(max_peers=2)
    assert not registry.is_full
    registry.swarm(b"a" * 20)
    registry.swarm(b"b" * 20)
    assert registry.is_full


def test_only_empty_swarms_are_forgotten() -> None:
    registry = registry_of()
    merge(registry, Write(1, 6, 1, 1, "a", PeerState.REMOVED))
    registry.swarm(bytes(20))
    for info_hash in (bytes(20), bytes([1]) * 20, bytes([2]) * 20):
        registry.forget_if_empty(info_hash)
    assert list(registry.swarms) == [bytes([1]) * 20]
