"""Records by their stamps: from the future, aged out, and older than what is known."""

from __future__ import annotations

import pytest

from meshtracker.errors import CloseCode, LinkError
from meshtracker.model import PeerState
from meshtracker.node.mesh import DIRECT_MARGIN, RELAYED_MARGIN
from meshtracker.wire.batch import Batch
from meshtracker.wire.peer_record import PeerRecord
from meshtracker.wire.vector import BEGINNING
from tests.mouth_to_mouth import NOW, node, rows
from tests.node.support import MAX_FUTURE_MS, WALL_MS, X, batch_of, listener_of, receive, record_of


@pytest.mark.parametrize("items", [(record_of(1),), (7,)], ids=["peers", "completed"])
def test_a_node_that_stamps_its_own_records_far_ahead_is_refused(items: tuple[PeerRecord | int, ...]) -> None:
    margin_ms = DIRECT_MARGIN * MAX_FUTURE_MS
    owner = listener_of()

    def ahead(milliseconds: int) -> Batch:
        moved = [record_of(1, stamp_ms=WALL_MS + milliseconds) if isinstance(i, PeerRecord) else i for i in items]
        return batch_of(*moved, at_ms=WALL_MS + milliseconds)

    with pytest.raises(LinkError, match="x stamps its records 120 s ahead of the clock of n") as caught:
        receive(owner, ahead(margin_ms + 1), is_direct=True)
    assert caught.value.code is CloseCode.FUTURE
    assert owner.mesh.position(X) == BEGINNING
    assert owner.mesh.statistics().future_records == 1
    assert owner.registry.rows == 0
    assert receive(owner, ahead(margin_ms), is_direct=True) == 1
    assert owner.registry.rows == 1


@pytest.mark.parametrize("forwards", [True, False])
def test_relayed_records_that_are_stamped_far_ahead_are_left_out_and_the_link_stays(forwards: bool) -> None:
    margin_ms = RELAYED_MARGIN * MAX_FUTURE_MS
    owner = listener_of(forwards=forwards)
    batch = batch_of(
        record_of(1), record_of(2, stamp_ms=WALL_MS + margin_ms), record_of(3, stamp_ms=WALL_MS + margin_ms + 1)
    )
    assert receive(owner, batch) == 3
    assert {identity[0] for _, _, identity in rows(owner)} == {1, 2}
    figures = owner.mesh.statistics()
    assert (figures.future_records, figures.stale_records) == (1, 1)
    # It is known all the same, and others may judge for themselves.
    position = owner.mesh.position(X)
    assert position is not None
    assert position.sequence == 1
    receive(owner, batch_of(5, sequence=2, at_ms=WALL_MS + margin_ms + 1))
    assert owner.registry.completions == 0
    receive(owner, batch_of(5, sequence=3, at_ms=WALL_MS + margin_ms))
    assert owner.registry.completions == 1


def test_rows_of_a_snapshot_are_judged_like_batches() -> None:
    owner = node("n")
    far = WALL_MS + DIRECT_MARGIN * MAX_FUTURE_MS + 1
    with pytest.raises(LinkError) as caught:
        owner.mesh.apply_rows(batch_of(record_of(1, stamp_ms=far), sequence=0), NOW, is_direct=True, is_part=True)
    assert caught.value.code is CloseCode.FUTURE
    assert owner.mesh.position(X) is None
    assert owner.mesh.apply_rows(
        batch_of(record_of(1, stamp_ms=far), sequence=0), NOW, is_direct=False, is_part=True
    ) == (
        1,
        1,
        far << 16,
    )
    # How many records there were, how many of them were news, and the latest stamp.
    again = batch_of(record_of(1, stamp_ms=far), record_of(2), sequence=0)
    assert owner.mesh.apply_rows(again, NOW, is_direct=False, is_part=True) == (2, 1, far << 16)
    assert len(rows(owner)) == 2


def test_what_has_aged_out_does_not_come_back() -> None:
    owner = listener_of()
    old_ms = WALL_MS - 4500 * 1000 - 1
    assert receive(owner, batch_of(record_of(1, stamp_ms=old_ms), record_of(2), base_ms=old_ms)) == 2
    assert len(rows(owner)) == 1
    assert owner.mesh.statistics().stale_records == 1


def test_a_removal_wins_over_an_older_announce_that_comes_later() -> None:
    owner = listener_of()
    receive(owner, batch_of(record_of(1, stamp_ms=WALL_MS + 5, state=PeerState.REMOVED)))
    receive(owner, batch_of(record_of(1, stamp_ms=WALL_MS + 4), sequence=2))
    assert owner.registry.peers == 0
    assert owner.registry.tombstones == 1
