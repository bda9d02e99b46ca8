"""The table of completed downloads: a figure belongs to a node, only grows, and is taken over by its next life."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtracker.errors import WireError
from meshtracker.model import Window
from meshtracker.swarm.access import Access
from meshtracker.swarm.completed_table import COMPLETED_TABLE, PIECE_RECORDS, PIECE_SWARMS, CompletedTable
from meshtracker.swarm.expiry import COMPLETED_TTL_MS
from meshtracker.swarm.merging import Merging
from meshtracker.swarm.registry import Registry
from meshtracker.swarm.streams import OWN
from meshtracker.wire.batch import MAX_BODY_BYTES
from meshtracker.wire.completed_record import MAX_COMPLETED, CompletedRecord, completed_records
from meshtracker.wire.vector import StreamId
from tests.swarm.support import OWN_STREAM, check_counts, index_of, merging_of, registry_of
from tests.wire.link_support import BASE, BASE_MS, completed_lists, completed_of

A, A2, B = StreamId("a", 1), StreamId("a", 2), StreamId("b", 1)
EARLIER = StreamId("self", 5)
"""An earlier life of this node."""
NOW_MS = BASE_MS
WINDOW = Window(oldest=(NOW_MS - 10) << 16, now=NOW_MS << 16, newest=(NOW_MS + 1000) << 16)
ALWAYS = Window(oldest=0, now=((1 << 48) - 1) << 16, newest=(1 << 64) - 1)
SWARM, OTHER_SWARM = b"s" * 20, b"o" * 20


def table_of(
    registry: Registry | None = None, *, access: Access | None = None, forwards: bool = False
) -> tuple[CompletedTable, Merging, list[tuple[int, bytes]]]:
    """A table, what it shares, and what it has noted for the next batch."""
    merging = merging_of(registry or registry_of(), access=access, forwards=forwards)
    noted: list[tuple[int, bytes]] = []
    merging.note = lambda kind, key: noted.append((kind, key))
    return CompletedTable(merging), merging, noted


def take(
    table: CompletedTable,
    merging: Merging,
    stream: StreamId,
    records: Iterable[CompletedRecord],
    window: Window = WINDOW,
) -> int:
    """Read and apply records as the node does; returns how many changed something."""
    changes = table.read(completed_of(list(records)), BASE, strict=True)
    return table.apply(stream, index_of(merging.registry, stream), changes, window)


def figures(registry: Registry) -> dict[bytes, dict[str, tuple[int, int, StreamId]]]:
    """Who says what of which swarm."""
    return {
        info_hash: {
            name: (total, at_ms, registry.streams.stream(index))
            for name, (total, at_ms, index) in swarm.completed.items()
        }
        for info_hash, swarm in registry.swarms.items()
        if swarm.completed
    }


# ---------------------------------------------------------------- in


def test_records_are_read_with_their_number_and_the_latest_time() -> None:
    table, _, _ = table_of()
    content = [CompletedRecord(SWARM, 3, NOW_MS + 5), CompletedRecord(OTHER_SWARM, 4, NOW_MS)]
    changes = table.read(completed_of(content), BASE, strict=True)
    assert (changes.records, changes.count, changes.left_out) == (content, 2, 0)
    assert changes.newest == (NOW_MS + 5) << 16
    assert table.read(b"", BASE, strict=False).newest == 0
    assert (table.kind, table.name) == (COMPLETED_TABLE, "completed") == (2, "completed")


@given(st.binary(max_size=120), st.booleans())
def test_arbitrary_bytes(section: bytes, strict: bool) -> None:
    table, merging, _ = table_of()
    with contextlib.suppress(WireError):
        changes = table.read(section, BASE, strict=strict)
        table.apply(A, index_of(merging.registry, A), changes, ALWAYS)
    check_counts(merging.registry)


def test_a_figure_of_another_node_only_grows() -> None:
    table, merging, noted = table_of()
    assert take(table, merging, A, [CompletedRecord(SWARM, 3, NOW_MS)]) == 1
    assert take(table, merging, A2, [CompletedRecord(SWARM, 2, NOW_MS + 1), CompletedRecord(SWARM, 3, NOW_MS)]) == 1
    # Of equal ones that of the greater stream stays, on all nodes alike.
    assert take(table, merging, A, [CompletedRecord(SWARM, 3, NOW_MS)]) == 0
    assert take(table, merging, B, [CompletedRecord(SWARM, 4, NOW_MS)]) == 1
    assert take(table, merging, A2, [CompletedRecord(SWARM, 5, NOW_MS)]) == 1
    assert figures(merging.registry) == {SWARM: {"a": (5, NOW_MS, A2), "b": (4, NOW_MS, B)}}
    assert merging.registry.swarms[SWARM].counts()[2] == 9
    assert (merging.applied, merging.stale) == (4, 2)
    # Other nodes' figures are theirs to tell.
    assert noted == []
    check_counts(merging.registry)


@pytest.mark.parametrize(
    ("at_ms", "is_taken"),
    [
        (NOW_MS + 1000, True),
        (NOW_MS + 1001, False),
        (NOW_MS - COMPLETED_TTL_MS, True),
        (NOW_MS - 1 - COMPLETED_TTL_MS, False),
    ],
)
def test_a_figure_from_too_long_ago_or_from_the_future_is_passed_over(at_ms: int, is_taken: bool) -> None:
    table, merging, _ = table_of()
    assert take(table, merging, A, [CompletedRecord(SWARM, 3, at_ms)]) == is_taken
    assert merging.stale == (not is_taken)
    assert (SWARM in merging.registry.swarms) is is_taken


@pytest.mark.parametrize(("forwards", "kept"), [(False, {SWARM}), (True, {SWARM, OTHER_SWARM})])
def test_a_leaf_drops_what_it_does_not_serve(forwards: bool, kept: set[bytes]) -> None:
    table, merging, _ = table_of(access=Access("allow", frozenset({SWARM})), forwards=forwards)
    take(table, merging, A, [CompletedRecord(SWARM, 1, NOW_MS), CompletedRecord(OTHER_SWARM, 1, NOW_MS)])
    assert set(figures(merging.registry)) == kept
    assert merging.dropped == (0 if forwards else 1)


def test_a_node_that_is_exhausted_adds_no_figure() -> None:
    table, merging, _ = table_of(registry_of(max_peers_per_node=1))
    take(table, merging, A, [CompletedRecord(SWARM, 1, NOW_MS)])
    assert take(table, merging, A2, [CompletedRecord(OTHER_SWARM, 1, NOW_MS), CompletedRecord(SWARM, 2, NOW_MS)]) == 1
    table.count(OTHER_SWARM, NOW_MS)
    table.count(b"t" * 20, NOW_MS)
    assert merging.registry.completions == 3
    check_counts(merging.registry)


# ---------------------------------------------------------------- this node's own


def test_a_completed_download_is_counted_and_told() -> None:
    table, merging, noted = table_of()
    for at_ms in (NOW_MS, NOW_MS + 7, NOW_MS + 3):
        table.count(SWARM, at_ms)
    # The clock was set back a little before the third: the figure is of the present time, and wins by its size.
    assert figures(merging.registry) == {SWARM: {"self": (3, NOW_MS + 3, OWN_STREAM)}}
    assert noted == [(COMPLETED_TABLE, SWARM)] * 3
    assert list(completed_records(table.encode_own(SWARM))) == [CompletedRecord(SWARM, 3, NOW_MS + 3)]


def test_there_is_no_record_of_a_figure_that_is_gone() -> None:
    table, merging, _ = table_of()
    assert table.encode_own(SWARM) == b""
    take(table, merging, A, [CompletedRecord(SWARM, 1, NOW_MS)])
    assert table.encode_own(SWARM) == b""


def test_a_figure_never_grows_past_what_a_record_holds() -> None:
    table, merging, _ = table_of()
    table.put_own(SWARM, MAX_COMPLETED, NOW_MS)
    table.count(SWARM, NOW_MS + 1)
    assert figures(merging.registry)[SWARM]["self"][0] == MAX_COMPLETED
    assert list(completed_records(table.encode_own(SWARM)))


def test_a_full_node_does_not_tell_of_what_it_did_not_count() -> None:
    table, merging, noted = table_of(registry_of(max_peers=1))
    table.count(SWARM, NOW_MS)
    table.count(OTHER_SWARM, NOW_MS)
    assert [key for _, key in noted] == [SWARM]
    assert merging.registry.refused_full == 1


def test_a_figure_of_an_earlier_life_is_counted_on_from() -> None:
    table, merging, noted = table_of()
    take(table, merging, EARLIER, [CompletedRecord(SWARM, 8, NOW_MS - 50)])
    # Another node of that name may be alive, and say so too.
    assert figures(merging.registry) == {SWARM: {"self": (8, NOW_MS - 50, EARLIER)}}
    assert noted == []
    table.take_over_all(NOW_MS)
    # A millisecond later, so that it wins on all nodes over the one that it takes the place of.
    assert figures(merging.registry) == {SWARM: {"self": (8, NOW_MS - 49, OWN_STREAM)}}
    assert noted == [(COMPLETED_TABLE, SWARM)]
    table.count(SWARM, NOW_MS)
    assert figures(merging.registry)[SWARM]["self"] == (9, NOW_MS, OWN_STREAM)
    # The earlier stream has nothing left here, so it can be forgotten.
    assert merging.registry.streams.rows(EARLIER) == 0
    check_counts(merging.registry)


def test_a_figure_from_the_future_is_not_taken_over_before_the_next_download() -> None:
    """The node would stamp ahead of its clock, which its hubs do not take; and others know that figure already."""
    table, merging, noted = table_of()
    take(table, merging, EARLIER, [CompletedRecord(SWARM, 8, NOW_MS + 500)])
    table.take_over_all(NOW_MS)
    assert figures(merging.registry) == {SWARM: {"self": (8, NOW_MS + 500, EARLIER)}}
    assert noted == []
    table.count(SWARM, NOW_MS + 1)
    assert figures(merging.registry) == {SWARM: {"self": (9, NOW_MS + 1, OWN_STREAM)}}
    assert noted == [(COMPLETED_TABLE, SWARM)]
    check_counts(merging.registry)


def test_what_was_counted_before_the_earlier_figure_came_is_not_added() -> None:
    """Figures are joined by their size; what a node counted while it did not know better is lost, and never doubled."""
    table, merging, _ = table_of()
    table.count(SWARM, NOW_MS)
    take(table, merging, EARLIER, [CompletedRecord(SWARM, 8, NOW_MS - 50)])
    assert figures(merging.registry)[SWARM]["self"][0] == 8
    take(table, merging, EARLIER, [CompletedRecord(SWARM, 7, NOW_MS)])
    assert figures(merging.registry)[SWARM]["self"][0] == 8


def test_other_nodes_take_the_figure_that_was_taken_over() -> None:
    """The next life's record wins over the earlier one's, in any order."""
    table, merging, _ = table_of()
    take(table, merging, EARLIER, [CompletedRecord(SWARM, 8, NOW_MS - 1)])
    table.take_over_all(NOW_MS)
    earlier, later = CompletedRecord(SWARM, 8, NOW_MS - 1), next(completed_records(table.encode_own(SWARM)))
    for order in ((earlier, later), (later, earlier)):
        other, other_merging, _ = table_of(registry_of(StreamId("hub", 1)))
        for record in order:
            take(other, other_merging, EARLIER if record is earlier else OWN_STREAM, [record])
        assert figures(other_merging.registry) == {SWARM: {"self": (8, NOW_MS, OWN_STREAM)}}


def test_after_a_restart_all_figures_of_the_earlier_life_are_taken_over() -> None:
    table, merging, noted = table_of()
    registry = merging.registry
    before = index_of(registry, EARLIER)
    registry.merge_completed(SWARM, "self", (5, NOW_MS, before))
    registry.merge_completed(OTHER_SWARM, "self", (6, NOW_MS, OWN))
    registry.merge_completed(OTHER_SWARM, "a", (7, NOW_MS, index_of(registry, A)))
    registry.swarm(b"empty".ljust(20))
    table.take_over_all(NOW_MS + 60)
    assert figures(registry) == {
        SWARM: {"self": (5, NOW_MS + 1, OWN_STREAM)},
        OTHER_SWARM: {"self": (6, NOW_MS, OWN_STREAM), "a": (7, NOW_MS, A)},
    }
    assert noted == [(COMPLETED_TABLE, SWARM)]
    registry.forget_if_empty(b"empty".ljust(20))
    check_counts(registry)


# ---------------------------------------------------------------- out

streams_with_records = st.lists(st.tuples(st.sampled_from([A, A2, B]), completed_lists), max_size=5)


@given(streams_with_records)
def test_the_snapshots_of_all_streams_are_all_figures(told: list[tuple[StreamId, list[CompletedRecord]]]) -> None:
    table, merging, _ = table_of()
    target, target_merging, _ = table_of()
    for stream, records in told:
        recent = [record._replace(at_ms=(1 << 48) - 1 - record.at_ms % COMPLETED_TTL_MS) for record in records]
        take(table, merging, stream, recent, ALWAYS)
    for stream in (A, A2, B):
        for section, count in table.snapshot(stream, index_of(merging.registry, stream), BASE, None):
            records = list(completed_records(section))
            assert len(records) == count
            take(target, target_merging, stream, records, ALWAYS)
    assert figures(target_merging.registry) == figures(merging.registry)
    check_counts(merging.registry)


def test_a_snapshot_holds_what_its_stream_said_last() -> None:
    table, merging, _ = table_of()
    take(table, merging, A, [CompletedRecord(SWARM, 1, NOW_MS), CompletedRecord(OTHER_SWARM, 2, NOW_MS)])
    take(table, merging, A2, [CompletedRecord(SWARM, 3, NOW_MS)])

    def snapshot(stream: StreamId, interest: set[bytes] | None = None) -> list[CompletedRecord]:
        pieces = table.snapshot(stream, index_of(merging.registry, stream), BASE, interest)
        return [record for section, _ in pieces for record in completed_records(section)]

    assert snapshot(A) == [CompletedRecord(OTHER_SWARM, 2, NOW_MS)]
    assert snapshot(A2) == [CompletedRecord(SWARM, 3, NOW_MS)]
    assert snapshot(A, {SWARM, b"unknown".ljust(20)}) == []
    assert snapshot(A, {OTHER_SWARM}) == [CompletedRecord(OTHER_SWARM, 2, NOW_MS)]


def test_figures_of_swarms_are_told_by_stream() -> None:
    table, merging, _ = table_of()
    take(table, merging, A, [CompletedRecord(SWARM, 1, NOW_MS), CompletedRecord(OTHER_SWARM, 2, NOW_MS)])
    take(table, merging, B, [CompletedRecord(SWARM, 3, NOW_MS)])
    [sections] = table.swarms([SWARM, b"unknown".ljust(20)], BASE)
    found = {merging.registry.streams.stream(index): list(completed_records(s)) for index, s in sections.items()}
    assert found == {A: [CompletedRecord(SWARM, 1, NOW_MS)], B: [CompletedRecord(SWARM, 3, NOW_MS)]}
    assert list(table.swarms([], BASE)) == []


def test_pieces_are_small() -> None:
    table, merging, _ = table_of()
    hashes = [number.to_bytes(20, "big") for number in range(5 * PIECE_RECORDS)]
    content = [CompletedRecord(info_hash, MAX_COMPLETED, NOW_MS) for info_hash in hashes]
    take(table, merging, A, content)
    pieces = list(table.snapshot(A, index_of(merging.registry, A), BASE, None))
    assert [count for _, count in pieces] == [PIECE_RECORDS] * 5
    assert max(len(section) for section, _ in pieces) < MAX_BODY_BYTES // 2
    assert [record for section, _ in pieces for record in completed_records(section)] == content
    parts = list(table.swarms(hashes, BASE))
    assert [len(list(completed_records(section))) for part in parts for section in part.values()] == [PIECE_RECORDS] * 5


def test_many_swarms_without_a_figure_make_pieces_too() -> None:
    table, merging, _ = table_of()
    for number in range(3 * PIECE_SWARMS):
        merging.registry.swarm(number.to_bytes(20, "big"))
    index = index_of(merging.registry, A)
    assert list(table.snapshot(A, index, BASE, None)) == [(b"", 0)] * 3
    assert list(table.swarms(list(merging.registry.swarms), BASE)) == [{}] * 3


def test_a_section_is_narrowed() -> None:
    table, _, _ = table_of()
    content = [CompletedRecord(SWARM, 3, NOW_MS), CompletedRecord(OTHER_SWARM, 4, NOW_MS)]
    assert table.narrow(completed_of(content), {SWARM}) == completed_of(content[:1])


# ---------------------------------------------------------------- a stream ends or begins anew


def test_a_node_that_begins_anew_keeps_its_figures_and_drops_what_is_from_the_future() -> None:
    table, merging, _ = table_of()
    hour = 3_600_000
    table.put_own(SWARM, 5, NOW_MS + hour)
    table.put_own(OTHER_SWARM, 6, NOW_MS - hour)
    changes = [CompletedRecord(SWARM, 1, NOW_MS + 500), CompletedRecord(b"t" * 20, 2, NOW_MS + 501)]
    take(table, merging, A, changes)

    after = StreamId("self", 78)
    merging.registry.streams.replace_own(after)
    table.begin_anew(NOW_MS << 16, (NOW_MS + 500) << 16, keeps_age=False)

    assert figures(merging.registry) == {
        SWARM: {"self": (5, NOW_MS, after), "a": (1, NOW_MS + 500, A)},
        # A millisecond later, so that it wins over the one of the stream before.
        OTHER_SWARM: {"self": (6, NOW_MS - hour + 1, after)},
    }
    assert b"t" * 20 not in merging.registry.swarms
    check_counts(merging.registry)
