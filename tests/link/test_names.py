"""Who has a name: the incarnation that is linked and alive; another one is told, and gets it once that is gone."""

from __future__ import annotations

import pytest

from meshtracker.errors import CloseCode
from meshtracker.link.challenge import CHALLENGE_SECONDS
from meshtracker.link.transitions import State
from meshtracker.node.node import Node
from meshtracker.wire.frame import FrameType
from meshtracker.wire.link import Heartbeat, decode
from tests.link.support import CLOSED, SYNCED, hello_of, pair
from tests.mouth_to_mouth import (
    NOW,
    Link,
    announce,
    frames,
    live,
    node,
    rows,
    settle,
    swallow_all,
    swallow_data,
    synced,
)


def attempt(newcomer: Node, hub: Node, now: float = NOW) -> Link:
    """A link that is refused for its name, and gone."""
    link = Link(newcomer, hub, now)
    settle(link, now=now)
    assert link.states == CLOSED
    assert link.leaf.code is link.hub.code is CloseCode.NAME
    assert link.hub.refusal is CloseCode.NAME
    assert "another node named 'leaf' is linked from 127.0.0.1:1" in link.leaf.reason
    assert link.leaf.reason == link.hub.reason
    link.cut(now)
    return link


def up_for_a_while() -> tuple[Node, Node, Link, float]:
    """A leaf with three clients, its hub, their link that is up, and now."""
    leaf, hub = pair(3)
    link = synced(leaf, hub)
    return leaf, hub, link, live([link], [leaf, hub], NOW, 1.0, tick=0.1)


def challenges(link: Link) -> list[bool]:
    """What the hub's heartbeats say of ``answer_at_once``."""
    said = [decode(kind, payload) for kind, payload in frames(link.bytes[link.hub]) if kind is FrameType.HEARTBEAT]
    return [heartbeat.answer_at_once for heartbeat in said if isinstance(heartbeat, Heartbeat)]


def test_the_same_incarnation_replaces_its_old_link_at_once() -> None:
    leaf, hub = pair(3)
    first = synced(leaf, hub)
    second = synced(leaf, hub)
    assert (first.hub.state, first.hub.code) == (State.CLOSED, CloseCode.REPLACED)
    assert first.hub.reason == "replaced by a newer connection of 'leaf' from 127.0.0.1:1"
    assert first.hub.refusal is None
    settle(first)
    assert first.leaf.code is CloseCode.REPLACED
    assert second.states == SYNCED
    assert hub.links.synced() == [second.hub]
    # Nothing has to be sent again.
    assert second.hub.statistics(NOW).resync == ""


def test_the_same_incarnation_replaces_a_link_that_is_dead() -> None:
    leaf, hub = pair(3)
    first = synced(leaf, hub)
    first.wires = dict.fromkeys(first.ends, swallow_all)
    assert synced(leaf, hub).states == SYNCED
    assert first.hub.state is State.CLOSED


@pytest.mark.parametrize("incarnation", [0, 999, 1001, 2**64 - 1])
def test_another_incarnation_is_told_and_a_live_holder_keeps_the_name(incarnation: int) -> None:
    """Whichever number is the greater one."""
    leaf, hub = node("leaf", incarnation=1000), node("hub", forwards=True)
    announce(leaf, 1)
    leaf.flush(NOW)
    holder = synced(leaf, hub)
    newcomer = node("leaf", incarnation=incarnation)
    announce(newcomer, 2)
    newcomer.flush(NOW)
    now = NOW
    for _ in range(5):
        attempt(newcomer, hub, now)
        now = live([holder], [leaf, hub], now, 2 * CHALLENGE_SECONDS)
        assert holder.states == SYNCED, [end.reason for end in holder.ends]
    assert any(challenges(holder))
    # Nothing of what the newcomer's clients did is here.
    assert rows(hub) == rows(leaf)
    assert len(rows(hub)) == 1
    # Once the holder is gone the name is free.
    holder.cut(now)
    link = synced(newcomer, hub, now)
    assert rows(hub) == rows(newcomer)
    assert len(rows(hub)) == 2
    assert hub.links.synced() == [link.hub]


def test_a_dead_holder_loses_the_name() -> None:
    _, hub, holder, start = up_for_a_while()
    holder.wires = dict.fromkeys(holder.ends, swallow_all)
    back = node("leaf")
    attempt(back, hub, start)
    now = live([holder], [hub], start, CHALLENGE_SECONDS - 0.1, tick=0.1)
    assert holder.hub.state is State.SYNCED
    attempt(back, hub, now)
    now = live([holder], [hub], now, 0.1, tick=0.1)
    assert (holder.hub.state, holder.hub.code) == (State.CLOSED, CloseCode.NAME)
    assert holder.hub.reason == "silent for 2 s when another node came with its name"
    # Its own fault it is not: nothing is held against whoever has the name.
    assert holder.hub.refusal is None
    holder.cut(now)
    link = synced(back, hub, now)
    assert link.states == SYNCED
    # What it had before is brought back to it.
    assert rows(back) == rows(hub)
    assert len(rows(back)) == 3


def test_a_holder_whose_answers_do_not_arrive_loses_the_name() -> None:
    leaf, hub, holder, now = up_for_a_while()
    holder.wires[holder.leaf] = swallow_all
    attempt(node("leaf"), hub, now)
    live([holder], [leaf, hub], now, CHALLENGE_SECONDS)
    assert holder.hub.code is CloseCode.NAME


def test_a_holder_that_hears_data_no_more_is_alive() -> None:
    """That is a soft-split, which has its own time."""
    leaf, hub, holder, now = up_for_a_while()
    holder.wires[holder.hub] = swallow_data
    attempt(node("leaf"), hub, now)
    live([holder], [leaf, hub], now, 2 * CHALLENGE_SECONDS)
    assert holder.states == SYNCED


def test_a_holder_that_answers_at_the_last_moment_keeps_the_name() -> None:
    _, hub, holder, now = up_for_a_while()
    attempt(node("leaf"), hub, now)
    challenge = holder.hub.data_to_send(now)
    holder.leaf.receive_data(challenge, now + 1)
    answer = holder.leaf.data_to_send(now + 1)
    assert FrameType.HEARTBEAT in [kind for kind, _ in frames(answer)]
    holder.hub.receive_data(answer, now + CHALLENGE_SECONDS)
    holder.hub.handle_deadline(now + CHALLENGE_SECONDS)
    assert holder.hub.state is State.SYNCED
    assert holder.hub.next_deadline() > now + CHALLENGE_SECONDS


def test_many_newcomers_at_once_make_one_challenge() -> None:
    _, hub, holder, now = up_for_a_while()
    before = len(challenges(holder))
    for _ in range(50):
        attempt(node("leaf"), hub, now)
    assert holder.hub.next_deadline() == now + CHALLENGE_SECONDS
    settle(holder, now=now)
    assert challenges(holder)[before:].count(True) == 1
    assert hub.links.refused() == {"name": 50}


def test_newcomers_that_come_again_and_again_do_not_put_off_the_end_of_a_dead_holder() -> None:
    _, hub, holder, start = up_for_a_while()
    holder.wires = dict.fromkeys(holder.ends, swallow_all)
    now = start
    for _ in range(19):
        attempt(node("leaf"), hub, now)
        now = live([holder], [hub], now, 0.1, tick=0.1)
        assert holder.hub.state is State.SYNCED
    now = live([holder], [hub], now, 0.2, tick=0.1)
    assert holder.hub.code is CloseCode.NAME


def test_a_hub_that_was_busy_does_not_take_that_for_a_sign_of_life() -> None:
    """It looks at the clock again three seconds later, and nothing has come."""
    _, hub, holder, now = up_for_a_while()
    holder.wires = dict.fromkeys(holder.ends, swallow_all)
    attempt(node("leaf"), hub, now)
    live([holder], [hub], now + 3.5, CHALLENGE_SECONDS, tick=0.1)
    assert holder.hub.code is CloseCode.NAME


def test_a_challenge_comes_ahead_of_data() -> None:
    leaf, hub = pair(3)
    holder = synced(leaf, hub)
    for client in range(900):
        announce(hub, client)
    hub.flush(NOW)
    attempt(node("leaf"), hub)
    [(kind, payload)] = frames(holder.hub.data_to_send(NOW))
    heartbeat = decode(kind, payload)
    assert isinstance(heartbeat, Heartbeat)
    assert heartbeat.answer_at_once


def test_a_holder_that_is_still_coming_up_is_challenged_too() -> None:
    """It has said its name, and then nothing more."""
    leaf, hub = pair(3)
    holder = Link(leaf, hub)
    while holder.hub.peer is None:
        holder.step()
    while holder.hub.statistics(NOW).state != "bursting":
        holder.step()
    now = live([], [], NOW, 0.5)
    for end in holder.ends:
        end.handle_deadline(now)
    holder.wires[holder.leaf] = swallow_all
    back = node("leaf")
    attempt(back, hub, now)
    now = live([holder], [], now, CHALLENGE_SECONDS)
    assert holder.hub.code is CloseCode.NAME
    holder.cut(now)
    assert synced(back, hub, now).states == SYNCED


def test_of_two_hubs_that_dial_each_other_one_link_stays() -> None:
    one, two = node("one", forwards=True), node("two", forwards=True)
    links = [Link(one, two), Link(two, one)]
    settle(*links)
    states = sorted((link.states for link in links), key=str)
    assert states == sorted([CLOSED, SYNCED], key=str)
    [up] = [link for link in links if link.states == SYNCED]
    # The one that was dialled by the node whose name comes first, whichever came up first.
    assert up.leaf.statistics(NOW).peer == "two"
    [down] = [link for link in links if link is not up]
    assert {down.leaf.code, down.hub.code} == {CloseCode.REPLACED}
    assert one.links.refused().get("name") is None


def test_a_node_does_not_link_with_its_own_name() -> None:
    link = Link(node("hub"), node("hub", forwards=True))
    settle(link)
    assert link.states == CLOSED
    assert link.hub.code is CloseCode.NAME


def test_hello_tells_the_stream_that_a_node_writes() -> None:
    leaf = node("leaf", incarnation=77)
    assert hello_of(leaf).stream == leaf.mesh.own
    assert leaf.mesh.own == ("leaf", 77)
