"""What is lacking of what a peer knows; a stream that was forgotten here is not."""

from __future__ import annotations

import pytest

from meshtracker.errors import LinkError
from meshtracker.link.receiver import Receiver
from meshtracker.node.node import Node
from meshtracker.wire.vector import BEGINNING, NOWHERE, Position, StreamId, Vector, chain
from tests.link.receiving import FOURTH, THERE, THIRD, frame_of, receiver_of, take
from tests.mouth_to_mouth import NOW, node

KNOWN = {THIRD: Position(5, 55), THERE: Position(3, 33), FOURTH: NOWHERE}
UNKNOWN = StreamId("unknown", 9)


@pytest.mark.parametrize(
    ("theirs", "lacking"),
    [
        ({}, 0),
        (KNOWN, 0),
        ({THIRD: Position(4, 44)}, 0),
        # The same batch, read otherwise, is not missing: the digests say what is to be done.
        ({THIRD: Position(5, 5555)}, 0),
        ({THIRD: Position(7, 77)}, 2),
        ({StreamId("third", 2): BEGINNING}, 0),
        ({StreamId("third", 2): Position(7, 77)}, 7),
        ({FOURTH: Position(2, 0)}, 2),
        ({UNKNOWN: Position(2, 0), THIRD: Position(6, 66)}, 3),
        # Of this node's own stream nobody knows more.
        ({StreamId("here", 1000): Position(9, 99)}, 0),
        ({THERE: Position(5, 55)}, 2),
    ],
)
def test_what_a_peers_vector_says_is_missing(theirs: Vector, lacking: int) -> None:
    here = node("here", incarnation=1000)
    for stream, position in KNOWN.items():
        here.mesh.finish_snapshot(stream, position, NOW, tables=("peers", "completed"), replaces=False)
    assert receiver_of(here).lacks(dict(theirs)) == lacking
    # A leaf does not go on sending what it knows of others.
    assert receiver_of(here, forwards=False).lacks(dict(theirs)) == (lacking if THERE in theirs else 0)


def with_a_forgotten_stream() -> tuple[Node, Receiver, float]:
    """A node that knew a stream up to 5 when the peer told of it, and has let go of it, for it had no rows."""
    here = node("here")
    here.mesh.finish_snapshot(THIRD, Position(5, 55), NOW, tables=("peers", "completed"), replaces=False)
    receiver = receiver_of(here)
    theirs = {THIRD: Position(5, 55)}
    assert receiver.lacks(theirs) == 0
    assert theirs == {THIRD: Position(5, 55)}
    now = NOW + 61.0
    here.mesh.flush(now)
    assert here.mesh.position(THIRD) is None
    return here, receiver, now


@pytest.mark.parametrize("sequence", [5, 6])
def test_what_this_node_has_forgotten_is_not_missing(sequence: int) -> None:
    """Of a stream without rows there is nothing to have."""
    _, receiver, _ = with_a_forgotten_stream()
    theirs = {THIRD: Position(sequence, 0), FOURTH: Position(2, 0)}
    assert receiver.lacks(theirs) == 2


def test_a_stream_that_was_forgotten_goes_on_with_its_next_batch() -> None:
    """The peer counts as known here what was; what it sends next follows on that."""
    here, receiver, now = with_a_forgotten_stream()
    for sequence in (1, 5):
        # They came another way too, before it was forgotten.
        assert not receiver.batch(frame_of(THIRD, sequence), now)
    with pytest.raises(LinkError, match="batch 7 of third came after 5"):
        receiver.batch(frame_of(THIRD, 7), now)
    assert here.mesh.position(THIRD) is None
    following = frame_of(THIRD, 6)
    assert receiver.batch(following, now)
    assert here.mesh.position(THIRD) == Position(6, chain(55, following.payload))
    with pytest.raises(LinkError, match="batch 8 of third came after 6"):
        receiver.batch(frame_of(THIRD, 8), now)


def test_a_stream_may_be_forgotten_twice() -> None:
    """It had a batch in between, of which the peer has not told by a heartbeat."""
    here, receiver, now = with_a_forgotten_stream()
    assert take(receiver, THIRD, 6)
    here.mesh.flush(now + 61.0)
    assert here.mesh.position(THIRD) is None
    assert take(receiver, THIRD, 7)
