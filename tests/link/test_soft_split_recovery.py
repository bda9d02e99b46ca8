"""A soft-split that was found: told to both ends, and healed by a new link or by itself."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable

import pytest

from meshtracker.errors import CloseCode
from meshtracker.link.session import LinkSession
from meshtracker.link.transitions import State
from meshtracker.wire.frame import FrameType, frame
from tests.link.soft_split import AFTER, BOUND, TICK, alarms, steady
from tests.link.support import ALARMING, SYNCED, batch_of, pair, refused, sequences
from tests.mouth_to_mouth import NOW, Link, announce, live, rows, settle, swallow_all, swallow_data, synced

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
        assert (end.reason, end.code, end.refusal) == (str(end.verdict), CloseCode.SOFT_SPLIT, CloseCode.SOFT_SPLIT)
        assert alarms(end) == [end.reason]
        statistics = end.statistics(now)
        assert (statistics.verdict, statistics.soft_splits) == (end.reason, 1)
        [neighbour] = (leaf if end is link.leaf else hub).links.neighbours(now)
        assert (neighbour.soft_splits, neighbour.split_resets, neighbour.resets) == (1, 1, 0)
    if len(found) == 1 and link.wires.get(found[0]) is not swallow_all:
        [far] = [end for end in link.ends if end not in found]
        assert (far.reason, far.told_by_peer, far.refusal) == (found[0].reason, True, None)
        assert far.code is CloseCode.SOFT_SPLIT
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


@pytest.mark.parametrize(
    ("kind", "pattern"),
    [
        (FrameType.END_OF_BURST, "END_OF_BURST is not allowed while synced"),
        (FrameType.SWARMS_END, "SWARMS without INTEREST FETCH"),
    ],
)
def test_a_split_link_takes_what_a_link_that_is_up_takes(kind: FrameType, pattern: str) -> None:
    link, leaf, hub, start = steady(ALARMING)
    link.wires[link.leaf] = swallow_all
    now = live([link], [leaf, hub], start, BOUND)
    assert link.hub.state is State.SOFT_SPLIT
    before = hub.mesh.position(leaf.mesh.own)
    assert before is not None
    link.hub.receive_data(batch_of(*leaf.mesh.own, before.sequence + 1), now)
    assert sequences(hub)[leaf.mesh.own] == before.sequence + 1
    assert link.hub.state is State.SOFT_SPLIT
    refused(link.hub, frame(kind), pattern, now)
