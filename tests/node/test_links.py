"""Who is linked, and who replaces whom."""

from __future__ import annotations

import pytest

from meshtracker.errors import CloseCode, LinkError
from meshtracker.link.challenge import CHALLENGE_SECONDS
from meshtracker.link.policy import LinkPolicy
from meshtracker.link.split import Verdict
from meshtracker.link.transitions import State
from meshtracker.node.links import KEPT_FAILURES, NEWS_SECONDS
from meshtracker.wire.link import VERSIONS, Heartbeat, Hello, decode, encode_end_of_burst
from meshtracker.wire.vector import MAX_STREAMS
from tests.mouth_to_mouth import NOW, Link, announce, frames, live, node, session, settle, swallow_all, synced


def test_only_links_that_are_up_count_as_synced() -> None:
    hub = node("hub", forwards=True)
    coming = session(hub, dials=False)
    link = synced(node("a"), hub)
    assert hub.links.synced() == [link.hub]
    assert [statistics.state for statistics in hub.links.statistics(NOW)] == ["authenticating", "synced"]
    link.hub.close("enough", NOW, code=CloseCode.OTHER)
    assert hub.links.synced() == []
    hub.links.remove(coming, NOW)
    hub.links.remove(link.hub, NOW)
    assert [statistics.reason for statistics in hub.links.statistics(NOW)] == ["enough", ""]


def test_links_that_ended_are_kept_for_a_while_one_for_each_trouble() -> None:
    hub = node("hub", forwards=True)
    for number in range(3 * KEPT_FAILURES):
        ended = session(hub, dials=False)
        ended.close(f"reason {number % (KEPT_FAILURES + 5)}", NOW, code=CloseCode.OTHER)
        hub.links.remove(ended, NOW)
    kept = [statistics.reason for statistics in hub.links.statistics(NOW)]
    assert len(kept) == len(set(kept)) == KEPT_FAILURES
    assert kept[0] == f"reason {(3 * KEPT_FAILURES - 1) % (KEPT_FAILURES + 5)}"


def test_the_time_since_the_end_goes_on() -> None:
    hub = node("hub", forwards=True)
    ended = session(hub, dials=False)
    ended.close("enough", NOW, code=CloseCode.OTHER)
    hub.links.remove(ended, NOW + 1)
    [statistics] = hub.links.statistics(NOW + 60)
    assert (statistics.since_seconds, statistics.heard_seconds_ago) == (60, 60)


def test_trouble_is_news_once() -> None:
    hub = node("hub", forwards=True)

    def end(reason: str, now: float) -> bool:
        ended = session(hub, dials=False)
        ended.close(reason, now, code=CloseCode.OTHER)
        return hub.links.remove(ended, now)

    assert end("wrong", NOW)
    assert not end("wrong", NOW + 1)
    assert end("worse", NOW + 1)
    assert not end("wrong", NOW + NEWS_SECONDS)
    assert end("wrong", NOW + 3 * NEWS_SECONDS)
    link = synced(node("a"), hub)
    for _ in range(2):
        link.hub.close("lost", NOW, code=CloseCode.OTHER)
        assert hub.links.remove(link.hub, NOW)
        hub.links.add(link.hub)


def hello(name: str, incarnation: int) -> Hello:
    """What a node of that name says of itself."""
    return node(name, incarnation=incarnation).mesh.hello(NOW, versions=VERSIONS, capabilities=(), may_speak=True)


def test_a_newer_connection_of_the_same_node_replaces_the_older_one() -> None:
    hub = node("hub", forwards=True)
    link, other = synced(node("a", incarnation=1000), hub), synced(node("b"), hub)
    newer = session(hub, dials=False)
    hub.links.admit(newer, hello("a", 1000), NOW)
    assert "replaced by a newer connection of 'a'" in link.hub.reason
    assert (link.hub.state, link.hub.code) == (State.CLOSED, CloseCode.REPLACED)
    assert other.hub.state is State.SYNCED
    assert newer.state is State.AUTHENTICATING


@pytest.mark.parametrize("incarnation", [0, 999, 1001, (1 << 64) - 1])
def test_a_name_is_its_that_is_linked_whichever_incarnation_is_the_larger(incarnation: int) -> None:
    hub = node("hub", forwards=True)
    link = synced(node("a", incarnation=1000), hub)
    with pytest.raises(LinkError, match="another node named 'a' is linked from") as caught:
        hub.links.admit(session(hub, dials=False), hello("a", incarnation), NOW)
    assert caught.value.code is CloseCode.NAME
    assert link.hub.state is State.SYNCED


def test_who_has_a_name_keeps_it_while_it_answers() -> None:
    hub, holder = node("hub", forwards=True), node("a")
    link = synced(holder, hub)
    now = NOW
    for _ in range(5):
        newcomer = Link(node("a"), hub, now)
        settle(newcomer, now=now)
        assert newcomer.leaf.code is CloseCode.NAME
        assert newcomer.leaf.told_by_peer
        newcomer.cut(now)
        now = live([link], [hub, holder], now, CHALLENGE_SECONDS + 1)
        assert link.states == (State.SYNCED, State.SYNCED)
    assert hub.links.refused() == {"name": 5}
    # That is no breach: nobody has to wait for it.
    assert [one.breaches for one in hub.links.neighbours(now)] == [0]


def test_who_has_a_name_and_is_silent_loses_it_to_the_next_that_comes() -> None:
    hub = node("hub", forwards=True)
    link = synced(node("a"), hub)
    link.wires[link.leaf] = swallow_all
    refused = Link(node("a"), hub)
    settle(refused, link)
    refused.cut()
    deadline = link.hub.next_deadline()
    assert deadline <= NOW + CHALLENGE_SECONDS
    for moment in (deadline, NOW + CHALLENGE_SECONDS - 0.001):
        link.hub.handle_deadline(moment)
        assert link.hub.state is State.SYNCED
    assert link.hub.next_deadline() == NOW + CHALLENGE_SECONDS
    link.hub.handle_deadline(NOW + CHALLENGE_SECONDS)
    assert (link.hub.state, link.hub.code) == (State.CLOSED, CloseCode.NAME)
    assert "silent for 2 s when another node came with its name" in link.hub.reason
    link.cut(NOW + CHALLENGE_SECONDS)
    synced(node("a"), hub, NOW + 3)


def test_the_holder_is_asked_at_once() -> None:
    hub = node("hub", forwards=True)
    link = synced(node("a"), hub)
    woken: list[None] = []
    hub.links.on_command = lambda: woken.append(None)
    settle(Link(node("a"), hub))
    assert woken == [None]
    [(kind, payload)] = frames(link.hub.data_to_send(NOW))
    heartbeat = decode(kind, payload)
    assert isinstance(heartbeat, Heartbeat)
    assert heartbeat.answer_at_once


def test_a_link_that_is_closed_holds_no_name() -> None:
    hub = node("hub", forwards=True)
    link = synced(node("a"), hub)
    link.hub.close("enough", NOW, code=CloseCode.OTHER)
    hub.links.admit(session(hub, dials=False), hello("a", 1), NOW)
    assert link.hub.reason == "enough"


# ---------------------------------------------------------------- who broke the protocol


def breach(link: Link, now: float) -> None:
    """The leaf says a second time that its burst is over."""
    link.hub.receive_data(encode_end_of_burst(), now)
    assert link.hub.refusal is CloseCode.PROTOCOL
    settle(link, now=now)
    link.cut(now)


def test_who_breaks_the_protocol_is_refused_for_ever_longer() -> None:
    hub, leaf, other = node("hub", forwards=True), node("a"), node("b")
    now, waits = NOW, []
    for _ in range(8):
        breach(synced(leaf, hub, now), now)
        refused = Link(leaf, hub, now)
        settle(refused, now=now)
        assert (refused.leaf.code, refused.hub.refusal) == (CloseCode.PENALTY, CloseCode.PENALTY)
        assert "for it broke the protocol: protocol error: END_OF_BURST is not allowed" in refused.leaf.reason
        refused.cut(now)
        # To be refused for that is no breach.
        [remembered] = [one for one in hub.links.neighbours(now) if one.name == "a"]
        waits.append(remembered.refused_for_seconds)
        synced(other, hub, now).cut(now)
        now += waits[-1]
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]
    assert (remembered.breaches, "END_OF_BURST" in remembered.breach) == (8, True)
    assert hub.links.refused() == {"protocol": 8, "penalty": 8}
    # Its side has nothing against the hub.
    assert [one.breaches for one in leaf.links.neighbours(now)] == [0]


@pytest.mark.parametrize("code", CloseCode)
def test_only_a_breach_is_punished(code: CloseCode) -> None:
    hub, leaf = node("hub", forwards=True), node("a")
    link = synced(leaf, hub)
    link.hub._refuse("of this test", code, NOW)
    link.cut()
    [remembered] = hub.links.neighbours(NOW)
    is_breach = code in {CloseCode.PROTOCOL, CloseCode.FORGED, CloseCode.FLOOD}
    assert (remembered.breaches, remembered.refused_for_seconds > 0) == (int(is_breach), is_breach)


def test_a_stranger_that_breaks_the_protocol_says_no_name_to_be_refused_by() -> None:
    hub = node("hub", forwards=True)
    stranger = session(hub, dials=False)
    stranger.receive_data(b"GET / HTTP/1.1\r\n\r\n", NOW)
    assert stranger.refusal is CloseCode.PROTOCOL
    hub.links.remove(stranger, NOW)
    assert hub.links.neighbours(NOW) == ()
    assert hub.links.refused() == {"protocol": 1}


# ---------------------------------------------------------------- what is remembered


def test_soft_splits_are_remembered_beyond_their_connection() -> None:
    hub, leaf = node("hub", forwards=True), node("a", dials=True)
    for number, resets in enumerate((True, True, False)):
        link = synced(leaf, hub)
        verdict = Verdict("outbound", 15.0, f"verdict {number}")
        hub.links.note_split(link.hub, verdict, NOW + number, resets=resets)
        link.cut()
    [remembered] = hub.links.neighbours(NOW + 5)
    assert (remembered.soft_splits, remembered.split_resets, remembered.resets) == (3, 2, 0)
    assert (remembered.verdict_rule, remembered.verdict, remembered.verdict_seconds_ago) == (
        "outbound",
        "verdict 2",
        3.0,
    )


def test_refusals_are_counted_by_kind() -> None:
    hub = node("hub", forwards=True)
    for name, ahead_seconds in (("hub", 0.0), ("a", 90.0), ("a", -90.0)):
        refused = Link(node(name, clock_ahead_seconds=ahead_seconds), hub)
        settle(refused)
        refused.cut()
    ended = session(hub, dials=False)
    ended.close("enough", NOW, code=CloseCode.OTHER)
    hub.links.remove(ended, NOW)
    assert hub.links.refused() == {"name": 1, "clock": 2}
    assert sorted(one.code for one in hub.links.statistics(NOW)) == ["clock", "name", "other"]


@pytest.mark.parametrize("auto_reset", [True, False])
def test_a_soft_split_is_counted_by_itself(*, auto_reset: bool) -> None:
    hub, leaf = node("hub", forwards=True), node("a", dials=True)
    link = synced(leaf, hub, policy=LinkPolicy(auto_reset=auto_reset))
    link.hub.handle_deadline(link.hub.next_deadline())
    for second in range(1, 21):
        link.hub.data_to_send(NOW + second)
        link.hub.handle_deadline(NOW + second)
    [state] = [one.state for one in hub.links.statistics(NOW + 20)]
    assert state == ("closed" if auto_reset else "soft-split")
    link.cut(NOW + 20)
    [remembered] = hub.links.neighbours(NOW + 20)
    assert (remembered.soft_splits, remembered.split_resets, remembered.resets) == (1, int(auto_reset), 0)
    assert remembered.verdict
    assert hub.links.refused() == {}


def test_two_hubs_that_dial_each_other_keep_one_link() -> None:
    one, other = node("hub-1", forwards=True), node("hub-2", forwards=True)
    for _ in range(2):
        dialled_by_other = Link(other, one)
        dialled_by_one = Link(one, other)
        settle(dialled_by_other, dialled_by_one)
        assert dialled_by_one.states == (State.SYNCED, State.SYNCED)
        assert dialled_by_other.states == (State.CLOSED, State.CLOSED)
        again = Link(other, one)
        settle(dialled_by_one, again)
        assert "dial each other" in again.leaf.reason
        assert dialled_by_one.states == (State.SYNCED, State.SYNCED)
        for link in (dialled_by_one, dialled_by_other, again):
            link.cut()


# ---------------------------------------------------------------- all links, and which leads where


def test_all_links_are_made_anew_at_once() -> None:
    hub = node("hub", forwards=True)
    links = [synced(node(name), hub) for name in "ab"]
    coming = session(hub, dials=False)
    woken: list[None] = []
    hub.links.on_command = lambda: woken.append(None)
    hub.links.reset_all("of this test", NOW)
    settle(*links)
    assert {end.state for link in links for end in link.ends} == {State.CLOSED}
    assert {end.code for link in links for end in link.ends} == {CloseCode.RESET}
    assert {link.leaf.reason for link in links} == {"of this test"}
    assert coming.is_closed
    assert woken == [None]
    # It is no refusal, and no command of an operator.
    for link in links:
        link.cut()
    assert hub.links.refused() == {}
    assert [one.resets for one in hub.links.neighbours(NOW)] == [0, 0]


def test_which_link_leads_to_a_node() -> None:
    """The neighbour's own; else the one by which its stream came last; else a hub's."""
    one, two, three = (node(f"hub-{number}", forwards=True) for number in (1, 2, 3))
    leaf = node("leaf")
    to_two, to_three, of_leaf = synced(one, two), synced(one, three), synced(leaf, three)
    assert one.links.way_to("hub-2") is to_two.leaf
    assert one.links.way_to("hub-3") is to_three.leaf
    assert one.links.way_to("leaf") is to_two.leaf
    for client in (1, 2):
        announce(leaf, client)
        leaf.flush(NOW)
        settle(of_leaf, to_three, to_two)
    assert one.links.way_to("leaf") is to_three.leaf
    assert leaf.links.way_to("whoever") is of_leaf.leaf
    assert three.links.way_to("leaf") is of_leaf.hub
    to_three.cut()
    assert one.links.way_to("leaf") is to_two.leaf
    to_two.cut()
    assert one.links.way_to("leaf") is None


def test_ways_that_are_remembered_are_bounded() -> None:
    hub = node("hub", forwards=True)
    link = synced(node("a"), hub)
    for number in range(MAX_STREAMS + 1):
        hub.links.note_heard(link.hub, f"n{number}")
    assert hub.links.way_to("n0") is link.hub
    assert hub.links.way_to(f"n{MAX_STREAMS}") is None
