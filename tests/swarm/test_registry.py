"""Merging is a join: any order, repetition or numbering of the streams gives the same rows. And the bounds hold."""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtracker.model import PeerState
from meshtracker.swarm.peers import Row
from meshtracker.swarm.registry import Registry
from meshtracker.swarm.streams import OWN
from meshtracker.swarm.swarm import Swarm
from meshtracker.wire.vector import StreamId
from tests.swarm.support import check_counts, index_of, registry_of

STREAMS = [StreamId("a", 1), StreamId("a", 2), StreamId("b", 1), StreamId("c", 9)]
A, A2, B, C = STREAMS
NAMES = ["a", "b", "c"]
SWARM = bytes(20)
OTHER_SWARM = bytes([1]) * 20


class Write(NamedTuple):
    swarm: int
    family: int
    client: int
    stamp: int
    stream: StreamId
    state: PeerState


def merge(registry: Registry, write: Write, *, may_add: bool = True) -> bool:
    row = Row(bytes([write.client]) * 24, write.stamp, index_of(registry, write.stream), write.state)
    # What a stamp of one stream says never differs, so the address follows from both.
    letter = ord(write.stream.name) + write.stream.incarnation
    address = bytes([write.stamp, letter]) * (write.family // 2)
    return registry.merge(registry.swarm(bytes([write.swarm]) * 20), row, address, write.family, may_add)


def rows_of(registry: Registry) -> set[tuple[object, ...]]:
    return {
        (info_hash, row.identity, address, row.stamp, row.state, registry.streams.stream(row.origin))
        for info_hash, swarm in registry.swarms.items()
        for pack in swarm.packs()
        for row, address in pack.entries()
    }


writes = st.builds(
    Write,
    swarm=st.integers(0, 1),
    family=st.sampled_from([6, 18]),
    client=st.integers(0, 2),
    stamp=st.integers(1, 4),
    stream=st.sampled_from(STREAMS),
    state=st.sampled_from(PeerState),
)
write_sets = st.lists(
    writes, max_size=25, unique_by=lambda write: (write.swarm, write.family, write.client, write.stamp, write.stream)
)


@given(write_sets, st.data())
def test_any_order_and_repetition_gives_the_same_rows(records: list[Write], data: st.DataObject) -> None:
    first = registry_of()
    for record in records:
        merge(first, record)
    second = registry_of(B)
    for stream in data.draw(st.permutations(STREAMS)):
        second.streams.index(stream)
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
        if key not in winners or (record.stamp, record.stream) > (winners[key].stamp, winners[key].stream):
            winners[key] = record
    assert {(key[0], key[2]) for key in winners} == {(row[0][0], row[1][0]) for row in rows_of(first)}  # type: ignore[index]
    assert first.tombstones == sum(record.state is PeerState.REMOVED for record in winners.values())
    assert first.peers == len(winners) - first.tombstones
    for registry in (first, second):
        check_counts(registry)


def test_merge_says_whether_it_won() -> None:
    registry = registry_of()
    record = Write(0, 6, 1, 5, B, PeerState.LEECHER)
    assert merge(registry, record)
    assert not merge(registry, record)
    assert not merge(registry, record._replace(stream=A))
    assert merge(registry, record._replace(stream=C))
    assert not merge(registry, record._replace(stamp=4, stream=C))


@pytest.mark.parametrize("bounds", [{"max_peers": 3}, {"max_peers_per_swarm": 3}])
def test_a_full_registry_takes_no_new_rows_but_changes_old_ones(bounds: dict[str, Any]) -> None:
    registry = registry_of(**bounds)
    results = [merge(registry, Write(0, 6, client, 1, A, PeerState.LEECHER)) for client in range(5)]
    assert results == [True, True, True, False, False]
    assert registry.statistics().refused_full == 2
    assert merge(registry, Write(0, 6, 1, 2, A, PeerState.REMOVED))
    assert (registry.peers, registry.tombstones) == (2, 1)
    # A tombstone makes room for somebody who is there, and only one.
    assert merge(registry, Write(0, 6, 4, 2, A, PeerState.LEECHER))
    assert (registry.peers, registry.tombstones) == (3, 0)
    assert not merge(registry, Write(0, 6, 5, 2, A, PeerState.LEECHER))
    check_counts(registry)


@given(write_sets, st.integers(1, 5))
def test_a_node_is_exhausted_by_the_rows_of_all_its_streams(records: list[Write], bound: int) -> None:
    registry = registry_of(max_peers_per_node=bound)

    def exhausted() -> list[bool]:
        held = Counter(stream.name for *_, stream in rows_of(registry) if isinstance(stream, StreamId))
        assert [registry.is_exhausted(name) for name in NAMES] == [held[name] >= bound for name in NAMES]
        return [registry.is_exhausted(name) for name in NAMES]

    for record in records:
        merge(registry, record)
        exhausted()
    swarm = registry.swarms.get(SWARM)
    while swarm is not None and len(swarm.v4):
        registry.drop(swarm, swarm.v4, 0)
        exhausted()


def test_an_exhausted_node_changes_what_is_known_and_adds_nothing() -> None:
    registry = registry_of()
    record = Write(0, 6, 1, 1, A, PeerState.LEECHER)
    assert merge(registry, record)
    assert merge(registry, record._replace(stamp=2), may_add=False)
    assert not merge(registry, record._replace(client=2), may_add=False)
    assert registry.statistics().refused_full == 1
    check_counts(registry)


def test_a_row_that_another_stream_takes_over_is_counted_there() -> None:
    registry = registry_of()
    merge(registry, Write(0, 6, 1, 1, A, PeerState.LEECHER))
    merge(registry, Write(0, 6, 1, 2, B, PeerState.LEECHER))
    assert [registry.streams.rows(stream) for stream in (A, B)] == [0, 1]
    registry.streams.forget(A)


def test_only_empty_swarms_are_forgotten() -> None:
    registry = registry_of()
    merge(registry, Write(1, 6, 1, 1, A, PeerState.REMOVED))
    registry.merge_completed(bytes([3]) * 20, "a", (1, 1, 1))
    registry.swarm(SWARM)
    for number in range(4):
        registry.forget_if_empty(bytes([number]) * 20)
    assert list(registry.swarms) == [OTHER_SWARM, bytes([3]) * 20]


# ---------------------------------------------------------------- completed downloads

figures = st.tuples(
    st.sampled_from([SWARM, OTHER_SWARM]), st.sampled_from(STREAMS), st.integers(1, 3), st.integers(1, 3)
)


@given(st.lists(figures, max_size=15), st.data())
def test_any_order_of_figures_gives_the_same_counts(
    said: list[tuple[bytes, StreamId, int, int]], data: st.DataObject
) -> None:
    """A node's figure of a swarm only grows, whichever of its streams says so."""

    def told(order: list[tuple[bytes, StreamId, int, int]]) -> dict[bytes, dict[str, tuple[int, int]]]:
        registry = registry_of()
        for info_hash, stream, total, at_ms in order:
            registry.merge_completed(info_hash, stream.name, (total, at_ms, index_of(registry, stream)))
        check_counts(registry)
        return {
            info_hash: {name: figure[:2] for name, figure in (swarm.completed or {}).items()}
            for info_hash, swarm in registry.swarms.items()
        }

    expected: dict[bytes, dict[str, tuple[int, int]]] = {}
    for info_hash, stream, total, at_ms in said:
        held = expected.setdefault(info_hash, {})
        held[stream.name] = max(held.get(stream.name, (0, 0)), (total, at_ms))
    assert told(said) == told(data.draw(st.permutations(said + said))) == expected


def test_a_figure_wins_by_its_size_and_then_by_its_time() -> None:
    registry = registry_of()
    one, two = index_of(registry, A), index_of(registry, A2)

    def say(total: int, at_ms: int, index: int) -> bool:
        return registry.merge_completed(SWARM, "a", (total, at_ms, index))

    assert say(5, 100, one)
    # Of equal ones that of the greater stream stays, on all nodes alike.
    assert say(5, 100, two)
    assert not say(5, 100, one)
    assert not say(5, 100, two)
    assert not say(4, 900, two)
    assert say(5, 101, two)
    assert say(6, 1, one)
    assert registry.swarms[SWARM].completed == {"a": (6, 1, one)}
    assert [registry.streams.rows(stream) for stream in (A, A2)] == [1, 0]
    assert registry.completions == 1
    check_counts(registry)


def test_figures_take_room_as_peers_do() -> None:
    registry = registry_of(max_peers=2)
    a, b, c = (index_of(registry, stream) for stream in (A, B, C))
    assert registry.merge_completed(SWARM, "a", (1, 1, a))
    assert merge(registry, Write(1, 6, 1, 1, B, PeerState.LEECHER))
    assert not registry.merge_completed(SWARM, "b", (1, 1, b))
    assert not registry.merge_completed(bytes([9]) * 20, "c", (1, 1, c))
    assert not merge(registry, Write(1, 6, 2, 1, B, PeerState.LEECHER))
    assert registry.refused_full == 3
    # No swarm is made for what was not taken.
    assert bytes([9]) * 20 not in registry.swarms
    assert registry.merge_completed(SWARM, "a", (2, 1, a))
    check_counts(registry)


def test_an_exhausted_node_adds_no_figure() -> None:
    registry = registry_of()
    index = index_of(registry, A)
    assert registry.merge_completed(SWARM, "a", (1, 1, index))
    assert not registry.merge_completed(OTHER_SWARM, "a", (1, 1, index), may_add=False)
    assert registry.merge_completed(SWARM, "a", (2, 1, index), may_add=False)
    assert registry.refused_full == 1


def test_a_figure_that_is_dropped_is_gone() -> None:
    registry = registry_of()
    registry.merge_completed(SWARM, "a", (3, 1, index_of(registry, A)))
    registry.merge_completed(SWARM, "self", (4, 1, OWN))
    swarm = registry.swarms[SWARM]
    registry.drop_completed(swarm, "a")
    assert (swarm.counts()[2], swarm.completed) == (4, {"self": (4, 1, OWN)})
    registry.drop_completed(swarm, "self")
    registry.forget_if_empty(SWARM)
    assert not registry.swarms
    check_counts(registry)


# ---------------------------------------------------------------- whole swarms


def swarm_of(rows: int, *, completed: int = 0) -> Swarm:
    """A swarm that was filled elsewhere, with rows of index 0 and 1 and a figure of each stream."""
    swarm = Swarm()
    for client in range(rows):
        state = PeerState.REMOVED if client == 0 else PeerState.SEEDER
        swarm.put(swarm.v4, -1, Row(bytes([client]) * 24, 5, client % 2, state), bytes([client]) * 6)
    for number in range(completed):
        swarm.set_completed(f"n{number}", (2, 5, number))
    return swarm


def test_a_whole_swarm_is_taken_in_and_counted() -> None:
    registry = registry_of()
    index_of(registry, A)
    assert registry.adopt(SWARM, swarm_of(5, completed=2))
    check_counts(registry)
    assert (registry.peers, registry.tombstones, registry.completions) == (4, 1, 2)
    assert not registry.adopt(SWARM, swarm_of(1))
    check_counts(registry)


@pytest.mark.parametrize(
    ("bounds", "is_taken"),
    [
        ({"max_peers": 7}, True),
        ({"max_peers": 6}, False),
        ({"max_peers_per_swarm": 5}, True),
        ({"max_peers_per_swarm": 4}, False),
    ],
)
def test_a_whole_swarm_that_is_too_large_is_not_taken_in(bounds: dict[str, Any], is_taken: bool) -> None:
    registry = registry_of(**bounds)
    index_of(registry, A)
    assert registry.adopt(SWARM, swarm_of(5, completed=2)) is is_taken
    assert registry.rows == (7 if is_taken else 0)
    check_counts(registry)


def test_statistics_are_the_counts() -> None:
    registry = registry_of(max_peers_per_swarm=2)
    for client in range(3):
        merge(registry, Write(0, 6, client, 1, A, PeerState.LEECHER))
    merge(registry, Write(0, 6, 0, 2, A, PeerState.REMOVED))
    registry.merge_completed(OTHER_SWARM, "a", (1, 1, index_of(registry, A)))
    figures = registry.statistics()
    assert (figures.swarms, figures.peers, figures.tombstones, figures.completions) == (2, 1, 1, 1)
    assert (figures.expired, figures.refused_full) == (0, 1)
