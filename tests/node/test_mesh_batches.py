"""Batches of other nodes: in order and once, all or nothing, and what of them is passed over or passed on."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtracker.errors import CloseCode, LinkError, WireError
from meshtracker.node.mesh import QUIET_SECONDS
from meshtracker.node.node import Node
from meshtracker.swarm.access import Access
from meshtracker.swarm.completed_table import COMPLETED_TABLE
from meshtracker.swarm.peer_table import PEER_TABLE
from meshtracker.wire.batch import Batch, Section, decode_batch, encode_batch
from meshtracker.wire.frame import FrameType
from meshtracker.wire.peer_record import PeerRecord
from meshtracker.wire.vector import BEGINNING, Position, StreamId, chain
from tests.mouth_to_mouth import NOW, node, rows, settle, synced
from tests.node.support import TORRENT, WALL_MS, X, batch_of, have, listener_of, opened, receive, record_of

UNKNOWN = 77
"""Kind of a table that nobody has."""


def test_batches_come_in_order_and_once() -> None:
    owner = listener_of()
    assert receive(owner, batch_of(record_of(1))) == 1
    assert receive(owner, batch_of(record_of(1))) is None
    with pytest.raises(LinkError) as caught:
        receive(owner, batch_of(sequence=3))
    assert caught.value.code is CloseCode.GAP
    assert receive(owner, batch_of(record_of(2), sequence=2)) == 1
    assert len(rows(owner)) == 2
    assert owner.mesh.statistics().applied_batches == 2
    frame = owner.mesh.frame(X, 2)
    assert frame is not None
    assert opened(frame) == opened(encode_batch(FrameType.BATCH, batch_of(record_of(2), sequence=2)))
    digest = BEGINNING.digest
    for sequence in (1, 2):
        digest = chain(digest, opened(owner.mesh.frame(X, sequence) or b"")[1])
    assert owner.mesh.position(X) == (2, digest)


def test_two_lives_of_one_name_are_two_streams() -> None:
    """Neither is the later one: incarnations are not compared."""
    owner = listener_of()
    receive(owner, batch_of(record_of(1)))
    for incarnation in (499, 501):
        stream = StreamId("x", incarnation)
        receive(owner, batch_of(record_of(incarnation - 490), stream=stream))
        assert owner.mesh.rows(stream) == 1
    assert owner.mesh.rows(X) == 1
    assert {stream for stream in owner.mesh.vector() if stream.name == "x"} == {
        X,
        StreamId("x", 499),
        StreamId("x", 501),
    }


def test_a_stream_that_is_not_known_is_taken_up_at_its_first_batch() -> None:
    owner = node("n")
    with pytest.raises(LinkError, match="batch 9 of x came after 0") as caught:
        receive(owner, batch_of(record_of(1), sequence=9))
    assert caught.value.code is CloseCode.GAP
    assert owner.mesh.position(X) is None
    first = batch_of(record_of(2))
    assert receive(owner, first) == 1
    payload = opened(encode_batch(FrameType.BATCH, first))[1]
    assert owner.mesh.position(X) == Position(1, chain(BEGINNING.digest, payload))


def test_a_stream_that_was_forgotten_is_taken_up_where_it_was() -> None:
    owner = node("n")
    have(owner, X, Position(8, 88))
    assert not owner.mesh.has_forgotten(X)
    owner.mesh.flush(NOW + QUIET_SECONDS + 1)
    assert owner.mesh.position(X) is None
    assert owner.mesh.has_forgotten(X)
    for sequence in (1, 8):
        assert receive(owner, batch_of(record_of(1), sequence=sequence)) is None
    with pytest.raises(LinkError, match="batch 10 of x came after 8"):
        receive(owner, batch_of(record_of(1), sequence=10))
    assert owner.mesh.position(X) is None
    following = batch_of(record_of(1), sequence=9)
    assert receive(owner, following) == 1
    assert owner.mesh.position(X) == Position(9, chain(88, opened(encode_batch(FrameType.BATCH, following))[1]))
    assert not owner.mesh.has_forgotten(X)


def test_a_batch_that_is_half_rubbish_is_not_taken_for_known() -> None:
    owner = listener_of()
    whole = batch_of(record_of(1))
    [(kind, section)] = whole.sections
    with pytest.raises(WireError):
        receive(owner, Batch(X, 1, whole.base, ((kind, section + b"rubbish"),)), is_direct=True)
    assert owner.mesh.position(X) == BEGINNING
    assert receive(owner, whole, is_direct=True) == 1


def test_a_relayed_section_that_cannot_be_read_is_passed_over_and_passed_on() -> None:
    """The hub on the way may have no such table, so it is not to blame."""
    owner = listener_of(forwards=True)
    damaged = batch_of(record_of(1), others=((COMPLETED_TABLE, b"rubbish"),))
    assert receive(owner, damaged) == 1
    assert len(rows(owner)) == 1
    assert owner.mesh.statistics().left_out_records == 1
    assert opened(owner.mesh.frame(X, 1) or b"")[1] == opened(encode_batch(FrameType.BATCH, damaged))[1]


def test_a_record_with_an_address_that_no_peer_can_have() -> None:
    impossible = PeerRecord(b"i" * 24, WALL_MS << 16, 0, 6, b"\xe0\0\0\1\x1a\xe1")
    owner = listener_of()
    with pytest.raises(WireError, match="an address that no peer can have"):
        receive(owner, batch_of(record_of(1), impossible), is_direct=True)
    assert not rows(owner)
    assert receive(owner, batch_of(record_of(1), impossible)) == 2
    assert len(rows(owner)) == 1
    assert owner.mesh.statistics().left_out_records == 1


def test_a_leaf_drops_what_it_does_not_serve_and_a_hub_does_not() -> None:
    closed = Access("deny", frozenset({TORRENT}))
    for forwards, held in ((False, 0), (True, 1)):
        owner = listener_of(forwards=forwards, access=closed)
        assert receive(owner, batch_of(record_of(1), 3)) == 2
        assert len(rows(owner)) == owner.registry.completions == held
        assert owner.mesh.statistics().dropped_records == 2 - 2 * held


def test_sections_of_unknown_tables_are_relayed_unread_and_counted() -> None:
    owner = listener_of(forwards=True)
    batch = batch_of(record_of(1), others=((UNKNOWN, b"no table here can read this"), (UNKNOWN + 1, b"")))
    for is_direct, sequence in ((True, 1), (False, 2)):
        sent = Batch(X, sequence, batch.base, batch.sections)
        assert receive(owner, sent, is_direct=is_direct) == 1
        assert opened(owner.mesh.frame(X, sequence) or b"") == opened(encode_batch(FrameType.BATCH, sent))
    assert owner.mesh.statistics().unknown_sections == 4
    assert len(rows(owner)) == 1


def test_sections_of_unknown_tables_come_through_a_hub_to_a_node_that_may_know_them() -> None:
    hub, other = node("hub", forwards=True), node("other")
    link = synced(other, hub)
    receive(hub, batch_of(record_of(1)))
    settle(link)
    sent = batch_of(sequence=2, others=((UNKNOWN, b"of a later release"),))
    receive(hub, sent)
    settle(link)
    assert decode_batch(opened(other.mesh.frame(X, 2) or b"")[1]) == sent
    assert other.mesh.statistics().unknown_sections == 1


# ---------------------------------------------------------------- all or nothing


def state_of(owner: Node) -> tuple[Any, ...]:
    """All that a batch may change."""
    completed = {
        info_hash: dict(swarm.completed) for info_hash, swarm in owner.registry.swarms.items() if swarm.completed
    }
    log = owner.mesh.logs
    return (
        owner.mesh.vector(),
        rows(owner),
        completed,
        owner.registry.statistics(),
        log.statistics(NOW),
        log.changes,
        owner.registry.streams.streams[:],
        owner.mesh.statistics().applied_batches,
    )


_DAMAGED = st.one_of(
    st.binary(max_size=80),
    st.integers(0, 60).map(lambda cut: batch_of(record_of(2), record_of(3)).sections[0][1][:cut]),
    st.just(batch_of(record_of(2)).sections[0][1] + b"\0"),
)
_SECTIONS: st.SearchStrategy[list[Section]] = st.lists(
    st.one_of(
        st.tuples(st.sampled_from((PEER_TABLE, COMPLETED_TABLE, UNKNOWN)), _DAMAGED),
        st.sampled_from(batch_of(record_of(2), record_of(3, stamp_ms=WALL_MS + 10**6), 4, 5).sections),
        st.sampled_from(batch_of(9, at_ms=WALL_MS + 10**6).sections),
    ),
    max_size=4,
)


@given(
    sections=_SECTIONS,
    sequence=st.integers(1, 5),
    stream=st.sampled_from((X, StreamId("x", 501), StreamId("n", 4))),
    is_direct=st.booleans(),
    as_rows=st.booleans(),
    exhausted=st.booleans(),
)
def test_a_batch_that_is_not_taken_changes_nothing_at_all(
    sections: list[Section], sequence: int, stream: StreamId, is_direct: bool, as_rows: bool, exhausted: bool
) -> None:
    owner = listener_of(max_peers_per_node=1 if exhausted else 1000)
    receive(owner, batch_of(record_of(1)))
    before = state_of(owner)
    batch = Batch(stream, sequence, WALL_MS << 16, tuple(sections))
    try:
        if as_rows:
            taken: int | None = owner.mesh.apply_rows(batch, NOW, is_direct=is_direct, is_part=True)[0]
        else:
            taken = receive(owner, batch, is_direct=is_direct)
    except (LinkError, WireError):
        taken = None
    if taken is None:
        assert state_of(owner) == before
    elif not as_rows:
        position = owner.mesh.position(stream)
        assert position is not None
        assert position.sequence == sequence
