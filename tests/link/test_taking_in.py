"""Frames are taken in at once, applied one by one in their turn, and confirmed by heartbeats."""

from __future__ import annotations

import pytest

from meshtracker.errors import CloseCode
from meshtracker.link.transitions import State
from meshtracker.wire.frame import HEADER, FrameType, frame
from meshtracker.wire.link import Heartbeat, encode_close, encode_heartbeat
from tests.link.soft_split import steady
from tests.link.support import batch_of, heartbeat_of, refused, sequences
from tests.mouth_to_mouth import announce, live, settle

# ---------------------------------------------------------------- taking in and applying


def test_frames_wait_until_they_are_applied_one_by_one() -> None:
    link, leaf, hub, now = steady()
    position = hub.mesh.position(leaf.mesh.own)
    assert position is not None
    data = b"".join(batch_of(*leaf.mesh.own, position.sequence + step) for step in (1, 2, 3))
    link.hub.take_in(data + data[:5], now)
    applied = []
    while link.hub.apply(now):
        applied.append(sequences(hub)[leaf.mesh.own])
    assert applied == [position.sequence + step for step in (1, 2, 3)]
    assert not link.hub.apply(now)


def test_what_came_whole_before_damage_is_applied_first() -> None:
    link, leaf, hub, now = steady()
    position = hub.mesh.position(leaf.mesh.own)
    assert position is not None
    link.hub.take_in(batch_of(*leaf.mesh.own, position.sequence + 1) + b"GET / HTTP/1.1\r\n\r\n", now)
    assert link.hub.state is State.SYNCED
    # Nothing after the damage is believed, whatever it looks like.
    link.hub.take_in(batch_of(*leaf.mesh.own, position.sequence + 2), now)
    assert link.hub.apply(now)
    assert (link.hub.state, link.hub.reason) == (State.CLOSED, "protocol error: not a meshtracker link frame")
    assert not link.hub.apply(now)
    assert sequences(hub)[leaf.mesh.own] == position.sequence + 1


def test_nothing_after_a_frame_of_an_unknown_type_is_believed() -> None:
    link, leaf, hub, now = steady()
    position = hub.mesh.position(leaf.mesh.own)
    assert position is not None
    unknown = HEADER.pack(b"ML", 99, 0, 0)
    link.hub.take_in(batch_of(*leaf.mesh.own, position.sequence + 1) + unknown, now)
    link.hub.take_in(batch_of(*leaf.mesh.own, position.sequence + 2), now)
    while link.hub.apply(now):
        pass
    assert link.hub.reason == "protocol error: frame type 99 is unknown"
    assert sequences(hub)[leaf.mesh.own] == position.sequence + 1


def test_what_waits_is_bounded_by_what_was_read() -> None:
    link, *_, now = steady()
    smallest = frame(FrameType.HEARTBEAT)
    link.hub.take_in(smallest * (65_536 // len(smallest)), now)
    assert len(link.hub._inbox) == 65_536 // HEADER.size
    assert link.hub.apply(now)
    # A heartbeat without its figures: that was the last word.
    assert link.hub.state is State.CLOSED
    assert not link.hub._inbox
    link.hub.take_in(smallest, now)
    assert not link.hub._inbox


def test_a_close_is_taken_in_its_turn() -> None:
    link, leaf, hub, now = steady()
    position = hub.mesh.position(leaf.mesh.own)
    assert position is not None
    link.hub.take_in(batch_of(*leaf.mesh.own, position.sequence + 1) + encode_close(CloseCode.STOPPING, "bye"), now)
    assert link.hub.state is State.SYNCED
    assert link.hub.apply(now)
    assert link.hub.apply(now)
    assert (link.hub.reason, link.hub.code, link.hub.told_by_peer) == ("bye", CloseCode.STOPPING, True)
    assert sequences(hub)[leaf.mesh.own] == position.sequence + 1


# ---------------------------------------------------------------- what heartbeats may say


def test_a_heartbeat_that_confirms_more_than_was_sent() -> None:
    link, *_, now = steady()
    sent = link.hub._progress.sent_frames
    link.hub.receive_data(heartbeat_of(applied=sent), now)
    assert link.hub.statistics(now).unconfirmed_frames == 0
    refused(link.hub, heartbeat_of(applied=sent + 1), "a heartbeat confirms more than was sent", now)
    assert link.hub.refusal is CloseCode.PROTOCOL


def test_what_is_unconfirmed_is_shown() -> None:
    link, leaf, _, now = steady()
    assert link.leaf.statistics(now).unconfirmed_frames <= 1
    for client in range(4):
        announce(leaf, client + 50, now)
        leaf.mesh.flush(now)
    before = link.leaf.statistics(now).unconfirmed_frames
    settle(link, now=now)
    assert link.leaf.statistics(now).unconfirmed_frames == before + 4
    live([link], [], now, 5.0)
    assert link.leaf.statistics(now).unconfirmed_frames == 0


@pytest.mark.parametrize("ahead_seconds", [-76, -74, 59, 61])
def test_a_clock_that_goes_off_while_the_link_is_up_ends_it(ahead_seconds: int) -> None:
    """A word of the peer's may have been on its way for as long as a soft-split takes to be found."""
    link, leaf, hub, now = steady()
    clock_ms = leaf.mesh.wall_ms(now) + 1000 * ahead_seconds
    heartbeat = Heartbeat(clock_ms=clock_ms, sent_frames=0, applied_frames=0, vector={})
    if -75 < ahead_seconds < 60:
        link.hub.receive_data(encode_heartbeat(heartbeat), now)
        assert link.hub.state is State.SYNCED
        return
    refused(link.hub, encode_heartbeat(heartbeat), f"the clocks of leaf and hub differ by {abs(ahead_seconds)} s", now)
    assert link.hub.refusal is CloseCode.CLOCK
    settle(link, now=now)
    link.cut(now)
    assert hub.links.refused() == {"clock": 1}
