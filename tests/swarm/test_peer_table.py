"""The table of peers: records come in and go out again as they are, in pieces of a bounded size."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtracker.errors import WireError
from meshtracker.model import PeerState, Window
from meshtracker.swarm.access import Access
from meshtracker.swarm.merging import Merging
from meshtracker.swarm.peer_table import GROUP_ROWS, PEER_TABLE, PIECE_BYTES, PIECE_ROWS, PeerTable
from meshtracker.swarm.registry import Registry
from meshtracker.wire.batch import MAX_BODY_BYTES
from meshtracker.wire.peer_record import PeerRecord, encode_group, encode_record
from meshtracker.wire.vector import StreamId
from tests.swarm.support import OWN_STREAM, check_counts, index_of, merging_of, registry_of
from tests.wire.link_support import BASE_MS, peer_groups, peers_of, read_peers

A, A2, B = StreamId("a", 1), StreamId("a", 2), StreamId("b", 1)
FROM = BASE_MS << 16
"""The first stamp of the millisecond from which stamps are counted."""
ALWAYS = Window(oldest=0, now=FROM, newest=(1 << 64) - 1)
SWARM, OTHER_SWARM = b"s" * 20, b"o" * 20


def table_of(
    registry: Registry | None = None, *, access: Access | None = None, forwards: bool = False
) -> tuple[PeerTable, Merging]:
    merging = merging_of(registry or registry_of(), access=access, forwards=forwards)
    return PeerTable(merging), merging


def record_of(client: int, *, after_ms: int = 0, state: PeerState = PeerState.LEECHER, size: int = 6) -> PeerRecord:
    address = b"" if state is PeerState.REMOVED else b"\1" + client.to_bytes(size - 3, "big") + b"\0\1"
    return PeerRecord(client.to_bytes(24, "big"), (BASE_MS + after_ms) << 16, state, size, address)


def take(
    table: PeerTable,
    merging: Merging,
    stream: StreamId,
    section: bytes,
    *,
    window: Window = ALWAYS,
    strict: bool = True,
) -> int:
    """Read and apply a section as the node does; returns how many records changed something."""
    changes = table.read(section, FROM, strict=strict)
    return table.apply(stream, index_of(merging.registry, stream), changes, window)


def rows(registry: Registry) -> set[tuple[Any, ...]]:
    """Info-hash, family, identity, address, stamp, state and stream of all rows."""
    stream = registry.streams.stream
    return {
        (info_hash, pack.address_bytes, row.identity, address, row.stamp, row.state, stream(row.origin))
        for info_hash, swarm in registry.swarms.items()
        for pack in swarm.packs()
        for row, address in pack.entries()
    }


def copied(source: PeerTable, merging: Merging, base: int, interest: set[bytes] | None = None) -> Registry:
    """Another registry with all that the snapshots of the first one hold."""
    target, target_merging = table_of()
    for stream in [stream for stream in merging.registry.streams.streams if stream is not None]:
        index = index_of(merging.registry, stream)
        for section, count in source.snapshot(stream, index, base, interest):
            changes = target.read(section, base, strict=True)
            assert changes.count == count
            target.apply(stream, index_of(target_merging.registry, stream), changes, ALWAYS)
    return target_merging.registry


# ---------------------------------------------------------------- in


def test_records_are_read_with_their_number_and_the_latest_stamp() -> None:
    table, _ = table_of()
    content = [(SWARM, [record_of(1, after_ms=5), record_of(2, after_ms=9)]), (OTHER_SWARM, [record_of(3)])]
    changes = table.read(peers_of(content), FROM, strict=True)
    assert (changes.groups, changes.count, changes.left_out) == (content, 3, 0)
    assert changes.newest == (BASE_MS + 9) << 16
    nothing = table.read(b"", FROM, strict=True)
    assert (nothing.count, nothing.newest) == (0, 0)


def test_what_nobody_honest_writes_is_left_out_of_relayed_records() -> None:
    table, merging = table_of()
    bad = PeerRecord(b"x" * 24, FROM + (99 << 16), PeerState.SEEDER, 6, bytes(6))
    section = peers_of([(SWARM, [record_of(1), bad])])
    with pytest.raises(WireError):
        table.read(section, FROM, strict=True)
    changes = table.read(section, FROM, strict=False)
    # It is counted as a record, as the sender counts it; its stamp is nobody's.
    assert (changes.count, changes.left_out, changes.newest) == (2, 1, record_of(1).stamp)
    assert table.apply(B, index_of(merging.registry, B), changes, ALWAYS) == 1


@given(st.binary(max_size=200), st.booleans())
def test_arbitrary_bytes(section: bytes, strict: bool) -> None:
    table, merging = table_of()
    with contextlib.suppress(WireError):
        take(table, merging, A, section, strict=strict)
    check_counts(merging.registry)


@given(peer_groups)
def test_each_record_is_applied_lost_or_dropped(content: list[tuple[bytes, list[PeerRecord]]]) -> None:
    table, merging = table_of()
    count = sum(len(found) for _, found in content)
    applied = take(table, merging, A, peers_of(content))
    assert merging.applied == applied
    assert (merging.applied + merging.stale, merging.dropped) == (count, 0)
    # A second time nothing is news.
    assert take(table, merging, A, peers_of(content)) == 0
    assert merging.stale == 2 * count - applied
    check_counts(merging.registry)


def test_records_that_have_aged_out_or_are_from_the_future_are_passed_over() -> None:
    table, merging = table_of()
    found = [record_of(client, after_ms=client) for client in range(1, 6)]
    section = peers_of([(SWARM, found), (OTHER_SWARM, found[:1])])
    assert take(table, merging, A, section, window=Window(found[1].stamp, found[1].stamp, found[3].stamp)) == 3
    assert {row[4] for row in rows(merging.registry)} == {record.stamp for record in found[1:4]}
    assert merging.stale == 3
    # A swarm of which nothing was taken is not there.
    assert list(merging.registry.swarms) == [SWARM]


@pytest.mark.parametrize(("forwards", "kept"), [(False, {SWARM}), (True, {SWARM, OTHER_SWARM})])
def test_a_leaf_drops_what_it_does_not_serve(forwards: bool, kept: set[bytes]) -> None:
    table, merging = table_of(access=Access("allow", frozenset({SWARM})), forwards=forwards)
    take(table, merging, A, peers_of([(SWARM, [record_of(1)]), (OTHER_SWARM, [record_of(2), record_of(3)])]))
    assert set(merging.registry.swarms) == kept
    assert merging.dropped == (0 if forwards else 2)


def test_a_node_that_is_exhausted_adds_no_rows_and_this_node_always_may() -> None:
    table, merging = table_of(registry_of(max_peers_per_node=2))
    take(table, merging, A, peers_of([(SWARM, [record_of(1), record_of(2)])]))
    assert take(table, merging, A2, peers_of([(SWARM, [record_of(3)])])) == 0
    assert take(table, merging, A2, peers_of([(SWARM, [record_of(1, after_ms=1)])])) == 1
    assert take(table, merging, B, peers_of([(SWARM, [record_of(4)])])) == 1
    assert take(table, merging, OWN_STREAM, peers_of([(SWARM, [record_of(client) for client in range(5, 9)])])) == 4
    check_counts(merging.registry)


# ---------------------------------------------------------------- out

streams_with_records = st.lists(st.tuples(st.sampled_from([OWN_STREAM, A, A2, B]), peer_groups), max_size=6)


@given(streams_with_records)
def test_the_snapshots_of_all_streams_are_all_rows(
    told: list[tuple[StreamId, list[tuple[bytes, list[PeerRecord]]]]],
) -> None:
    table, merging = table_of()
    for stream, content in told:
        take(table, merging, stream, peers_of(content))
    assert rows(copied(table, merging, FROM)) == rows(merging.registry)


def test_a_snapshot_holds_the_rows_of_its_stream_only() -> None:
    table, merging = table_of()
    take(table, merging, A, peers_of([(SWARM, [record_of(1), record_of(2, state=PeerState.REMOVED, size=18)])]))
    take(table, merging, B, peers_of([(SWARM, [record_of(3, size=18)]), (OTHER_SWARM, [record_of(4)])]))
    [(section, count)] = table.snapshot(A, index_of(merging.registry, A), FROM, None)
    assert count == 2
    assert read_peers(section) == [(SWARM, [record_of(1), record_of(2, state=PeerState.REMOVED, size=18)])]
    assert list(table.snapshot(A2, index_of(merging.registry, A2), FROM, None)) == []


def test_a_snapshot_is_narrowed_to_what_is_wanted() -> None:
    table, merging = table_of()
    take(table, merging, A, peers_of([(SWARM, [record_of(1)]), (OTHER_SWARM, [record_of(2)])]))
    found = copied(table, merging, FROM, {OTHER_SWARM, b"unknown" + bytes(13)})
    assert rows(found) == {row for row in rows(merging.registry) if row[0] == OTHER_SWARM}


def test_rows_older_than_the_base_are_left_out() -> None:
    """They are about to age out everywhere, and a record cannot be stamped before its base."""
    table, merging = table_of()
    take(table, merging, A, peers_of([(SWARM, [record_of(client, after_ms=client) for client in range(1, 5)])]))
    base = (BASE_MS + 3) << 16
    assert {row[4] >> 16 for row in rows(copied(table, merging, base))} == {BASE_MS + 3, BASE_MS + 4}
    [sections] = table.swarms([SWARM], base)
    assert len(read_peers(sections[index_of(merging.registry, A)], base)[0][1]) == 2
    assert list(table.swarms([SWARM], (BASE_MS + 99) << 16)) == []


def crowd(registry: Registry, *, swarms: int, clients: int) -> None:
    """Rows of two streams, in both families."""
    indexes = [index_of(registry, stream) for stream in (A, B)]
    for number in range(swarms):
        swarm = registry.swarm(number.to_bytes(20, "big"))
        for client in range(clients):
            record = record_of(client, after_ms=client, size=18 if client % 2 else 6)
            row = record.identity, record.stamp, indexes[client % 3 == 0], record.state
            registry.merge(swarm, row, record.address, record.address_bytes)


@pytest.mark.parametrize(("swarms", "clients"), [(1, 3000), (700, 3), (40, 2 * GROUP_ROWS - 2), (5, 2 * GROUP_ROWS)])
def test_pieces_are_small_whatever_the_swarms(swarms: int, clients: int) -> None:
    table, merging = table_of()
    crowd(merging.registry, swarms=swarms, clients=clients)
    pieces = [
        section
        for stream in (A, B)
        for section, _ in table.snapshot(stream, index_of(merging.registry, stream), FROM, None)
    ]
    parts = list(table.swarms(list(merging.registry.swarms), FROM))
    assert len(pieces) > 2
    assert len(parts) > 1
    # A piece is sent once it has grown to `PIECE_BYTES`, and the group that it tips over by is bounded.
    largest_group = GROUP_ROWS * 2 * 50 + 24
    assert max(map(len, pieces)) < PIECE_BYTES + largest_group < MAX_BODY_BYTES
    assert max(sum(map(len, part.values())) for part in parts) < PIECE_BYTES + largest_group
    assert rows(copied(table, merging, FROM)) == rows(merging.registry)
    target, target_merging = table_of()
    for part in parts:
        for index, section in part.items():
            take(target, target_merging, merging.registry.streams.stream(index), section)
    assert rows(target_merging.registry) == rows(merging.registry)


def test_many_swarms_without_a_row_of_the_stream_make_pieces_too() -> None:
    """Or to look for the few rows of a stream would hold up everything else."""
    table, merging = table_of()
    crowd(merging.registry, swarms=3 * PIECE_ROWS, clients=1)
    pieces = list(table.snapshot(A, index_of(merging.registry, A), FROM, None))
    assert all(piece == (b"", 0) for piece in pieces)
    assert len(pieces) >= 3


def test_rows_that_come_and_go_meanwhile_do_no_harm() -> None:
    table, merging = table_of()
    crowd(merging.registry, swarms=30, clients=100)
    before = rows(merging.registry)
    target, target_merging = table_of()
    index = index_of(merging.registry, A)
    for number, (section, _) in enumerate(table.snapshot(A, index, FROM, None)):
        take(target, target_merging, A, section)
        if number == 0:
            take(table, merging, A, peers_of([(b"new".ljust(20), [record_of(1)])]))
            last = merging.registry.swarms[(29).to_bytes(20, "big")]
            for pack in last.packs():
                while len(pack):
                    merging.registry.drop(last, pack, 0)
            merging.registry.forget_if_empty((29).to_bytes(20, "big"))
    assert rows(target_merging.registry) == {
        row for row in before if row[-1] == A and row[0] != (29).to_bytes(20, "big")
    }


def test_rows_of_swarms_are_told_by_stream() -> None:
    table, merging = table_of()
    take(table, merging, A, peers_of([(SWARM, [record_of(1), record_of(2, size=18)]), (OTHER_SWARM, [record_of(3)])]))
    take(table, merging, B, peers_of([(SWARM, [record_of(4)])]))
    [sections] = table.swarms([SWARM, b"unknown" + bytes(13)], FROM)
    found = {
        merging.registry.streams.stream(index): sorted(
            int.from_bytes(record.identity)
            for info_hash, group in read_peers(section)
            for record in group
            if record is not None and info_hash == SWARM
        )
        for index, section in sections.items()
    }
    assert found == {A: [1, 2], B: [4]}


def test_a_section_is_narrowed_without_a_look_at_its_records() -> None:
    table, _ = table_of()
    kept = peers_of([(SWARM, [record_of(1)])])
    assert table.narrow(encode_group(OTHER_SWARM, b"\xff" * 9) + kept, {SWARM}) == kept


def test_own_records_are_not_made_here() -> None:
    """What clients change goes into a batch as it comes."""
    table, merging = table_of()
    take(table, merging, OWN_STREAM, peers_of([(SWARM, [record_of(1)])]))
    assert table.encode_own(SWARM) == b""
    assert (table.kind, table.name) == (PEER_TABLE, "peers") == (1, "peers")


# ---------------------------------------------------------------- a stream ends or begins anew


@pytest.mark.parametrize("keeps_age", [True, False])
def test_a_node_that_begins_anew_stamps_its_own_rows_and_drops_what_is_from_the_future(*, keeps_age: bool) -> None:
    table, merging = table_of()
    own = [
        record_of(1, after_ms=90_000),
        record_of(2, state=PeerState.REMOVED, after_ms=90_000, size=18),
        record_of(3, size=18, state=PeerState.SEEDER),
    ]
    take(table, merging, OWN_STREAM, peers_of([(SWARM, own)]))
    others = [record_of(4, after_ms=500), record_of(5, after_ms=501)]
    take(table, merging, A, peers_of([(SWARM, others[:1]), (OTHER_SWARM, others[1:])]))
    before = merging.registry.peers
    stamp, after = (BASE_MS + 100) << 16, StreamId("self", 78)
    merging.registry.streams.replace_own(after)

    table.begin_anew(stamp, (BASE_MS + 500) << 16, keeps_age=keeps_age)

    stamps = [record.stamp + 1 if keeps_age else stamp for record in own]
    mine = {
        (SWARM, record.address_bytes, record.identity, record.address or bytes(18), at, record.state, after)
        for record, at in zip(own, stamps, strict=True)
    }
    theirs = (SWARM, 6, others[0].identity, others[0].address, others[0].stamp, PeerState.LEECHER, A)
    assert rows(merging.registry) == mine | {theirs}
    assert OTHER_SWARM not in merging.registry.swarms
    assert merging.registry.peers == before - 1
    check_counts(merging.registry)


@given(streams_with_records)
def test_to_begin_anew_keeps_every_own_row(told: list[tuple[StreamId, list[tuple[bytes, list[PeerRecord]]]]]) -> None:
    table, merging = table_of()
    for stream, content in told:
        take(table, merging, stream, peers_of(content))
    mine = {row[:4] + row[5:] for row in rows(merging.registry) if row[-1] == OWN_STREAM}
    table.begin_anew(FROM, 0, keeps_age=False)
    assert {row[:4] + row[5:] for row in rows(merging.registry)} == mine
    assert {row[4] for row in rows(merging.registry)} <= {FROM}
    assert merging.registry.streams.rows(OWN_STREAM) == len(mine)
    check_counts(merging.registry)


def test_the_largest_record_is_as_large_as_reckoned() -> None:
    record = PeerRecord(bytes(24), (BASE_MS + (1 << 28) - 1) << 16 | 65535, PeerState.SEEDER, 18, b"\1" * 18)
    assert len(encode_record(record, FROM)) == 50
