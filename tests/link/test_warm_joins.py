"""A leaf whose access list changes: what is newly allowed comes at once, or with the next link."""

from __future__ import annotations

import pytest

from meshtracker.errors import CloseCode
from meshtracker.model import Event
from meshtracker.swarm.access import Access
from meshtracker.wire.frame import FrameType
from meshtracker.wire.link import Interest
from tests.link.allow_lists import allow, busy_hub, changes, deny, interests, swarms_sent, torrent_of, tracked
from tests.link.support import CLOSED, SYNCED, sequences
from tests.mouth_to_mouth import NOW, Link, announce, live, node, rows, settle, synced

# ---------------------------------------------------------------- changed while the link is up


@pytest.mark.parametrize(
    ("before", "after", "fetched"),
    [
        (allow(1), allow(1, 2, 3), {2, 3}),
        (allow(1), allow(2), {2}),
        (allow(), allow(0, 1, 2), {0, 1, 2}),
        (allow(1, 2), allow(1), set()),
        (deny(1, 2, 3), deny(3), {1, 2}),
        (deny(1), deny(1, 2), set()),
        (deny(), deny(1, 2), set()),
    ],
)
def test_what_is_newly_allowed_is_there_at_once(before: Access, after: Access, fetched: set[int]) -> None:
    hub = busy_hub()
    leaf = node("leaf", access=before)
    link = synced(leaf, hub)
    position = sequences(leaf)
    leaf.set_access(after, NOW)
    settle(link)
    assert link.states == SYNCED
    asked = [hashes for interest, hashes in interests(link) if interest is Interest.FETCH]
    assert asked == ([set(map(torrent_of, fetched))] if fetched else [])
    assert swarms_sent(link, (FrameType.SWARMS,)) == set(map(torrent_of, fetched))
    # Tombstones and completed downloads come too: what stopped elsewhere stays away.
    assert tracked(leaf, after) == tracked(hub, after)
    for number in fetched:
        assert leaf.scrape([torrent_of(number)]) == hub.scrape([torrent_of(number)])
        assert leaf.scrape([torrent_of(number)])[0].downloaded == 1
    assert sequences(leaf) == position
    assert leaf.mesh.lacks_swarms() == 0
    # And goes on.
    changes(hub, [link])
    assert tracked(leaf, after) == tracked(hub, after)
    assert sequences(leaf) == sequences(hub)


def test_what_is_no_longer_allowed_is_no_longer_sent() -> None:
    hub = busy_hub()
    leaf = node("leaf", access=allow(1, 2))
    link = synced(leaf, hub)
    leaf.set_access(allow(2), NOW)
    settle(link)
    assert interests(link)[1:] == [(Interest.DROP, {torrent_of(1)})]
    link.bytes[link.hub].clear()
    changes(hub, [link])
    assert swarms_sent(link) == {torrent_of(2)}
    assert leaf.mesh.statistics().dropped_records == 0


def test_a_torrent_that_comes_and_goes_and_comes_again() -> None:
    """What changed while it was not tracked is there when it is tracked again."""
    hub = busy_hub()
    leaf = node("leaf", access=allow(1, 2))
    link = synced(leaf, hub)
    leaf.set_access(allow(2), NOW)
    settle(link)
    announce(hub, 11, torrent=1, event=Event.STOPPED)
    announce(hub, 700, torrent=1)
    hub.mesh.flush(NOW)
    settle(link)
    assert tracked(leaf, allow(1)) != tracked(hub, allow(1))
    leaf.set_access(allow(1, 2), NOW)
    settle(link)
    assert rows(leaf) == tracked(hub, allow(1, 2))


def test_changes_that_come_between_asking_and_the_answer_are_not_lost() -> None:
    hub = busy_hub()
    leaf = node("leaf", access=allow(1))
    link = synced(leaf, hub)
    for turn in range(40):
        leaf.set_access(allow(1, *range(turn % 5, turn % 10)), NOW)
        announce(hub, 800 + turn, torrent=turn % 10)
        hub.mesh.flush(NOW)
        announce(leaf, 900 + turn, torrent=1)
        leaf.mesh.flush(NOW)
        for _ in range(turn % 3):
            link.step()
    settle(link)
    assert link.states == SYNCED, link.leaf.reason
    assert tracked(leaf, leaf.access) == tracked(hub, leaf.access)


def test_one_leafs_list_is_nothing_to_another() -> None:
    hub = busy_hub()
    narrow, whole = node("narrow", access=allow(1)), node("whole")
    links = [synced(narrow, hub), synced(whole, hub)]
    narrow.set_access(allow(1, 2), NOW)
    before = len(links[1].bytes[links[1].hub])
    settle(*links)
    assert len(links[1].bytes[links[1].hub]) == before
    changes(narrow, links, torrents=0)
    changes(hub, links)
    assert rows(whole) == rows(hub)


def test_a_list_that_is_the_same_says_nothing() -> None:
    hub = busy_hub()
    leaf = node("leaf", access=allow(1))
    link = synced(leaf, hub)
    leaf.set_access(allow(1), NOW)
    assert not link.leaf.data_to_send(NOW)
    assert leaf.mesh.lacks_swarms() == 0


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (allow(1), Access()),
        (allow(1), deny(1)),
        (deny(1), allow(1)),
        (deny(1), Access()),
        (Access(), allow(1)),
        (deny(), allow(1)),
    ],
)
def test_another_kind_of_list_makes_the_link_anew(before: Access, after: Access) -> None:
    hub = busy_hub()
    leaf = node("leaf", access=before)
    link = synced(leaf, hub)
    leaf.set_access(after, NOW)
    settle(link)
    assert link.states == CLOSED
    assert link.leaf.code is link.hub.code is CloseCode.RESET
    assert link.hub.reason == "the access list is another one now"
    link.cut()
    link = synced(leaf, hub)
    assert tracked(leaf, after) == tracked(hub, after)
    changes(hub, [link])
    assert tracked(leaf, after) == tracked(hub, after)
    assert sequences(leaf) == sequences(hub)


def test_a_list_that_grows_too_long_to_be_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("meshtracker.node.mesh.MAX_INTEREST", 2)
    hub = busy_hub()
    leaf = node("leaf", access=allow(1))
    link = synced(leaf, hub)
    for access in (allow(1, 2, 3), allow(1, 3)):
        leaf.set_access(access, NOW)
        settle(link)
        assert link.states == CLOSED
        link.cut()
        link = synced(leaf, hub)
        assert tracked(leaf, access) == tracked(hub, access)
    leaf.set_access(allow(4, 5, 6), NOW)
    link.cut()
    link = synced(leaf, hub)
    leaf.set_access(allow(4, 5, 6, 7), NOW)
    settle(link)
    # Neither was said: nothing to make anew.
    assert link.states == SYNCED
    assert tracked(leaf, leaf.access) == tracked(hub, leaf.access)


# ---------------------------------------------------------------- changed while the link is down


@pytest.mark.parametrize("after", [allow(1, 2), Access(), deny(3)])
def test_what_was_allowed_while_the_link_was_down_comes_with_the_next(after: Access) -> None:
    hub = busy_hub()
    leaf = node("leaf", access=allow(1))
    synced(leaf, hub).cut()
    leaf.set_access(after, NOW)
    assert leaf.mesh.lacks_swarms()
    link = synced(leaf, hub)
    assert link.leaf.statistics(NOW).resync == "hub: full (asked for)"
    # The hub knows all of the leaf as before.
    assert link.hub.statistics(NOW).resync == ""
    assert tracked(leaf, after) == tracked(hub, after)
    assert not leaf.mesh.lacks_swarms()
    link.cut()
    assert "full" not in synced(leaf, hub).leaf.statistics(NOW).resync


@pytest.mark.parametrize("is_linked", [True, False])
def test_a_nodes_own_clients_of_before_its_restart_come_with_their_torrent(is_linked: bool) -> None:
    """They were brought back while it did not track that one, and dropped."""
    hub, leaf = node("hub", forwards=True), node("leaf")
    for torrent in (1, 2):
        announce(leaf, torrent, torrent=torrent)
    leaf.mesh.flush(NOW)
    synced(leaf, hub).cut()
    again = node("leaf", access=allow(1))
    link = synced(again, hub)
    assert rows(again) == tracked(hub, allow(1))
    if not is_linked:
        link.cut()
    again.set_access(allow(1, 2), NOW)
    if not is_linked:
        link = synced(again, hub)
    settle(link)
    assert rows(again) == rows(hub)
    assert len(rows(again)) == 2


def test_a_list_that_shrank_while_the_link_was_down_costs_nothing() -> None:
    hub = busy_hub()
    leaf = node("leaf", access=allow(1, 2))
    synced(leaf, hub).cut()
    leaf.set_access(allow(2), NOW)
    link = synced(leaf, hub)
    assert link.leaf.statistics(NOW).resync == ""
    assert interests(link) == [(Interest.TRACK, {torrent_of(2)})]


@pytest.mark.parametrize("steps", range(12))
def test_a_link_that_breaks_before_the_answer(steps: int) -> None:
    hub = busy_hub()
    leaf = node("leaf", access=allow(1))
    link = synced(leaf, hub)
    leaf.set_access(allow(*range(6)), NOW)
    for _ in range(steps):
        link.step()
    link.cut()
    synced(leaf, hub)
    assert rows(leaf) == tracked(hub, leaf.access)
    assert not leaf.mesh.lacks_swarms()


@pytest.mark.parametrize("steps", range(14))
def test_a_list_that_changes_while_the_link_comes_up(steps: int) -> None:
    hub = busy_hub()
    leaf = node("leaf", access=allow(1))
    link = Link(leaf, hub)
    for _ in range(steps):
        link.step()
    leaf.set_access(allow(2, 3), NOW)
    settle(link)
    assert link.states == SYNCED
    assert tracked(leaf, leaf.access) == tracked(hub, leaf.access)


def test_the_next_change_waits_for_its_own_answer() -> None:
    """Two changes are under way, and the answer to the first alone has come when the link breaks."""
    hub = busy_hub()
    leaf = node("leaf", access=allow(1))
    link = synced(leaf, hub)
    leaf.set_access(allow(1, 2), NOW)
    link.hub.receive_data(link.leaf.data_to_send(NOW), NOW)
    leaf.set_access(allow(1, 2, 3), NOW)
    while data := link.hub.data_to_send(NOW):
        link.leaf.receive_data(data, NOW)
    assert leaf.mesh.lacks_swarms()
    link.cut()
    synced(leaf, hub)
    assert rows(leaf) == tracked(hub, leaf.access)


@pytest.mark.parametrize("access", [allow(1, 2), Access("deny", frozenset({torrent_of(1)}))])
def test_a_list_that_is_taken_away_makes_nobody_begin_anew(access: Access) -> None:
    """What was left out comes in snapshots of streams that were known that far: nobody has lied."""
    hub, writer, leaf = busy_hub(), node("writer"), node("leaf", access=access)
    for client in range(20):
        announce(writer, client, torrent=client % 5)
    writer.mesh.flush(NOW)
    links = [synced(writer, hub), synced(leaf, hub)]
    leaf.set_access(Access(), NOW)
    assert links[1].leaf.is_closed
    links[1].cut()
    links[1] = synced(leaf, hub)
    live(links, [hub, writer, leaf], NOW, 20)
    assert rows(leaf) == rows(hub)
    assert leaf.mesh.keeps(writer.mesh.own)
    assert [owner.mesh.statistics().began_anew for owner in (hub, writer, leaf)] == [0, 0, 0]
    assert leaf.mesh.vector() == hub.mesh.vector()
