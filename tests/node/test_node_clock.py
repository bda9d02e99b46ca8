"""A clock that is set, or somebody else who wrote in a node's name: when its stream is begun anew."""

from __future__ import annotations

import pytest

from meshtracker.errors import CloseCode
from meshtracker.link.transitions import State
from meshtracker.model import Event
from meshtracker.node.mesh import ANEW_SECONDS
from meshtracker.node.node import Node
from meshtracker.wire.vector import NOWHERE
from tests.mouth_to_mouth import NOW, WALL_OFFSET_SECONDS, Link, announce, node, rows, settle, synced
from tests.node.support import ANNOUNCED, X, batch_of, changes, listener_of, receive, row_of_client


def of_two_streams(tracker: Node) -> None:
    """It has clients of its own and one of x."""
    announce(tracker, 1, left=0, event=Event.COMPLETED)
    announce(tracker, 2)
    announce(tracker, 2, event=Event.STOPPED)
    receive(tracker, batch_of(row_of_client(3, 0.0)))
    tracker.flush(NOW)


@pytest.mark.parametrize("step_seconds", [-60.001, -3600.0])
def test_a_clock_that_is_set_far_back_begins_a_new_stream_and_judges_all_anew(step_seconds: float) -> None:
    tracker = listener_of(forwards=True)
    links = [synced(node(name), tracker) for name in ("a", "b")]
    of_two_streams(tracker)
    settle(*links)
    own = tracker.mesh.own
    tracker.set_clock(step_seconds, NOW)
    vector = tracker.mesh.vector()
    assert tracker.mesh.own.name == own.name
    assert tracker.mesh.own.incarnation != own.incarnation
    assert vector.pop(tracker.mesh.own).sequence == 1
    # Nor is that of before known: its rows are of the new one now, and others may have some that are lacking here.
    assert vector == {own: NOWHERE, X: NOWHERE}
    wall_ms = tracker.clock.wall_ms(NOW)
    assert wall_ms == int((NOW + WALL_OFFSET_SECONDS + step_seconds) * 1000)
    stamps = {row[1] >> 16 for row in rows(tracker).values() if row[3] == "n"}
    assert stamps == {wall_ms}
    assert len([row for row in rows(tracker).values() if row[3] == "n"]) == 2
    assert tracker.mesh.statistics().began_anew == 1
    settle(*links)
    for link in links:
        assert link.states == (State.CLOSED, State.CLOSED)
        assert {end.code for end in link.ends} == {CloseCode.RESET}
        assert f"the clock of n was set by {step_seconds:.0f} s" in link.leaf.reason
    # What clients say now is stamped later than what was stamped anew.
    announce(tracker, 1, NOW, left=1)
    assert max(row[1] for row in rows(tracker).values() if row[3] == "n") > wall_ms << 16


def linked() -> tuple[Node, Link]:
    """A hub of two streams, and the link of a leaf that knows them."""
    tracker = listener_of(forwards=True)
    link = synced(node("a"), tracker)
    of_two_streams(tracker)
    settle(link)
    return tracker, link


def set_clock_and_begin_nothing_anew(tracker: Node, step_seconds: float) -> None:
    """Its stream, its rows and what it knows of others are as they were."""
    before = (tracker.mesh.own, tracker.mesh.vector(), rows(tracker))
    tracker.set_clock(step_seconds, NOW)
    assert (tracker.mesh.own, tracker.mesh.vector(), rows(tracker)) == before
    assert tracker.mesh.statistics().began_anew == 0


@pytest.mark.parametrize("step_seconds", [-60.0, -1.0, 0.5, 60.0])
def test_a_clock_that_is_set_a_little_back_or_forth_changes_nothing_but_the_time(step_seconds: float) -> None:
    tracker, link = linked()
    set_clock_and_begin_nothing_anew(tracker, step_seconds)
    assert link.states == (State.SYNCED, State.SYNCED)
    assert tracker.clock.wall_ms(NOW) == int((NOW + WALL_OFFSET_SECONDS + step_seconds) * 1000)


@pytest.mark.parametrize("step_seconds", [60.001, 3600.0])
def test_a_clock_that_is_set_far_forth_needs_no_new_stream_but_new_links(step_seconds: float) -> None:
    """Nothing that it stamped or took is from the future. Others may refuse its clock now, and say so."""
    tracker, link = linked()
    set_clock_and_begin_nothing_anew(tracker, step_seconds)
    settle(link)
    assert {end.code for end in link.ends} == {CloseCode.RESET}
    again = Link(node("a"), tracker)
    settle(again)
    assert again.leaf.code is CloseCode.CLOCK


def test_rows_of_others_from_a_future_that_never_was_go_with_the_clock_that_believed_them() -> None:
    """Else they would hide what is true for as long as the clock was wrong."""
    tracker = listener_of()
    tracker.set_clock(3600.0, NOW)
    receive(tracker, batch_of(row_of_client(1, 3600.0), row_of_client(2, 0.0)))
    tracker.set_clock(-3600.0, NOW)
    assert [identity[:20] for _, _, identity in rows(tracker)] == [b"-MT0001-%012d" % 2]
    assert tracker.mesh.vector()[X] == NOWHERE


def test_refreshes_are_told_by_the_new_clock_at_once() -> None:
    tracker = node("n")
    announce(tracker, 1)
    due = tracker.refreshes(NOW).due_stamp
    tracker.set_clock(1000.0, NOW)
    assert tracker.refreshes(NOW).due_stamp == due + (1_000_000 << 16)
    announce(tracker, 1)
    assert changes(tracker) == 2


def test_a_leaf_whose_clock_was_set_back_is_back_in_the_mesh_within_a_resync() -> None:
    hub, leaf, other = node("hub", forwards=True), node("n", clock_ahead_seconds=50.0), node("other")
    links = [synced(leaf, hub), synced(other, hub)]
    of_two_streams(leaf)
    settle(*links)
    leaf.set_clock(-100.0, NOW)
    settle(*links)
    links[0].cut()
    again = synced(leaf, hub)
    settle(again, links[1])
    announce(leaf, 7)
    leaf.flush(NOW)
    settle(again, links[1])
    assert rows(hub).keys() == rows(other).keys() >= rows(leaf).keys()
    identity = b"-MT0001-%012d" % 7 + (107).to_bytes(4, "big")
    assert rows(other)[ANNOUNCED, 6, identity][3] == "n"


# ---------------------------------------------------------------- somebody else wrote in its name


def test_a_node_that_is_told_of_more_than_it_wrote_begins_anew_but_not_all_the_time() -> None:
    tracker = node("n", forwards=True)
    link = synced(node("a"), tracker)
    announce(tracker, 1)
    own = tracker.mesh.own
    tracker.mesh.want_anew()
    tracker.flush(NOW)
    begun = tracker.mesh.own
    assert begun.incarnation != own.incarnation
    assert link.hub.code is CloseCode.RESET
    assert "somebody else wrote in its name" in link.hub.reason
    assert tracker.mesh.rows(begun) == 1
    for later in range(1, 60, 5):
        tracker.mesh.want_anew()
        tracker.flush(NOW + later)
    assert tracker.mesh.own == begun
    tracker.flush(NOW + 2 * ANEW_SECONDS)
    assert tracker.mesh.own != begun
    # Nobody's stream is doubted for it, and it is not repeated without a reason.
    again = tracker.mesh.own
    tracker.flush(NOW + 9 * ANEW_SECONDS)
    assert tracker.mesh.own == again
