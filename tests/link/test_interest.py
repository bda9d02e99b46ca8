"""A leaf with an allow list is sent only its swarms."""

from __future__ import annotations

import random

import pytest

from meshtracker.errors import CloseCode, LinkError
from meshtracker.link.interest import PeerInterest
from meshtracker.link.transitions import State
from meshtracker.swarm.access import Access
from meshtracker.wire.link import Interest, encode_hello, encode_interest
from tests.link.allow_lists import allow, busy_hub, changes, deny, interests, swarms_sent, torrent_of, tracked
from tests.link.support import SYNCED, at_state, hello_of, refused, sequences
from tests.mouth_to_mouth import NOW, announce, node, rows, settle, synced


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
    # Each link counts what it has brought.
    assert links[0].leaf.statistics(NOW).dropped_records == 0
    assert links[1].leaf.statistics(NOW).dropped_records == whole.mesh.statistics().dropped_records
    assert sequences(narrow) == sequences(whole) == sequences(hub)
    # It is told the digests of what it is sent in parts.
    assert narrow.mesh.position(hub.mesh.own) == hub.mesh.position(hub.mesh.own)
    assert whole.mesh.position(hub.mesh.own) == hub.mesh.position(hub.mesh.own)
    statistics = links[0].hub.statistics(NOW)
    assert statistics.skipped_bytes > 8 * 40
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
    assert sequences(leaf) == sequences(hub)


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
    assert sequences(leaf) == sequences(hub)


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


@pytest.mark.parametrize(("tracked_torrents", "most_bytes"), [(1_000, 4.0), (100, 0.5)])
def test_what_narrowing_saves(tracked_torrents: int, most_bytes: float) -> None:
    """Of 10,000 torrents of Zipf popularity, in batches of 1000 changes: bytes an update that go to the leaf."""
    rng = random.Random(2)
    torrents = [rng.randbytes(20) for _ in range(10_000)]
    weights = [1 / rank for rank in range(1, len(torrents) + 1)]
    hub = node("hub", forwards=True)
    # A stream that is known goes on in batches.
    hub.mesh.flush(NOW)
    some = synced(node("some", access=Access("allow", frozenset(rng.sample(torrents, tracked_torrents)))), hub)
    every = synced(node("every"), hub)
    before = [link.hub.statistics(NOW).sent_bytes for link in (some, every)]
    for _ in range(5):
        for info_hash in rng.choices(torrents, weights=weights, k=1000):
            address, peer_id = b"\x5f" + rng.randbytes(3), b"-TR4050-" + rng.randbytes(12)
            announce(hub, 1, info_hash=info_hash, peer_id=peer_id, key=rng.getrandbits(31) | 1, address=address)
        hub.mesh.flush(NOW)
        settle(some, every)
    narrowed, whole = (
        (link.hub.statistics(NOW).sent_bytes - sent) / 5000 for link, sent in zip((some, every), before, strict=True)
    )
    assert narrowed < most_bytes
    assert 30 < whole < 40
    assert some.hub.statistics(NOW).skipped_bytes / 5000 == pytest.approx(whole - narrowed, abs=0.1)


# ---------------------------------------------------------------- what may not be said


def test_interest_is_said_in_its_place() -> None:
    [track] = encode_interest(Interest.TRACK, [torrent_of(1)])
    [fetch] = encode_interest(Interest.FETCH, [torrent_of(1)])
    hello = encode_hello(hello_of(node("leaf")))
    refused(at_state(State.GREETING, dials=False), track, "INTEREST is not allowed while greeting")
    refused(at_state(State.GREETING, dials=False), hello + track + fetch, "INTEREST FETCH before VECTOR")
    refused(at_state(State.COMPARING, dials=False), track + fetch, "INTEREST FETCH before VECTOR")
    refused(at_state(State.BURSTING, dials=False), track, "INTEREST TRACK after VECTOR")
    refused(at_state(State.BURSTING, dials=True), track, "INTEREST of a hub, which is sent everything")


# ---------------------------------------------------------------- what a session remembers of it


def test_an_interest_is_everything_until_a_first_track() -> None:
    interest = PeerInterest()
    assert interest.info_hashes is None
    interest.receive(Interest.DROP, [torrent_of(1)], has_begun=False)
    interest.receive(Interest.FETCH, [torrent_of(2)], has_begun=True)
    assert interest.info_hashes is None


def test_an_interest_is_one_set_that_grows_and_shrinks() -> None:
    """The sender looks into it at every batch."""
    interest = PeerInterest()
    interest.receive(Interest.TRACK, map(torrent_of, (1, 2)), has_begun=False)
    seen = interest.info_hashes
    interest.receive(Interest.TRACK, map(torrent_of, (3,)), has_begun=False)
    interest.receive(Interest.FETCH, map(torrent_of, (4,)), has_begun=True)
    interest.receive(Interest.DROP, map(torrent_of, (1, 77)), has_begun=True)
    assert interest.info_hashes is seen
    assert seen == set(map(torrent_of, (2, 3, 4)))


def test_an_interest_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("meshtracker.link.interest.MAX_INTEREST", 3)
    interest = PeerInterest()
    interest.receive(Interest.TRACK, map(torrent_of, (1, 2, 3)), has_begun=False)
    with pytest.raises(LinkError, match="more than 3 swarms named in INTEREST") as caught:
        interest.receive(Interest.FETCH, [torrent_of(4)], has_begun=True)
    assert caught.value.code is CloseCode.FLOOD
