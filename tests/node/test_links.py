"""Who is linked, and who replaces whom."""

from __future__ import annotations

import pytest

from meshtracker.errors import LinkError
from meshtracker.link.policy import LinkPolicy
from meshtracker.link.split import Verdict
from meshtracker.link.state import State
from meshtracker.node.links import KEPT_FAILURES, NEWS_SECONDS
from tests.mouth_to_mouth import NOW, Link, node, session, settle, synced


def test_only_links_that_are_up_count_as_synced() -> None:
    hub = node("hub", forwards=True)
    coming = session(hub, dials=False)
    link = synced(node("a"), hub)
    assert hub.links.synced() == [link.hub]
    assert [statistics.state for statistics in hub.links.statistics(NOW)] == ["authenticating", "synced"]
    link.hub.close("enough", NOW)
    assert hub.links.synced() == []
    hub.links.remove(coming, NOW)
    hub.links.remove(link.hub, NOW)
    assert [statistics.reason for statistics in hub.links.statistics(NOW)] == ["enough", ""]


def test_links_that_ended_are_kept_for_a_while_one_for_each_trouble() -> None:
    hub = node("hub", forwards=True)
    for number in range(3 * KEPT_FAILURES):
        ended = session(hub, dials=False)
        ended.close(f"reason {number % (KEPT_FAILURES + 5)}", NOW)
        hub.links.remove(ended, NOW)
    kept = [statistics.reason for statistics in hub.links.statistics(NOW)]
    assert len(kept) == len(set(kept)) == KEPT_FAILURES
    assert kept[0] == f"reason {(3 * KEPT_FAILURES - 1) % (KEPT_FAILURES + 5)}"


def test_the_time_since_the_end_goes_on() -> None:
    hub = node("hub", forwards=True)
    ended = session(hub, dials=False)
    ended.close("enough", NOW)
    hub.links.remove(ended, NOW + 1)
    [statistics] = hub.links.statistics(NOW + 60)
    assert (statistics.since_seconds, statistics.heard_seconds_ago) == (60, 60)


def test_trouble_is_news_once() -> None:
    hub = node("hub", forwards=True)

    def end(reason: str, now: float) -> bool:
        ended = session(hub, dials=False)
        ended.close(reason, now)
        return hub.links.remove(ended, now)

    assert end("wrong", NOW)
    assert not end("wrong", NOW + 1)
    assert end("worse", NOW + 1)
    assert not end("wrong", NOW + NEWS_SECONDS)
    assert end("wrong", NOW + 3 * NEWS_SECONDS)
    link = synced(node("a"), hub)
    for _ in range(2):
        link.hub.close("lost", NOW)
        assert hub.links.remove(link.hub, NOW)
        hub.links.add(link.hub)


@pytest.mark.parametrize(("incarnation", "replaces"), [(999, False), (1000, True), (1001, True)])
def test_admit(incarnation: int, replaces: bool) -> None:
    hub = node("hub", forwards=True)
    link = synced(node("a"), hub)
    other = synced(node("b"), hub)
    newer = session(hub, dials=False)
    hello = node("a", incarnation=incarnation).mesh.hello(NOW)
    if replaces:
        hub.links.admit(newer, hello, NOW)
        assert "replaced by a newer connection of 'a'" in link.hub.reason
    else:
        with pytest.raises(LinkError, match="another live node named 'a' is linked from"):
            hub.links.admit(newer, hello, NOW)
    assert (link.hub.state is State.CLOSED) is replaces
    assert other.hub.state is State.SYNCED
    assert newer.state is State.AUTHENTICATING


def test_a_link_that_is_closed_holds_no_name() -> None:
    hub = node("hub", forwards=True)
    link = synced(node("a"), hub)
    link.hub.close("enough", NOW)
    hub.links.admit(session(hub, dials=False), node("a", incarnation=1).mesh.hello(NOW), NOW)
    assert link.hub.reason == "enough"


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
    ended.close("enough", NOW)
    hub.links.remove(ended, NOW)
    assert hub.links.refused() == {"name": 1, "clock": 2}


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
