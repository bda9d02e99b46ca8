"""A leaf with an allow list is sent only its swarms, and those newly allowed at once."""

from __future__ import annotations

import random

import pytest

from meshtracker.link.state import State
from meshtracker.model import Event
from meshtracker.node.node import Node
from meshtracker.swarm.access import Access
from meshtracker.wire.batch import decode_batch, groups
from meshtracker.wire.frame import FrameType
from meshtracker.wire.link import Interest, decode_interest, encode_hello, encode_interest
from tests.link.support import CLOSED, SYNCED, at_state, refused
from tests.mouth_to_mouth import NOW, Link, Rows, announce, frames, node, rows, settle, synced


def torrent_of(number: int) -> bytes:
    return number.to_bytes(20, "big")


def allow(*torrents: int) -> Access:
    return Access("allow", frozenset(map(torrent_of, torrents)))


def deny(*torrents: int) -> Access:
    return Access("deny", frozenset(map(torrent_of, torrents)))


def tracked(owner: Node, access: Access) -> Rows:
    """What a node knows of the swarms of an access list."""
    return {key: row for key, row in rows(owner).items() if access.allows(key[0])}


def busy_hub(torrents: int = 10) -> Node:
    """Three clients in each torrent, one of which has stopped and one completed, in a batch for each change."""
    hub = node("hub", forwards=True)
    for torrent in range(torrents):
        for client in range(3):
            announce(hub, 10 * torrent + client, torrent=torrent)
            hub.mesh.flush(NOW)
        announce(hub, 10 * torrent, torrent=torrent, event=Event.STOPPED)
        announce(hub, 10 * torrent + 1, torrent=torrent, event=Event.COMPLETED, left=0)
        hub.mesh.flush(NOW)
    return hub


def swarms_sent(link: Link, kinds: tuple[FrameType, ...] = (FrameType.BATCH, FrameType.SNAPSHOT)) -> set[bytes]:
    """Info-hashes that the hub has sent."""
    return {
        info_hash
        for kind, payload in frames(link.bytes[link.hub])
        if kind in kinds
        for info_hash, _ in groups(decode_batch(payload))
    }


def interests(link: Link) -> list[tuple[Interest, set[bytes]]]:
    """What the leaf has asked for."""
    said = [decode_interest(payload) for kind, payload in frames(link.bytes[link.leaf]) if kind is FrameType.INTEREST]
    return [(interest, set(info_hashes)) for interest, info_hashes in said]


def changes(owner: Node, links: list[Link], *, torrents: int = 10, first: int = 500) -> None:
    """One change in each torrent."""
    for torrent in range(torrents):
        announce(owner, first + torrent, torrent=torrent)
        owner.mesh.flush(NOW)
    settle(*links)


# ---------------------------------------------------------------- narrowed from the start


def test_a_leaf_with_an_allow_list_is_sent_only_its_swarms() -> None:
    hub, access = busy_hub(), allow(3, 4, 99)
    narrow, whole = node("narrow", access=access), node("whole", access=deny(0, 1, 2, 5, 6, 7, 8, 9))
    links = [synced(narrow, hub), synced(whole, hub)]
    changes(hub, links)
    assert swarms_sent(links[0]) == {torrent_of(3), torrent_of(4)}
    assert swarms_sent(links[1]) == set(map(torrent_of, range(10)))
    # Both hold the same: what one was not sent the other has thrown away.
    assert rows(narrow) == rows(whole) == tracked(hub, access)
    assert len(rows(narrow)) == 8
    assert narrow.mesh.statistics().dropped_records == 0
    assert whole.mesh.statistics().dropped_records > 0
    assert narrow.mesh.vector() == hub.mesh.vector()
    statistics = links[0].hub.statistics(NOW)
    assert statistics.skipped_bytes > 8 * 50
    assert links[1].hub.statistics(NOW).skipped_bytes == 0
    assert statistics.sent_bytes < links[1].hub.statistics(NOW).sent_bytes
    assert [links[0].states, links[1].states] == [SYNCED, SYNCED]


def test_a_narrowed_stream_continues_where_it_was() -> None:
    hub, access = busy_hub(), allow(3)
    leaf = node("leaf", access=access)
    synced(leaf, hub).cut()
    changes(hub, [])
    link = synced(leaf, hub)
    assert link.leaf.statistics(NOW).resync == "hub: partial after batch 40"
    assert rows(leaf) == tracked(hub, access)
    assert swarms_sent(link) == {torrent_of(3)}
    assert leaf.mesh.vector() == hub.mesh.vector()


@pytest.mark.parametrize("access", [Access(), deny(), deny(3), Access("open", frozenset({torrent_of(1)}))])
def test_who_does_not_list_what_it_allows_is_sent_everything(access: Access) -> None:
    link = synced(node("leaf", access=access), busy_hub())
    assert interests(link) == []
    assert len(swarms_sent(link)) == 10


def test_a_list_that_is_too_long_to_be_said_is_not_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("meshtracker.node.mesh.MAX_INTEREST", 2)
    for access, narrowed in ((allow(1, 2), True), (allow(1, 2, 3), False)):
        hub = busy_hub()
        leaf = node("leaf", access=access)
        link = synced(leaf, hub)
        assert (swarms_sent(link) == set(access.info_hashes)) is narrowed
        assert bool(interests(link)) is narrowed
        assert rows(leaf) == tracked(hub, access)


def test_a_leaf_that_tracks_nothing_is_sent_nothing() -> None:
    hub = busy_hub()
    leaf = node("leaf", access=allow())
    link = synced(leaf, hub)
    changes(hub, [link])
    assert interests(link) == [(Interest.TRACK, set())]
    assert swarms_sent(link) == set()
    assert leaf.mesh.vector() == hub.mesh.vector()


def test_a_long_list_takes_several_frames() -> None:
    access = allow(*range(9000))
    leaf, hub = node("leaf", access=access), busy_hub()
    link = synced(leaf, hub)
    said = interests(link)
    assert [interest for interest, _ in said] == [Interest.TRACK] * 3
    assert set().union(*(info_hashes for _, info_hashes in said)) == access.info_hashes
    assert rows(leaf) == rows(hub)


def test_what_a_leaf_itself_has_to_tell_is_not_narrowed() -> None:
    leaf, hub = node("leaf", access=allow(3)), node("hub", forwards=True)
    announce(leaf, 1, torrent=3)
    leaf.mesh.flush(NOW)
    leaf.access = Access()
    announce(leaf, 2, torrent=4)
    leaf.mesh.flush(NOW)
    synced(leaf, hub)
    assert {key[0] for key in rows(hub)} == {torrent_of(3), torrent_of(4)}


def test_a_hub_keeps_and_passes_on_what_it_does_not_serve() -> None:
    hub = node("hub", forwards=True, access=allow(3))
    one, other = node("one"), node("other")
    links = [synced(one, hub), synced(other, hub)]
    changes(one, links)
    assert all(interests(link) == [] for link in links)
    assert rows(one) == rows(other) == rows(hub)
    assert len(rows(hub)) == 10


def test_hubs_are_sent_everything_by_one_another() -> None:
    one, other = node("one", forwards=True, access=allow(3)), busy_hub()
    link = synced(one, other)
    assert interests(link) == []
    assert rows(one) == rows(other)


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
    position = leaf.mesh.vector()
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
    assert leaf.mesh.vector() == position
    assert leaf.mesh.lacks_swarms() == 0
    # And goes on.
    changes(hub, [link])
    assert tracked(leaf, after) == tracked(hub, after)
    assert leaf.mesh.vector() == hub.mesh.vector()


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
    assert link.leaf.was_reset
    assert link.hub.reason == "the access list is another one now"
    link.cut()
    link = synced(leaf, hub)
    assert tracked(leaf, after) == tracked(hub, after)
    changes(hub, [link])
    assert tracked(leaf, after) == tracked(hub, after)
    assert leaf.mesh.vector() == hub.mesh.vector()


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
    assert link.leaf.statistics(NOW).resync == "leaf: full (asked for); hub: full (asked for)"
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
    again = node("leaf", incarnation=2000, access=allow(1))
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


# ---------------------------------------------------------------- what may not be said


def test_interest_is_said_in_its_place() -> None:
    [track] = encode_interest(Interest.TRACK, [torrent_of(1)])
    [fetch] = encode_interest(Interest.FETCH, [torrent_of(1)])
    hello = encode_hello(node("leaf").mesh.hello(NOW))
    refused(at_state(State.COMPARING, dials=False), track, "INTEREST before HELLO")
    refused(at_state(State.COMPARING, dials=False), hello + track + fetch, "INTEREST FETCH before VECTOR")
    refused(at_state(State.BURSTING, dials=False), track, "INTEREST TRACK after VECTOR")


@pytest.mark.parametrize(("tracked_torrents", "most_bytes"), [(1_000, 4.0), (100, 0.5)])
def test_what_narrowing_saves(tracked_torrents: int, most_bytes: float) -> None:
    """Of 10,000 torrents of Zipf popularity, in batches of 1000 changes: bytes an update that go to the leaf."""
    rng = random.Random(2)
    torrents = [rng.randbytes(20) for _ in range(10_000)]
    weights = [1 / rank for rank in range(1, len(torrents) + 1)]
    hub = node("hub", forwards=True)
    some = synced(node("some", access=Access("allow", frozenset(rng.sample(torrents, tracked_torrents)))), hub)
    every = synced(node("every"), hub)
    before = [link.hub.statistics(NOW).sent_bytes for link in (some, every)]
    for _ in range(5):
        for info_hash in rng.choices(torrents, weights=weights, k=1000):
            address, peer_id = rng.randbytes(4), b"-TR4050-" + rng.randbytes(12)
            announce(hub, 1, info_hash=info_hash, peer_id=peer_id, key=rng.getrandbits(31) | 1, address=address)
        hub.mesh.flush(NOW)
        settle(some, every)
    narrowed, whole = (
        (link.hub.statistics(NOW).sent_bytes - sent) / 5000 for link, sent in zip((some, every), before, strict=True)
    )
    assert narrowed < most_bytes
    assert 30 < whole < 40
    assert some.hub.statistics(NOW).skipped_bytes / 5000 == pytest.approx(whole - narrowed, abs=0.1)
