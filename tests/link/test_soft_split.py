"""A link that is up while no data flows: found in time, told to both ends, healed; and never seen in vain."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable

import pytest

from meshtracker.link.policy import LinkPolicy
from meshtracker.link.session import LinkSession
from meshtracker.link.state import State
from meshtracker.node.node import Node
from meshtracker.wire.frame import HEADER, FrameType, frame
from meshtracker.wire.link import control
from tests.link.support import ALARMING, SYNCED, batch_of, heartbeat_of, pair, refused
from tests.mouth_to_mouth import (
    NOW,
    Link,
    announce,
    live,
    node,
    rows,
    settle,
    swallow_all,
    swallow_data,
    synced,
)

AFTER = LinkPolicy().soft_split_after_seconds
BOUND = AFTER + LinkPolicy().heartbeat_seconds
"""A soft-split is found by then."""
TICK = 0.5


def steady(
    policy: LinkPolicy | None = None, *, leaf_policy: LinkPolicy | None = None
) -> tuple[Link, Node, Node, float]:
    """A link that has been idle for a while, with heartbeats at their pace; all that was sent is confirmed."""
    leaf, hub = pair(5)
    link = synced(leaf, hub, leaf_policy=leaf_policy or policy, hub_policy=policy)
    now = live([link], [leaf, hub], NOW, 61.5, tick=TICK)
    return link, leaf, hub, live([link], [], now, 10.0, tick=TICK)


def trickle(end: LinkSession, wire: bytes) -> Callable[[float], None]:
    """A large frame of which one byte a second comes."""
    left = bytearray(wire)

    def more(now: float) -> None:
        end.take_in(bytes(left[:1]), now)
        del left[:1]

    return more


def alarms(end: LinkSession) -> list[str]:
    return [notice.text for notice in end.notices() if notice.level == "error"]


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


# ---------------------------------------------------------------- healed


@pytest.mark.parametrize(
    ("wires", "rules"),
    [
        ({1: swallow_data}, "inbound|outbound"),
        ({0: swallow_data}, "inbound|outbound"),
        ({1: swallow_all}, "silent|outbound"),
        ({0: swallow_data, 1: swallow_data}, "inbound|outbound"),
    ],
)
def test_the_link_closes_itself_and_says_why(wires: dict[int, Callable[[bytes], bytes]], rules: str) -> None:
    link, leaf, hub, start = steady()
    link.wires = {link.ends[index]: wire for index, wire in wires.items()}
    now = start
    while State.CLOSED not in link.states:
        now = live([link], [leaf, hub], now, TICK)
    assert now - start <= BOUND
    found = [end for end in link.ends if end.verdict is not None]
    for end in found:
        assert re.fullmatch(rf"soft-split \(({rules})\): .* 1[5-9]\.\d s.*", end.reason), end.reason
        assert (end.reason, end.was_reset, end.refusal_kind) == (str(end.verdict), True, "soft-split")
        assert alarms(end) == [end.reason]
        statistics = end.statistics(now)
        assert (statistics.verdict, statistics.soft_splits) == (end.reason, 1)
        [neighbour] = (leaf if end is link.leaf else hub).links.neighbours(now)
        assert (neighbour.soft_splits, neighbour.split_resets, neighbour.resets) == (1, 1, 0)
    if len(found) == 1 and link.wires.get(found[0]) is not swallow_all:
        [far] = [end for end in link.ends if end not in found]
        assert (far.reason, far.told_by_peer, far.refusal_kind) == (found[0].reason, True, "")
    # The next connection makes it good.
    link.cut(now)
    announce(leaf, 77, now)
    leaf.mesh.flush(now)
    again = synced(leaf, hub, now)
    assert "partial" in again.hub.statistics(now).resync
    assert rows(leaf) == rows(hub)


# ---------------------------------------------------------------- alarmed


def test_without_reset_the_alarm_repeats_as_long_as_it_lasts() -> None:
    link, leaf, hub, now = steady(ALARMING)
    for end in link.ends:
        end.notices()
    link.wires = dict.fromkeys(link.ends, swallow_all)
    told: dict[LinkSession, list[tuple[float, str]]] = {end: [] for end in link.ends}
    start = now
    while now < start + 100:
        now = live([link], [leaf, hub], now, TICK)
        for end in link.ends:
            told[end] += [(now, text) for text in alarms(end)]
    for end in link.ends:
        times = [at for at, _ in told[end]]
        assert times[0] - start <= AFTER
        assert [later - earlier for earlier, later in itertools.pairwise(times)] == [AFTER] * 5
        for at, text in told[end]:
            assert text == f"soft-split (silent): nothing heard for {AFTER + at - times[0]:.1f} s"
        assert end.soft_splits == 1
        assert str(end.verdict) == told[end][-1][1]
        assert end.state is State.SOFT_SPLIT


def test_a_stall_that_ends_recovers_by_itself() -> None:
    """Bytes are held up and not lost: a way that stood still for a minute."""
    link, leaf, hub, start = steady(ALARMING)
    held: dict[LinkSession, bytearray] = {end: bytearray() for end in link.ends}
    for end in link.ends:
        end.notices()

    def hold(end: LinkSession) -> Callable[[bytes], bytes]:
        def wire(data: bytes) -> bytes:
            held[end].extend(data)
            return b""

        return wire

    link.wires = {end: hold(end) for end in link.ends}
    now = live([link], [leaf, hub], start, 60.0)
    assert link.states == (State.SOFT_SPLIT, State.SOFT_SPLIT)
    link.wires.clear()
    for end, target in (link.ends, link.ends[::-1]):
        target.receive_data(bytes(held[end]), now)
    now = live([link], [leaf, hub], now, 5.5)
    assert link.states == SYNCED
    for end in link.ends:
        notices = [(notice.level, notice.text) for notice in end.notices()]
        [recovered] = [text for level, text in notices if text.startswith("recovered")]
        assert re.fullmatch(r"recovered from the soft-split after \d\d s", recovered)
        assert ("info", recovered) in notices
        assert end.soft_splits == 1
    live([link], [leaf, hub], now, 600)
    assert not alarms(link.leaf)
    assert rows(leaf) == rows(hub)


def test_a_burst_that_ends_during_a_soft_split() -> None:
    """The link is synced then, and says so when the alarm is over."""
    leaf, hub = pair(5)
    link = Link(leaf, hub, policy=ALARMING)
    while State.BURSTING not in link.states:
        link.step()
    bursting = link.states
    assert bursting[1] is State.BURSTING
    sent = link.leaf.data_to_send(NOW)
    now = NOW
    while link.states == bursting:
        now = link.hub.next_deadline()
        link.hub.handle_deadline(now)
    assert link.hub.state is State.SOFT_SPLIT
    link.hub.receive_data(sent, now)
    settle(link, now=now)
    assert link.leaf.state is State.SYNCED
    assert link.hub.was_synced
    assert not hub.links.synced()
    live([link], [leaf, hub], now, 5.5)
    assert link.states == SYNCED
    assert hub.links.synced() == [link.hub]


@pytest.mark.parametrize("kind", [FrameType.END_OF_BURST, FrameType.SWARMS_END])
def test_a_split_link_takes_what_a_link_that_is_up_takes(kind: FrameType) -> None:
    link, leaf, hub, start = steady(ALARMING)
    link.wires[link.leaf] = swallow_all
    now = live([link], [leaf, hub], start, BOUND)
    assert link.hub.state is State.SOFT_SPLIT
    before = hub.mesh.position("leaf")
    assert before is not None
    link.hub.receive_data(batch_of("leaf", 1000, before.sequence + 1), now)
    assert hub.mesh.position("leaf") == (1000, before.sequence + 1)
    if kind is FrameType.SWARMS_END:
        refused(link.hub, frame(kind), "SWARMS_END without INTEREST FETCH", now)


# ---------------------------------------------------------------- no false alarm


@pytest.mark.parametrize("seconds", [1.5, 4.0, 14.0, 15.0, 60.0, 3600.0])
@pytest.mark.parametrize("reads_first", [True, False])
def test_a_node_that_was_stopped_raises_no_alarm_of_its_own(seconds: float, reads_first: bool) -> None:
    """It wakes up, and either its timer comes first or its reader does; what was sent meanwhile is there."""
    link, leaf, hub, start = steady(ALARMING, leaf_policy=LinkPolicy())
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


def test_a_peer_that_waits_for_its_own_stream_owes_nothing() -> None:
    """A leaf that restarted holds its stream until the hub has brought back the old one, however long that takes."""
    leaf, hub = pair(5)
    synced(leaf, hub).cut()
    again = node("leaf", incarnation=2000)
    link = Link(again, hub, policy=ALARMING)
    while State.BURSTING not in link.states:
        link.step()
    now = NOW
    for number in range(200):
        now += TICK
        announce(again, number, now)
        again.mesh.flush(now)
        hub.mesh.flush(now)
        for end in link.ends:
            end.handle_deadline(now)
        link.hub.receive_data(link.leaf.data_to_send(now), now)
        # The hub says that it lives, but of the old stream not a piece for a minute and a half.
        if link.hub._control:
            data = link.hub.data_to_send(now)
            link.leaf.receive_data(data, now)
    assert link.hub.verdict is None
    # The leaf rightly missed the hub's stream.
    assert link.leaf.verdict is not None
    assert link.leaf.verdict.rule == "inbound"
    live([link], [again, hub], now, 5.5)
    assert link.states == SYNCED
    assert rows(again) == rows(hub)


# ---------------------------------------------------------------- what heartbeats may say


def test_a_heartbeat_that_confirms_more_than_was_sent() -> None:
    link, *_, now = steady()
    sent = link.hub._progress.sent_frames
    link.hub.receive_data(heartbeat_of(applied=sent), now)
    assert link.hub.statistics(now).unconfirmed_frames == 0
    refused(link.hub, heartbeat_of(applied=sent + 1), "a heartbeat confirms more than was sent", now)
    assert link.hub.refusal_kind == "protocol"


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


# ---------------------------------------------------------------- taking in and applying


def test_frames_wait_until_they_are_applied_one_by_one() -> None:
    link, _, hub, now = steady()
    position = hub.mesh.position("leaf")
    assert position is not None
    data = b"".join(batch_of("leaf", 1000, position.sequence + step) for step in (1, 2, 3))
    link.hub.take_in(data + data[:5], now)
    applied = []
    while link.hub.apply(now):
        applied.append(hub.mesh.position("leaf"))
    assert applied == [(1000, position.sequence + step) for step in (1, 2, 3)]
    assert not link.hub.apply(now)


def test_what_came_whole_before_damage_is_applied_first() -> None:
    link, _, hub, now = steady()
    position = hub.mesh.position("leaf")
    assert position is not None
    link.hub.take_in(batch_of("leaf", 1000, position.sequence + 1) + b"GET / HTTP/1.1\r\n\r\n", now)
    assert link.hub.state is State.SYNCED
    # Nothing after the damage is believed, whatever it looks like.
    link.hub.take_in(batch_of("leaf", 1000, position.sequence + 2), now)
    assert link.hub.apply(now)
    assert (link.hub.state, link.hub.reason) == (State.CLOSED, "protocol error: not a meshtracker link frame")
    assert not link.hub.apply(now)
    assert hub.mesh.position("leaf") == (1000, position.sequence + 1)


def test_nothing_after_a_frame_of_an_unknown_type_is_believed() -> None:
    link, _, hub, now = steady()
    position = hub.mesh.position("leaf")
    assert position is not None
    unknown = HEADER.pack(b"ML", 99, 0, 0)
    link.hub.take_in(batch_of("leaf", 1000, position.sequence + 1) + unknown, now)
    link.hub.take_in(batch_of("leaf", 1000, position.sequence + 2), now)
    while link.hub.apply(now):
        pass
    assert link.hub.reason == "protocol error: frame type 99 is unknown"
    assert hub.mesh.position("leaf") == (1000, position.sequence + 1)


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
    link, _, hub, now = steady()
    position = hub.mesh.position("leaf")
    assert position is not None
    link.hub.take_in(batch_of("leaf", 1000, position.sequence + 1) + control(FrameType.CLOSE, reason="bye"), now)
    assert link.hub.state is State.SYNCED
    assert link.hub.apply(now)
    assert link.hub.apply(now)
    assert (link.hub.reason, link.hub.told_by_peer) == ("bye", True)
    assert hub.mesh.position("leaf") == (1000, position.sequence + 1)
