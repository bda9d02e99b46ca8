"""Rows beside a stream, of which a position says nothing: its digest tells of them."""

from __future__ import annotations

import attrs
import pytest

from meshtracker.node.node import Node
from meshtracker.wire.batch import Batch, decode_batch, encode_batch
from meshtracker.wire.frame import HEADER, FrameType
from meshtracker.wire.link import encode_burst
from meshtracker.wire.vector import BEGINNING, NOWHERE, Position
from tests.link.receiving import THIRD, begin, end, plan, receiver_of
from tests.link.support import batch_of
from tests.mouth_to_mouth import NOW, node, synced


def piece_of(*numbers: int) -> list[Batch]:
    """Pieces of a snapshot of the stream named third, with a peer each."""
    return [decode_batch(batch_of("third", 1, number)[HEADER.size :]) for number in numbers]


def knows(here: Node, position: Position, *numbers: int) -> Node:
    """A node that knows the stream named third up to a position, with those peers."""
    receiver = receiver_of(here)
    begin(receiver, plan())
    for piece in piece_of(*numbers):
        receiver.snapshot(piece, NOW)
    end(receiver, THIRD, *position, records=len(numbers))
    assert here.mesh.position(THIRD) == position
    return here


@pytest.mark.parametrize(
    ("sequence", "numbers", "is_other"),
    [
        # Who counts as one that knows no more has sent a row that was not known: others lack it too.
        (5, (1, 2), True),
        (4, (2,), True),
        # Nothing new, as it is of all that are honest.
        (5, (1,), False),
        (5, (), False),
    ],
)
def test_rows_that_a_position_does_not_cover_change_its_digest(
    sequence: int, numbers: tuple[int, ...], *, is_other: bool
) -> None:
    here = knows(node("here"), Position(5, 55), 1)
    receiver = receiver_of(here)
    digest = 11 * sequence
    begin(receiver, attrs.evolve(plan(), position=Position(sequence, digest)))
    for piece in piece_of(*numbers):
        receiver.snapshot(piece, NOW)
    end(receiver, THIRD, sequence, digest, records=len(numbers))
    position = here.mesh.position(THIRD)
    assert position is not None
    assert position.sequence == 5
    assert (position.digest != 55) is is_other
    assert position.digest


def test_rows_of_a_stream_that_goes_further_are_covered() -> None:
    here = knows(node("here"), Position(5, 55), 1)
    receiver = receiver_of(here)
    begin(receiver, attrs.evolve(plan(), position=Position(9, 99)))
    for piece in piece_of(1, 2, 3):
        receiver.snapshot(piece, NOW)
    end(receiver, THIRD, 9, 99, records=3)
    assert here.mesh.position(THIRD) == Position(9, 99)


def test_who_takes_the_hubs_word_takes_its_digest_whatever_came() -> None:
    here = knows(node("here"), Position(5, 55), 1)
    receiver = receiver_of(here, may_speak=False)
    begin(receiver, attrs.evolve(plan(conflict=True), position=Position(5, 11)))
    for piece in piece_of(2, 3):
        receiver.snapshot(piece, NOW)
    end(receiver, THIRD, 5, 11, records=2)
    assert here.mesh.position(THIRD) == Position(5, 11)


@pytest.mark.parametrize("numbers", [(), (1,), (2,), (1, 2)])
@pytest.mark.parametrize("is_cut", [True, False])
def test_what_came_of_a_snapshot_without_an_end_reaches_the_others_too(
    numbers: tuple[int, ...], *, is_cut: bool
) -> None:
    """The link was lost, or the peer goes on in another way."""
    here = knows(node("here"), Position(5, 55), 1)
    receiver = receiver_of(here)
    begin(receiver, attrs.evolve(plan(), position=Position(9, 99)))
    for piece in piece_of(*numbers):
        receiver.snapshot(piece, NOW)
    if is_cut:
        receiver.stop(NOW)
    else:
        begin(receiver, plan(full=False))
    position = here.mesh.position(THIRD)
    assert position is not None
    assert position.sequence == 5
    assert (position.digest != 55) is (2 in numbers)
    # Once.
    receiver.stop(NOW)
    assert here.mesh.position(THIRD) == position


def test_what_came_of_a_snapshot_that_is_begun_again_is_not_forgotten() -> None:
    here = knows(node("here"), Position(5, 55), 1)
    receiver = receiver_of(here)
    begin(receiver, plan())
    for piece in piece_of(2):
        receiver.snapshot(piece, NOW)
    begin(receiver, plan())
    for piece in piece_of(1, 2):
        receiver.snapshot(piece, NOW)
    end(receiver, THIRD, 5, records=2)
    position = here.mesh.position(THIRD)
    assert position is not None
    assert position.digest not in (0, 55)


def test_rows_of_a_stream_that_is_not_complete_are_told_of_by_a_digest_too() -> None:
    here = node("here")
    receiver = receiver_of(here)
    begin(receiver, plan())
    for piece in piece_of(1, 2):
        receiver.snapshot(piece, NOW)
    assert here.mesh.position(THIRD) == NOWHERE
    receiver.stop(NOW)
    position = here.mesh.position(THIRD)
    assert position is not None
    assert position.sequence == 0
    assert position.digest not in (NOWHERE.digest, BEGINNING.digest)


def test_a_link_that_is_cut_stops_its_receiver() -> None:
    here, hub = node("here"), node("hub", forwards=True)
    knows(here, Position(5, 55), 1)
    link = synced(here, hub)
    for data in (
        encode_burst([attrs.evolve(plan(), position=Position(9, 99))]),
        encode_batch(FrameType.SNAPSHOT, piece_of(2)[0]),
    ):
        link.leaf.receive_data(data, NOW)
    assert here.mesh.position(THIRD) == Position(5, 55)
    link.cut()
    position = here.mesh.position(THIRD)
    assert position is not None
    assert (position.sequence, position.digest != 55) == (5, True)
