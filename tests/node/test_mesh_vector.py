"""What a node says that it knows of each stream: where rows are lacking, and where there are some beside it."""

from __future__ import annotations

import pytest

from meshtracker.node.mesh import QUIET_SECONDS, RELAYED_MARGIN
from meshtracker.wire.vector import BEGINNING, NOWHERE, Position, StreamId, differ, has_rows_beside
from tests.mouth_to_mouth import NOW, node, rows
from tests.node.support import (
    MAX_FUTURE_MS,
    TABLE_NAMES,
    TORRENT,
    WALL_MS,
    X,
    allow,
    batch_of,
    have,
    listener_of,
    receive,
    record_of,
)


def test_rows_of_a_table_that_their_sender_lacks_are_lacking_here() -> None:
    owner = node("n")
    owner.mesh.finish_snapshot(X, Position(5, 9), NOW, tables=("peers",), replaces=False)
    assert owner.mesh.vector_for(("peers",))[X] == Position(5, 9)
    # To a node that has that table the stream is not known: it sends all of it.
    assert owner.mesh.vector_for(TABLE_NAMES)[X] == NOWHERE
    assert owner.mesh.vector()[X] == Position(5, 9)
    owner.mesh.begin_snapshot(X)
    owner.mesh.finish_snapshot(X, Position(5, 9), NOW, tables=TABLE_NAMES, replaces=False)
    assert owner.mesh.vector_for(TABLE_NAMES)[X] == Position(5, 9)


def test_of_a_stream_with_records_that_have_aged_out_nothing_is_missing() -> None:
    owner = listener_of()
    at_ms = WALL_MS - 4_500_001
    receive(owner, batch_of(record_of(1, stamp_ms=at_ms), record_of(2), base_ms=at_ms))
    assert owner.mesh.vector_for(TABLE_NAMES)[X] == owner.mesh.position(X)
    assert len(rows(owner)) == 1


def test_of_a_stream_some_records_of_which_are_from_the_future_all_is_asked_for_anew() -> None:
    """This clock or another was wrong: what was left out may be right when the link is made anew."""
    owner = listener_of()
    at_ms = WALL_MS + RELAYED_MARGIN * MAX_FUTURE_MS + 1
    receive(owner, batch_of(record_of(1, stamp_ms=at_ms), record_of(2), base_ms=min(at_ms, WALL_MS)))
    position = owner.mesh.position(X)
    assert position is not None
    assert position.sequence == 1
    assert owner.mesh.vector()[X] == position
    assert owner.mesh.vector_for(TABLE_NAMES)[X] == NOWHERE
    owner.mesh.begin_snapshot(X)
    owner.mesh.apply_rows(batch_of(record_of(2), sequence=0), NOW, is_direct=False, is_part=True)
    have(owner, X, Position(1, position.digest))
    assert owner.mesh.vector_for(TABLE_NAMES)[X] == position


def test_a_snapshot_that_breaks_off_does_not_bring_what_was_left_out() -> None:
    owner = listener_of()
    receive(owner, batch_of(record_of(1, stamp_ms=WALL_MS + RELAYED_MARGIN * MAX_FUTURE_MS + 1)))
    owner.mesh.begin_snapshot(X)
    owner.mesh.apply_rows(batch_of(record_of(2), sequence=0), NOW, is_direct=False, is_part=True)
    # The link is cut here: at the next one all is to be asked for again.
    assert owner.mesh.vector_for(TABLE_NAMES)[X] == NOWHERE


# ---------------------------------------------------------------- rows beside a stream


def test_rows_beside_a_stream_change_its_digest_so_that_others_are_sent_them() -> None:
    owner = listener_of()
    receive(owner, batch_of(record_of(1)))
    before, change = owner.mesh.position(X), owner.mesh.changes
    owner.mesh.note_rows_beside(X, NOW)
    after = owner.mesh.position(X)
    assert before is not None
    assert after is not None
    assert after.sequence == before.sequence
    assert differ(after.digest, before.digest)
    assert owner.mesh.changed_after(change) == [X]
    # Two that took in the same have the same digest.
    other = listener_of()
    receive(other, batch_of(record_of(1)))
    other.mesh.note_rows_beside(X, NOW)
    assert other.mesh.position(X) == after
    # Of one that was all unknown it can be told too.
    unread = StreamId("unread", 1)
    have(owner, unread, NOWHERE)
    owner.mesh.note_rows_beside(unread, NOW)
    position = owner.mesh.position(unread)
    assert position is not None
    assert position.sequence == 0
    assert position.digest not in (0, BEGINNING.digest)
    owner.mesh.note_rows_beside(StreamId("stranger", 1), NOW)
    assert owner.mesh.position(StreamId("stranger", 1)) is None


def test_a_node_that_is_not_whole_tells_of_no_rows_beside_a_stream() -> None:
    owner = listener_of(access=allow(TORRENT))
    receive(owner, batch_of(record_of(1)))
    before = owner.mesh.position(X)
    owner.mesh.note_rows_beside(X, NOW)
    assert owner.mesh.position(X) == before


def test_rows_that_the_streams_own_node_may_be_about_to_complete_are_told_of_once_it_is_silent() -> None:
    owner = listener_of()
    receive(owner, batch_of(record_of(1)))
    before = owner.mesh.position(X)
    owner.mesh.begin_snapshot(X)
    owner.mesh.apply_rows(batch_of(record_of(2), sequence=0), NOW, is_direct=True, is_part=True)
    owner.mesh.flush(NOW + QUIET_SECONDS - 1)
    assert owner.mesh.position(X) == before
    owner.mesh.flush(NOW + QUIET_SECONDS + 1)
    after = owner.mesh.position(X)
    assert before is not None
    assert after is not None
    assert after.sequence == before.sequence
    assert differ(after.digest, before.digest)
    # Once.
    owner.mesh.flush(NOW + 3 * QUIET_SECONDS)
    assert owner.mesh.position(X) == after


@pytest.mark.parametrize("is_covered", [True, False])
@pytest.mark.parametrize("by", ["batch", "snapshot"])
def test_rows_are_beside_nothing_once_a_batch_or_copy_has_come_that_is_stamped_as_late(
    by: str, *, is_covered: bool
) -> None:
    owner = listener_of()
    receive(owner, batch_of(record_of(1)))
    owner.mesh.begin_snapshot(X)
    late = record_of(2, stamp_ms=WALL_MS + 500)
    owner.mesh.apply_rows(batch_of(late, sequence=0), NOW, is_direct=True, is_part=True)
    # After a restart all of it is asked for.
    assert owner.mesh.vector_on_disk()[X] == NOWHERE
    if by == "batch":
        receive(owner, batch_of(sequence=2, base_ms=WALL_MS + 500 + is_covered))
    else:
        newest = late.stamp - (not is_covered)
        owner.mesh.finish_snapshot(X, Position(4, 44), NOW, tables=TABLE_NAMES, newest=newest)
    before = owner.mesh.position(X)
    assert (owner.mesh.vector_on_disk()[X] == before) is is_covered
    owner.mesh.flush(NOW + 2 * QUIET_SECONDS)
    after = owner.mesh.position(X)
    assert after is not None
    assert (after == before) is is_covered
    assert has_rows_beside(after) is not is_covered
    # The digest tells of them from now on, on the disk too.
    assert owner.mesh.vector_on_disk()[X] == after
