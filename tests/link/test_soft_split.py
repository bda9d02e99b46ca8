"""A link that is up while no data flows: found in time, and never seen in vain."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from meshtracker.link.greeting import ClockPolicy
from meshtracker.link.policy import LinkPolicy
from meshtracker.link.session import LinkSession
from meshtracker.link.transitions import HANDSHAKE_STATES, State
from meshtracker.node.mesh import QUIET_SECONDS
from meshtracker.swarm.access import Access
from meshtracker.wire.vector import NOWHERE, Position, StreamId
from tests.link.soft_split import AFTER, BOUND, TICK, steady
from tests.link.support import ALARMING, SYNCED, pair, sequences
from tests.mouth_to_mouth import NOW, Link, announce, live, node, swallow_all, swallow_data, synced


def trickle(end: LinkSession, wire: bytes) -> Callable[[float], None]:
    """A large frame of which one byte a second comes."""
    left = bytearray(wire)

    def more(now: float) -> None:
        end.take_in(bytes(left[:1]), now)
        del left[:1]

    return more


# ---------------------------------------------------------------- found in time


@pytest.mark.parametrize("phase", [0.0, 1.1, 2.5, 4.6])
@pytest.mark.parametrize("from_hub", [True, False])
def test_data_that_is_swallowed_is_found_at_both_ends(from_hub: bool, phase: float) -> None:
    """Heartbeats pass. Who misses something sees it as inbound, who sent it as outbound."""
    link, leaf, hub, start = steady(ALARMING)
    start = live([link], [leaf, hub], start, phase, tick=0.1)
    sender, receiver = link.ends[::-1] if from_hub else link.ends
    link.wires[sender] = swallow_data
    seen: dict[LinkSession, float] = {}
    now = start
    while len(seen) < 2:
        now = live([link], [leaf, hub], now, 0.1, tick=0.1)
        seen |= {end: now for end in link.ends if end.state is State.SOFT_SPLIT and end not in seen}
        assert now - start <= BOUND + 0.2, link.states
    assert [end.verdict.rule for end in (sender, receiver) if end.verdict] == ["outbound", "inbound"]


@pytest.mark.parametrize("busy", [True, False])
def test_silence_is_found_at_both_ends(busy: bool) -> None:
    link, leaf, hub, start = steady(ALARMING)
    link.wires = dict.fromkeys(link.ends, swallow_all)
    live([link], [leaf, hub] if busy else [], start, AFTER)
    for end in link.ends:
        assert end.verdict is not None
        assert end.verdict.rule == "silent"


def test_one_way_silence_is_seen_from_either_side() -> None:
    """A firewall that lets only one direction pass."""
    link, leaf, hub, start = steady(ALARMING)
    link.wires[link.hub] = swallow_all
    live([link], [leaf, hub], start, BOUND)
    assert [end.verdict.rule for end in link.ends if end.verdict] == ["silent", "outbound"]


def test_a_frame_that_does_not_end() -> None:
    """Something comes all the time, but it is always the same frame: an MTU black hole behind a proxy."""
    link, _, hub, start = steady(ALARMING)
    for client in range(900):
        announce(hub, client, start)
    hub.mesh.flush(start)
    more = trickle(link.leaf, link.hub.data_to_send(start))
    more(start)
    now = start
    while link.leaf.state is State.SYNCED:
        now += TICK
        link.leaf.data_to_send(now)
        if (now - start) % 1 == 0:
            more(now)
        link.leaf.handle_deadline(now)
    assert now == start + AFTER
    assert link.leaf.verdict is not None
    assert link.leaf.verdict.rule == "decoder"
    assert "part of a frame (16 bytes) waiting for 15.0 s" in link.leaf.verdict.text


def test_half_a_frame_and_then_nothing() -> None:
    link, leaf, hub, start = steady(ALARMING)
    announce(hub, 99, start)
    hub.mesh.flush(start)
    link.wires[link.hub] = lambda data: data[: len(data) // 2]
    link.step(start)
    link.wires[link.hub] = swallow_all
    live([link], [leaf, hub], start, BOUND)
    # Neither end of it came, nor anything else.
    assert link.leaf.verdict is not None
    assert link.leaf.verdict.rule == "silent"
    assert link.hub.verdict is not None
    assert link.hub.verdict.rule == "outbound"


def test_what_is_taken_in_and_not_applied() -> None:
    """This node's own fault; the other end hears heartbeats that confirm nothing."""
    link, leaf, hub, start = steady(ALARMING)
    found: dict[LinkSession, float] = {}
    now = start
    while len(found) < 2:
        now += TICK
        hub.mesh.flush(now)
        for end in link.ends:
            end.handle_deadline(now)
            if end.state is State.SOFT_SPLIT:
                found.setdefault(end, now)
        link.leaf.take_in(link.hub.data_to_send(now), now)
        link.hub.receive_data(link.leaf.data_to_send(now), now)
        assert now - start <= BOUND + TICK
    assert [end.verdict.rule for end in link.ends if end.verdict] == ["applier", "outbound"]
    while link.leaf.apply(now):
        pass
    live([link], [leaf, hub], now, 5.0)
    assert link.states == SYNCED


def test_a_split_during_the_burst_is_found_too() -> None:
    leaf, hub = pair(5)
    link = Link(leaf, hub, policy=ALARMING)
    while State.BURSTING not in link.states:
        link.step()
    link.wires[link.leaf] = swallow_data
    live([link], [leaf, hub], NOW, BOUND)
    assert link.states == (State.SOFT_SPLIT, State.SOFT_SPLIT)
    link.wires.clear()
    # Frames that were lost do not come again on this connection: only a new link heals.
    live([link], [leaf, hub], NOW + BOUND, 60)
    assert State.SYNCED not in link.states


# ---------------------------------------------------------------- no false alarm


@pytest.mark.parametrize("seconds", [1.5, 4.0, 14.0, 15.0, 60.0, 3600.0])
@pytest.mark.parametrize("reads_first", [True, False])
def test_a_node_that_was_stopped_raises_no_alarm_of_its_own(seconds: float, reads_first: bool) -> None:
    """It wakes up, and either its timer comes first or its reader does; what was sent meanwhile is there."""
    # What it hears of the other clock may be an hour old here.
    clocks = ClockPolicy(refuse_seconds=1e9)
    link, leaf, hub, start = steady(ALARMING, leaf_policy=LinkPolicy(clocks=clocks))
    waiting = bytearray()
    now = start
    while now < start + seconds:
        now += TICK
        announce(hub, int(now - start) % 40, now, left=int(now) // 40 % 2)
        hub.mesh.flush(now)
        link.hub.handle_deadline(now)
        while data := link.hub.data_to_send(now):
            waiting += data
    if reads_first:
        link.leaf.receive_data(bytes(waiting), now)
    link.leaf.handle_deadline(now)
    assert link.leaf.state is State.SYNCED, link.leaf.reason
    if not reads_first:
        now += 0.4
        link.leaf.receive_data(bytes(waiting), now)
    now = live([link], [leaf, hub], now, 60)
    assert link.states == SYNCED
    assert link.leaf.soft_splits == 0
    # From then on silence is silence again.
    link.wires[link.hub] = swallow_all
    live([link], [leaf, hub], now, BOUND)
    assert link.leaf.verdict is not None


def test_a_wake_up_that_is_a_little_late_is_no_excuse() -> None:
    link, leaf, hub, start = steady()
    link.wires[link.hub] = swallow_all
    live([link], [leaf, hub], start, AFTER, tick=0.9)
    assert link.leaf.state is State.CLOSED


def test_a_stream_of_which_nothing_is_left_is_owed_to_nobody() -> None:
    """The hub knows of an earlier life of a node, and has no row of it: there is nothing to send."""
    leaf, hub = pair(5)
    hub.mesh.resume({StreamId("gone", 7): NOWHERE}, NOW)
    link = synced(leaf, hub, policy=ALARMING)
    live([link], [leaf, hub], NOW, 40.0)
    assert link.states == SYNCED
    assert (link.leaf.verdict, link.hub.verdict) == (None, None)
    for end in link.ends:
        assert end._receiver is not None
        assert end._receiver.lacks(end._theirs) == 0


def test_a_stream_that_is_forgotten_while_the_link_comes_up_is_owed_to_nobody() -> None:
    """The peer was told of it, and is never sent it."""
    leaf, hub = pair(5)
    hub.mesh.resume({StreamId("gone", 7): Position(3, 0)}, NOW - QUIET_SECONDS - 1)
    link = Link(leaf, hub, policy=ALARMING)
    while link.leaf.state in HANDSHAKE_STATES:
        link.step()
    hub.flush(NOW)
    assert hub.mesh.position(StreamId("gone", 7)) is None
    live([link], [leaf, hub], NOW, 40.0)
    assert link.states == SYNCED
    assert (link.leaf.verdict, link.hub.verdict) == (None, None)
    assert [end._progress.owed for end in link.ends] == [0, 0]


def test_a_stream_that_is_forgotten_by_one_end_alone_closes_nothing() -> None:
    """Nothing of it is in the swarms that the leaf tracks; then its node is back and it grows again."""
    hub, other = node("hub", forwards=True), node("other")
    leaf = node("leaf", access=Access("allow", frozenset({b"t" * 20})))
    announce(other, 1)
    other.flush(NOW)
    gone = synced(other, hub)
    link = synced(leaf, hub, policy=ALARMING)
    gone.cut()
    now = live([link], [leaf, hub], NOW, QUIET_SECONDS + 10)
    assert hub.mesh.position(other.mesh.own) is not None
    assert leaf.mesh.position(other.mesh.own) is None
    back = synced(other, hub, now)
    live([link, back], [leaf, hub, other], now, 40.0)
    assert link.states == SYNCED, [end.reason for end in link.ends]
    assert (link.leaf.verdict, link.hub.verdict) == (None, None)
    assert sequences(leaf)[other.mesh.own] == sequences(hub)[other.mesh.own]
