"""Who may send what over a link, and what is left out for want of room."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import pytest

from meshtracker.errors import CloseCode, LinkError
from meshtracker.link.receiver import Receiver
from meshtracker.node.node import Node
from meshtracker.wire.batch import Batch, decode_batch
from meshtracker.wire.frame import HEADER
from meshtracker.wire.vector import BEGINNING, NOWHERE, Position, StreamId
from tests.link.receiving import FOURTH, THERE, THIRD, begin, end, frame_of, plan, receiver_of, take
from tests.link.support import batch_of
from tests.mouth_to_mouth import NOW, node, rows


@pytest.mark.parametrize(
    ("stream", "is_believed", "is_taken"),
    [
        (THERE, True, True),
        (THERE, False, True),
        # An earlier life of the peer, or another stream of its name: it is the peer's to speak of.
        (StreamId("there", 1), False, True),
        (THIRD, True, True),
        (THIRD, False, False),
        # An earlier life of this node, which it lost.
        (StreamId("here", 1), True, True),
        (StreamId("here", 1), False, False),
    ],
)
def test_who_may_speak_of_which_stream(stream: StreamId, *, is_believed: bool, is_taken: bool) -> None:
    batch = Batch(stream, 0, 0, ())

    def receiver() -> Receiver:
        return receiver_of(forwards=False, is_believed=is_believed)

    said: list[Callable[[], object]] = [
        lambda: begin(receiver(), plan(stream)),
        lambda: receiver().batch(frame_of(stream, 1), NOW),
        lambda: take(receiver(), stream, 1),
    ]
    for say in said:
        if is_taken:
            say()
            continue
        with pytest.raises(LinkError, match=f"^there sent the stream of another node, {stream.name}$") as caught:
            say()
        assert caught.value.code is CloseCode.FORGED
    unannounced: list[Callable[[], object]] = [
        lambda: receiver().snapshot(batch, NOW),
        lambda: end(receiver(), stream, 0),
    ]
    for say in unannounced:
        with pytest.raises(LinkError) as caught:
            say()
        assert caught.value.code is (CloseCode.PROTOCOL if is_taken else CloseCode.FORGED)


@pytest.mark.parametrize("is_believed", [True, False])
def test_nobody_writes_in_this_nodes_present_stream(*, is_believed: bool) -> None:
    here = node("here")
    receiver = receiver_of(here, is_believed=is_believed)
    said: list[Callable[[], object]] = [
        lambda: begin(receiver, plan(here.mesh.own)),
        lambda: take(receiver, here.mesh.own, 1),
        lambda: receiver.snapshot(Batch(here.mesh.own, 0, 0, ()), NOW),
        lambda: end(receiver, here.mesh.own, 9),
    ]
    for say in said:
        with pytest.raises(LinkError, match="another node writes under this node's name, here") as caught:
            say()
        assert caught.value.code is CloseCode.FORGED
    assert here.mesh.position(here.mesh.own) == BEGINNING


def test_who_began_to_speak_of_a_stream_is_checked_before_anything_is_kept() -> None:
    here = node("here")
    receiver = receiver_of(here, is_believed=False)
    with pytest.raises(LinkError):
        receiver.batch(frame_of(THIRD, 1), NOW)
    assert here.mesh.vector().keys() == {here.mesh.own}
    assert rows(here) == {}


def test_swarms_come_from_hubs_only_and_say_nothing_of_streams() -> None:
    here = node("here")
    batch = Batch(THIRD, 0, 0, ())
    with pytest.raises(LinkError, match="a leaf sent swarms of third") as caught:
        receiver_of(here, forwards=False).swarms(batch, NOW)
    assert caught.value.code is CloseCode.FORGED
    here.mesh.finish_snapshot(THIRD, Position(5, 55), NOW, tables=("peers", "completed"), replaces=False)
    hub = receiver_of(here)
    hub.swarms(batch, NOW)
    hub.swarms(attrs.evolve(batch, stream=FOURTH), NOW)
    assert here.mesh.position(THIRD) == Position(5, 55)
    # Some of its rows may be known, and of its stream nothing.
    assert here.mesh.position(FOURTH) == NOWHERE
    # This node's own rows are among those of a swarm; it knows them better.
    hub.swarms(decode_batch(batch_of("here", here.mesh.own.incarnation, 0)[HEADER.size :]), NOW)
    assert rows(here) == {}


def test_the_operator_is_told_how_each_stream_comes() -> None:
    receiver = receiver_of()
    assert begin(receiver, plan(THERE), plan(THIRD, full=False)) == [
        "there: full resync: new node",
        "third: partial resync after batch 3",
    ]
    assert receiver.resync == {"there": "full (new node)", "third": "partial after batch 3"}


# ---------------------------------------------------------------- streams for which there is no room


def full_node() -> Node:
    """A node that knows as many streams as it can."""
    here = node("here")
    streams = here.registry.streams
    while streams.has_room(StreamId("other", len(streams))):
        streams.index(StreamId("other", len(streams)))
    return here


def test_what_there_is_no_room_for_is_counted_and_left_out() -> None:
    """The link stays: its other streams are worth having."""
    here = full_node()
    receiver = receiver_of(here)
    begin(receiver, plan())
    assert not receiver.batch(frame_of(THIRD, 6), NOW)
    receiver.snapshot(decode_batch(batch_of("third", 1, 0)[HEADER.size :]), NOW)
    end(receiver, THIRD, 6, records=1)
    receiver.swarms(decode_batch(batch_of("third", 1, 0)[HEADER.size :]), NOW)
    assert receiver.refused_records == 5
    assert (receiver.records, receiver.batches) == (0, 0)
    assert here.mesh.position(THIRD) is None
    assert rows(here) == {}


def test_a_stream_that_was_refused_stays_so_for_the_link() -> None:
    """A part of it must not be taken for all of it."""
    here = full_node()
    receiver = receiver_of(here)
    begin(receiver, plan())
    receiver.snapshot(decode_batch(batch_of("third", 1, 0)[HEADER.size :]), NOW)
    here.registry.streams.forget(StreamId("other", 5))
    assert here.registry.streams.has_room(THIRD)
    end(receiver, THIRD, 6)
    assert not receiver.batch(frame_of(THIRD, 7), NOW)
    assert here.mesh.position(THIRD) is None
    # Another link brings it.
    again = receiver_of(here)
    begin(again, plan())
    end(again, THIRD, 7, 77)
    assert here.mesh.position(THIRD) == Position(7, 77)


def test_a_stream_that_was_refused_is_not_missed() -> None:
    here = full_node()
    receiver = receiver_of(here)
    begin(receiver, plan())
    theirs = {THIRD: Position(50, 0)}
    assert receiver.lacks(theirs) == 0
    assert theirs == {}
