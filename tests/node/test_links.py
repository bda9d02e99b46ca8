"""Who is linked, and who replaces whom."""

from __future__ import annotations

import pytest

from meshtracker.errors import LinkError
from meshtracker.link.session import State
from meshtracker.node.links import KEPT_FAILURES, NEWS_SECONDS
from tests.mouth_to_mouth import NOW, node, session, synced


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
