"""What an announce changes: who a client is, what it counts as, and what the mesh is told."""

from __future__ import annotations

import zlib
from typing import Any

import pytest

from meshtracker.errors import ClientError
from meshtracker.model import SCRAPE_UNKNOWN, Event, PeerState
from meshtracker.node.policy import TrackerPolicy
from meshtracker.swarm.access import Access
from tests.mouth_to_mouth import LOCALHOST, LOCALHOST6, NOW, announce, node, rows, settle, synced
from tests.node.support import ANNOUNCED, changes, counts, peers


def test_the_swarm_has_changed_before_the_answer() -> None:
    answer = announce(node("n"), 1, left=0)
    assert (answer.complete, answer.incomplete, answer.peers) == (1, 0, b"")


@pytest.mark.parametrize(
    ("fields", "counted"),
    [
        ({"left": 0}, (1, 0, 0, 0)),
        ({"left": 5}, (0, 1, 0, 1)),
        ({}, (0, 1, 0, 1)),
        ({"left": -1}, (0, 1, 0, 1)),
        ({"left": 5, "event": Event.PAUSED}, (0, 1, 0, 0)),
        ({"left": 0, "event": Event.PAUSED}, (1, 0, 0, 0)),
        ({"left": 0, "event": Event.COMPLETED}, (1, 0, 1, 0)),
        ({"event": Event.STOPPED}, (0, 0, 0, 0)),
        ({"port": 0}, (0, 0, 0, 0)),
    ],
)
def test_what_a_client_counts_as(fields: dict[str, Any], counted: tuple[int, ...]) -> None:
    tracker = node("n")
    announce(tracker, 1, **fields)
    assert counts(tracker) == counted


@pytest.mark.parametrize(
    ("after_seconds", "fields", "relayed"),
    [
        (0, {}, 0),
        (899, {}, 0),
        (901, {}, 1),
        (1, {"left": 0}, 1),
        (1, {"event": Event.PAUSED}, 1),
        (1, {"port": 9}, 1),
        (1, {"event": Event.STOPPED}, 1),
        (1, {"event": Event.STARTED}, 0),
        (1, {"numwant": 3}, 0),
    ],
)
def test_a_plain_announce_is_relayed_once_in_half_an_interval(
    after_seconds: float, fields: dict[str, Any], relayed: int
) -> None:
    tracker = node("n")
    announce(tracker, 1)
    announce(tracker, 1, NOW + after_seconds, **fields)
    assert changes(tracker) == 1 + relayed


def test_a_client_that_changes_its_address_is_the_same_client() -> None:
    tracker = node("n")
    announce(tracker, 1)
    announce(tracker, 1, NOW + 1, address=b"\x7f\0\0\2", port=77)
    assert counts(tracker)[1] == 1
    assert peers(announce(tracker, 2)) == {77}


def test_another_key_is_another_client() -> None:
    tracker = node("n")
    announce(tracker, 1)
    announce(tracker, 1, key=5, port=77)
    announce(tracker, 1, key=5, event=Event.STOPPED, port=77)
    assert peers(announce(tracker, 2)) == {1001}


def test_a_client_without_a_key_is_known_by_its_address() -> None:
    tracker = node("n")
    announce(tracker, 1, key=0)
    announce(tracker, 1, NOW + 1, key=0, port=55)
    assert counts(tracker)[1] == 1
    announce(tracker, 1, key=0, address=b"\x7f\0\0\2", event=Event.STOPPED)
    assert counts(tracker)[1] == 1
    announce(tracker, 1, key=0, event=Event.STOPPED)
    assert counts(tracker)[1] == 0


def test_nobody_else_can_move_or_remove_a_client_without_a_key() -> None:
    tracker = node("n")
    announce(tracker, 1, key=0)
    for key in (zlib.crc32(LOCALHOST), zlib.crc32(LOCALHOST) | 1 << 31, zlib.crc32(LOCALHOST) & ~(1 << 31)):
        announce(tracker, 1, key=key, address=b"\x7f\0\0\2", port=66)
        announce(tracker, 1, key=key, address=b"\x7f\0\0\2", port=66, event=Event.STOPPED)
    assert peers(announce(tracker, 2)) == {1001}


def test_a_client_that_draws_a_new_key_each_time_stays_one_client() -> None:
    one = node("one")
    for key in (11, 12, 13):
        announce(one, 1, key=key)
        assert counts(one)[:2] == (0, 1)
    assert changes(one) == 1
    announce(one, 1, key=14, event=Event.STOPPED)
    assert counts(one)[:2] == (0, 0)
    assert len(rows(one)) == 1
    # From another address the same peer id and a wrong key are a stranger's.
    announce(one, 1, key=15)
    announce(one, 1, key=16, address=bytes([127, 0, 0, 9]), event=Event.STOPPED)
    assert counts(one)[:2] == (0, 1)


@pytest.mark.parametrize("key", [1, 0x7FFFFFFF, 0x80000000, 0x80000001, 0xFFFFFFFF])
def test_every_key_works(key: int) -> None:
    tracker = node("n")
    announce(tracker, 1, key=key)
    announce(tracker, 1, key=key, port=66)
    assert counts(tracker)[1] == 1
    announce(tracker, 1, key=key, event=Event.STOPPED)
    assert counts(tracker)[1] == 0


def test_the_ghost_of_a_restarted_client_goes_everywhere() -> None:
    tracker, hub, other = node("n"), node("hub", forwards=True), node("other")
    links = [synced(tracker, hub), synced(other, hub)]
    announce(tracker, 1)
    tracker.mesh.flush(NOW)
    settle(*links)
    # It announces to the other tracker this time.
    announce(other, 2, NOW + 1, port=1001)
    other.mesh.flush(NOW + 1)
    settle(*links, now=NOW + 1)
    assert rows(tracker) == rows(hub) == rows(other)
    assert {owner.registry.peers for owner in (tracker, hub, other)} == {1}
    assert {owner.registry.tombstones for owner in (tracker, hub, other)} == {1}
    assert peers(announce(tracker, 3)) == {1001}


def test_stop_removes_the_client_in_both_families() -> None:
    tracker = node("n")
    announce(tracker, 1)
    announce(tracker, 1, address=LOCALHOST6)
    assert counts(tracker)[1] == 1
    announce(tracker, 1, NOW + 1, event=Event.STOPPED)
    assert counts(tracker)[1] == 0
    assert sorted(row[2] for row in rows(tracker).values()) == [PeerState.REMOVED, PeerState.REMOVED]


def test_stop_is_always_a_success_and_makes_nothing() -> None:
    tracker = node("n")
    answer = announce(tracker, 1, event=Event.STOPPED)
    assert (answer.peers, answer.complete) == (b"", 0)
    assert not tracker.registry.swarms
    announce(tracker, 1)
    announce(tracker, 2)
    for _ in range(3):
        assert announce(tracker, 1, event=Event.STOPPED, port=0, numwant=50).peers == b""
    assert changes(tracker) == 3
    announce(tracker, 1, NOW + 1)
    assert counts(tracker)[1] == 2


def test_a_download_is_counted_once() -> None:
    tracker = node("n")
    announce(tracker, 1)
    for later in (1, 2, 2000):
        answer = announce(tracker, 1, NOW + later, left=0, event=Event.COMPLETED)
        assert answer.downloaded == 1
    announce(tracker, 2, left=0, event=Event.COMPLETED)
    assert counts(tracker)[2] == 2


def test_downloads_add_up_over_the_mesh() -> None:
    one, hub, two = node("one"), node("hub", forwards=True), node("two")
    links = [synced(one, hub), synced(two, hub)]
    for owner, clients in ((one, (1, 2)), (two, (3,)), (hub, (4,))):
        for client in clients:
            announce(owner, client, left=0, event=Event.COMPLETED)
        owner.mesh.flush(NOW)
    settle(*links)
    assert [counts(owner)[2] for owner in (one, hub, two)] == [4, 4, 4]
    third = node("three")
    synced(third, hub)
    assert counts(third)[2] == 4


def test_what_is_not_served() -> None:
    tracker = node("n", access=Access("allow", frozenset({ANNOUNCED})))
    announce(tracker, 1)
    with pytest.raises(ClientError, match="not registered with this tracker"):
        announce(tracker, 1, torrent=1)
    assert list(tracker.registry.swarms) == [ANNOUNCED]
    assert tracker.statistics(NOW).tracker.refused == 1
    assert tracker.scrape([bytes([1]) * 20]) == [SCRAPE_UNKNOWN]
    hub = node("hub", forwards=True, access=Access("deny", frozenset({ANNOUNCED})))
    synced(tracker, hub)
    assert len(hub.registry.swarms) == 1
    assert hub.scrape([ANNOUNCED]) == [SCRAPE_UNKNOWN]
    assert list(hub.scrape_all()) == []


@pytest.mark.parametrize("bounds", [{"max_peers": 3}, {"max_peers_per_swarm": 3}])
def test_a_full_tracker_still_answers(bounds: dict[str, Any]) -> None:
    tracker = node("n", **bounds)
    for client in range(10):
        answer = announce(tracker, client)
    assert len(answer.peers) == 18
    assert tracker.registry.statistics().refused_full == 7
    assert changes(tracker) == 3
    announce(tracker, 1, NOW + 1, left=0)
    assert counts(tracker) == (1, 2, 0, 2)


def test_a_full_tracker_makes_no_swarms() -> None:
    tracker = node("n", max_peers=2)
    for torrent in range(1000):
        announce(tracker, 1, torrent=torrent)
    assert len(tracker.registry.swarms) == 2


def test_clients_that_stay_away_are_let_go() -> None:
    tracker = node("n", tracker=TrackerPolicy(peer_ttl_seconds=100))
    announce(tracker, 1)
    announce(tracker, 2, NOW + 50)
    for _ in range(4):
        tracker.expire(NOW + 100.5)
    assert peers(announce(tracker, 3, NOW + 101)) == {1002}


def test_the_work_of_an_announce_does_not_grow_with_the_swarm() -> None:
    """Counted in calls of Python functions, which no slow machine disturbs."""
    import sys

    tracker = node("n")

    def calls(client: int) -> int:
        count = 0

        def profile(*_: object) -> None:
            nonlocal count
            count += 1

        sys.setprofile(profile)
        try:
            announce(tracker, client, left=client % 2)
        finally:
            sys.setprofile(None)
        return count

    for client in range(200):
        announce(tracker, client)
    small = max(calls(1000 + client) for client in range(20))
    for client in range(2000, 12_000):
        announce(tracker, client)
    assert max(calls(20_000 + client) for client in range(20)) <= small + 5
