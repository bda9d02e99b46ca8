"""What an announce does, to the answer, to the swarm and to the mesh."""

from __future__ import annotations

import zlib
from typing import Any

import pytest

from meshtracker.errors import ClientError, CloseCode
from meshtracker.link.transitions import State
from meshtracker.model import SCRAPE_UNKNOWN, AnnounceAnswer, Event, PeerState, ScrapeAnswer
from meshtracker.node.mesh import ANEW_SECONDS
from meshtracker.node.node import Node
from meshtracker.node.policy import TrackerPolicy
from meshtracker.swarm.access import Access
from meshtracker.wire.peer_record import PeerRecord
from meshtracker.wire.vector import NOWHERE
from tests.mouth_to_mouth import (
    LOCALHOST,
    LOCALHOST6,
    NOW,
    WALL_OFFSET_SECONDS,
    Link,
    announce,
    node,
    rows,
    settle,
    synced,
)
from tests.node.support import TORRENT as INFO_HASH
from tests.node.support import WALL_MS, X, batch_of, listener_of, receive

TORRENT = bytes(20)


def changes(owner: Node) -> int:
    return owner.statistics(NOW).tracker.changes


def counts(owner: Node) -> tuple[int, int, int, int]:
    [answer] = owner.scrape([TORRENT])
    return answer.complete, answer.incomplete, answer.downloaded, answer.downloaders


def peers(answer: AnnounceAnswer) -> set[int]:
    """Ports of the IPv4 peers."""
    return {int.from_bytes(answer.peers[at + 4 : at + 6], "big") for at in range(0, len(answer.peers), 6)}


def test_a_client_gets_the_others() -> None:
    tracker = node("n")
    for client in range(5):
        answer = announce(tracker, client, left=client % 2)
        assert peers(answer) == {1000 + other for other in range(client) if client % 2 or other % 2}
    assert (answer.complete, answer.incomplete) == (3, 2)


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


def test_a_client_without_a_port_gets_peers_and_is_not_handed_out() -> None:
    tracker = node("n")
    announce(tracker, 1)
    assert peers(announce(tracker, 2, port=0)) == {1001}
    assert peers(announce(tracker, 3)) == {1001}
    announce(tracker, 4, torrent=9, port=0)
    assert len(tracker.registry.swarms) == 1


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


@pytest.mark.parametrize(
    ("numwant", "given"), [(-1, 10), (-5, 10), (0, 0), (1, 1), (10, 10), (15, 15), (20, 20), (21, 20), (10**9, 20)]
)
def test_numwant(numwant: int, given: int) -> None:
    tracker = node("n", tracker=TrackerPolicy(numwant_default=10, numwant_max=20))
    for client in range(100, 140):
        announce(tracker, client)
    answer = announce(tracker, 1, numwant=numwant, with_peer_ids=True)
    assert len(answer.peers) == 6 * given
    assert len(answer.peer_ids) == given


def test_families() -> None:
    tracker = node("n")
    announce(tracker, 1)
    announce(tracker, 2, address=LOCALHOST6)
    answer = announce(tracker, 3)
    assert (len(answer.peers), len(answer.peers6)) == (6, 0)
    answer = announce(tracker, 4, address=LOCALHOST6)
    assert (len(answer.peers), len(answer.peers6)) == (0, 18)
    answer = announce(tracker, 5, both_families=True, with_peer_ids=True)
    assert (len(answer.peers), len(answer.peers6)) == (12, 36)
    assert set(answer.peer_ids) == {b"-MT0001-%012d" % client for client in (1, 3)}
    assert set(answer.peer_ids6) == {b"-MT0001-%012d" % client for client in (2, 4)}


def test_a_client_in_both_families_never_gets_itself() -> None:
    tracker = node("n")
    announce(tracker, 1)
    announce(tracker, 1, address=LOCALHOST6)
    for address in (LOCALHOST, LOCALHOST6):
        answer = announce(tracker, 1, address=address, both_families=True)
        assert (answer.peers, answer.peers6) == (b"", b"")


def test_peer_ids_are_in_the_order_of_the_peers() -> None:
    tracker = node("n")
    for client in range(100):
        announce(tracker, client, left=client % 3)
    answer = announce(tracker, 500, numwant=30, with_peer_ids=True)
    ports = [int.from_bytes(answer.peers[at + 4 : at + 6], "big") for at in range(0, len(answer.peers), 6)]
    assert [b"-MT0001-%012d" % (port - 1000) for port in ports] == list(answer.peer_ids)


def test_intervals_are_spread() -> None:
    policy = TrackerPolicy(announce_interval_seconds=1000, min_interval_seconds=300, announce_jitter_seconds=3)
    tracker = node("n", tracker=policy)
    answers = [announce(tracker, client) for client in range(200)]
    assert {answer.interval_seconds for answer in answers} == {1000, 1001, 1002, 1003}
    assert {answer.min_interval_seconds for answer in answers} == {300}


def test_what_is_not_served() -> None:
    tracker = node("n", access=Access("allow", frozenset({TORRENT})))
    announce(tracker, 1)
    with pytest.raises(ClientError, match="not registered with this tracker"):
        announce(tracker, 1, torrent=1)
    assert list(tracker.registry.swarms) == [TORRENT]
    assert tracker.statistics(NOW).tracker.refused == 1
    assert tracker.scrape([bytes([1]) * 20]) == [SCRAPE_UNKNOWN]
    hub = node("hub", forwards=True, access=Access("deny", frozenset({TORRENT})))
    synced(tracker, hub)
    assert len(hub.registry.swarms) == 1
    assert hub.scrape([TORRENT]) == [SCRAPE_UNKNOWN]
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


def test_scrape_answers_in_the_order_asked() -> None:
    tracker = node("n")
    announce(tracker, 1, left=0)
    other, unknown = (1).to_bytes(20, "big"), (2).to_bytes(20, "big")
    announce(tracker, 1, torrent=1)
    seeded, leeched = ScrapeAnswer(1, 0, 0, 0), ScrapeAnswer(0, 1, 0, 1)
    assert tracker.scrape([other, unknown, TORRENT, other]) == [leeched, SCRAPE_UNKNOWN, seeded, leeched]
    assert dict(tracker.scrape_all()) == {TORRENT: seeded, other: leeched}


def test_scraping_all_while_swarms_go() -> None:
    tracker = node("n")
    for torrent in range(5):
        announce(tracker, 1, torrent=torrent)
    walk = tracker.scrape_all()
    next(walk)
    tracker.registry.swarms.clear()
    assert list(walk) == []


def test_clients_that_stay_away_are_let_go() -> None:
    tracker = node("n", tracker=TrackerPolicy(peer_ttl_seconds=100))
    announce(tracker, 1)
    announce(tracker, 2, NOW + 50)
    for _ in range(4):
        tracker.expire(NOW + 100.5)
    assert peers(announce(tracker, 3, NOW + 101)) == {1002}


# ---------------------------------------------------------------- rows from this clock's future


def row_of_client(client: int, ahead_seconds: float, state: int = PeerState.LEECHER) -> PeerRecord:
    """What another node wrote of a client of `announce`, by a clock that is ahead of this one's."""
    identity = b"-MT0001-%012d" % client + (100 + client).to_bytes(4, "big")
    return record_of_identity(identity, ahead_seconds, state)


def record_of_identity(identity: bytes, ahead_seconds: float, state: int) -> PeerRecord:
    stamp = int((NOW + WALL_OFFSET_SECONDS + ahead_seconds) * 1000) << 16 | 5
    return PeerRecord(identity, stamp, state, 6, b"" if state == PeerState.REMOVED else b"\x0a\0\0\1\x1a\xe1")


CLIENT_DEEDS: list[tuple[dict[str, Any], int]] = [
    ({"left": 0}, PeerState.SEEDER),
    ({"left": 1}, PeerState.LEECHER),
    ({"event": Event.STOPPED}, PeerState.REMOVED),
]


@pytest.mark.parametrize(("fields", "state"), CLIENT_DEEDS)
@pytest.mark.parametrize("ahead_seconds", [-1.0, 0.0, 0.001, 30.0, 59.999])
def test_a_clients_announce_wins_over_a_row_that_another_node_stamped_ahead(
    ahead_seconds: float, fields: dict[str, Any], state: int
) -> None:
    tracker = listener_of()
    noted: list[PeerRecord] = []
    tracker.mesh.on_note = lambda _, record: noted.append(record)
    there = row_of_client(1, ahead_seconds)
    receive(tracker, batch_of(there, base_ms=min(WALL_MS, there.stamp >> 16)))
    announce(tracker, 1, info_hash=INFO_HASH, **fields)
    [(_, stamp, now_state, name)] = rows(tracker).values()
    assert (now_state, name) == (state, "n")
    assert stamp > there.stamp
    # No further ahead than it must be, and what goes out is what is here.
    assert stamp <= max(there.stamp + 1, WALL_MS << 16)
    assert [(record.stamp, record.state) for record in noted] == [(stamp, state)]
    assert changes(tracker) == 1


@pytest.mark.parametrize(("fields", "state"), CLIENT_DEEDS)
@pytest.mark.parametrize("ahead_seconds", [60.0, 60.001, 400.0])
def test_a_row_that_another_node_stamped_too_far_ahead_stays_and_nothing_is_noted(
    ahead_seconds: float, fields: dict[str, Any], state: int
) -> None:
    tracker = listener_of()
    noted: list[PeerRecord] = []
    tracker.mesh.on_note = lambda _, record: noted.append(record)
    receive(tracker, batch_of(row_of_client(1, ahead_seconds)))
    before = rows(tracker)
    answer = announce(tracker, 1, info_hash=INFO_HASH, **fields)
    assert answer.complete + answer.incomplete == 1
    assert rows(tracker) == before
    assert noted == []
    assert changes(tracker) == 0
    # Once time has come near, the client has its say.
    later = NOW + ahead_seconds - 59
    announce(tracker, 1, later, info_hash=INFO_HASH, **fields)
    assert [(row[2], row[3]) for row in rows(tracker).values()] == [(state, "n")]
    assert len(noted) == 1


def test_how_far_ahead_a_node_follows_is_configured() -> None:
    tracker = listener_of(mesh={"max_future_seconds": 5.0})
    receive(tracker, batch_of(row_of_client(1, 4.9), row_of_client(2, 5.0)))
    for client in (1, 2):
        announce(tracker, client, info_hash=INFO_HASH, left=0)
    assert sorted(row[3] for row in rows(tracker).values()) == ["n", "x"]


def test_rows_of_its_own_are_written_over_however_far_ahead() -> None:
    tracker = node("n")
    announce(tracker, 1)
    # Set back in steps that are each too small to begin anew.
    for _ in range(5):
        tracker.set_clock(-59.0, NOW)
        before = [row[1] for row in rows(tracker).values()]
        announce(tracker, 1, NOW, left=len(before))
        announce(tracker, 1, NOW, left=0)
        [after] = [row[1] for row in rows(tracker).values()]
        assert after > before[0]
    assert counts(tracker)[:2] == (1, 0)


def test_a_node_that_follows_a_row_from_the_future_is_not_refused_for_it() -> None:
    """Nobody else's clock may end its link: what it wrote over stays within what its hub takes of it directly."""
    hub, leaf = node("hub", forwards=True), node("n")
    link = synced(leaf, hub)
    receive(hub, batch_of(row_of_client(1, 59.0)))
    settle(link)
    announce(leaf, 1, info_hash=INFO_HASH, left=0)
    leaf.flush(NOW)
    settle(link)
    assert link.states == (State.SYNCED, State.SYNCED)
    assert rows(hub) == rows(leaf)
    assert [row[3] for row in rows(hub).values()] == ["n"]


# ---------------------------------------------------------------- the clock is set


def of_two_streams(tracker: Node) -> None:
    """It has clients of its own and one of x."""
    announce(tracker, 1, left=0, event=Event.COMPLETED)
    announce(tracker, 2)
    announce(tracker, 2, event=Event.STOPPED)
    receive(tracker, batch_of(row_of_client(3, 0.0)))
    tracker.flush(NOW)


@pytest.mark.parametrize("step_seconds", [-60.001, -3600.0])
def test_a_clock_that_is_set_far_back_begins_a_new_stream_and_judges_all_anew(step_seconds: float) -> None:
    tracker = listener_of(forwards=True)
    links = [synced(node(name), tracker) for name in ("a", "b")]
    of_two_streams(tracker)
    settle(*links)
    own = tracker.mesh.own
    tracker.set_clock(step_seconds, NOW)
    vector = tracker.mesh.vector()
    assert tracker.mesh.own.name == own.name
    assert tracker.mesh.own.incarnation != own.incarnation
    assert vector.pop(tracker.mesh.own).sequence == 1
    # Nor is that of before known: its rows are of the new one now, and others may have some that are lacking here.
    assert vector == {own: NOWHERE, X: NOWHERE}
    wall_ms = tracker.clock.wall_ms(NOW)
    assert wall_ms == int((NOW + WALL_OFFSET_SECONDS + step_seconds) * 1000)
    stamps = {row[1] >> 16 for row in rows(tracker).values() if row[3] == "n"}
    assert stamps == {wall_ms}
    assert len([row for row in rows(tracker).values() if row[3] == "n"]) == 2
    assert tracker.mesh.statistics().began_anew == 1
    settle(*links)
    for link in links:
        assert link.states == (State.CLOSED, State.CLOSED)
        assert {end.code for end in link.ends} == {CloseCode.RESET}
        assert f"the clock of n was set by {step_seconds:.0f} s" in link.leaf.reason
    # What clients say now is stamped later than what was stamped anew.
    announce(tracker, 1, NOW, left=1)
    assert max(row[1] for row in rows(tracker).values() if row[3] == "n") > wall_ms << 16


@pytest.mark.parametrize("step_seconds", [-60.0, -1.0, 0.5, 60.0])
def test_a_clock_that_is_set_a_little_back_or_forth_changes_nothing_but_the_time(step_seconds: float) -> None:
    tracker = listener_of(forwards=True)
    link = synced(node("a"), tracker)
    of_two_streams(tracker)
    settle(link)
    before = (tracker.mesh.own, tracker.mesh.vector(), rows(tracker))
    tracker.set_clock(step_seconds, NOW)
    assert (tracker.mesh.own, tracker.mesh.vector(), rows(tracker)) == before
    assert tracker.mesh.statistics().began_anew == 0
    assert link.states == (State.SYNCED, State.SYNCED)
    assert tracker.clock.wall_ms(NOW) == int((NOW + WALL_OFFSET_SECONDS + step_seconds) * 1000)


@pytest.mark.parametrize("step_seconds", [60.001, 3600.0])
def test_a_clock_that_is_set_far_forth_needs_no_new_stream_but_new_links(step_seconds: float) -> None:
    """Nothing that it stamped or took is from the future. Others may refuse its clock now, and say so."""
    tracker = listener_of(forwards=True)
    link = synced(node("a"), tracker)
    of_two_streams(tracker)
    settle(link)
    before = (tracker.mesh.own, tracker.mesh.vector(), rows(tracker))
    tracker.set_clock(step_seconds, NOW)
    assert (tracker.mesh.own, tracker.mesh.vector(), rows(tracker)) == before
    assert tracker.mesh.statistics().began_anew == 0
    settle(link)
    assert {end.code for end in link.ends} == {CloseCode.RESET}
    again = Link(node("a"), tracker)
    settle(again)
    assert again.leaf.code is CloseCode.CLOCK


def test_rows_of_others_from_a_future_that_never_was_go_with_the_clock_that_believed_them() -> None:
    """Else they would hide what is true for as long as the clock was wrong."""
    tracker = listener_of()
    tracker.set_clock(3600.0, NOW)
    receive(tracker, batch_of(row_of_client(1, 3600.0), row_of_client(2, 0.0)))
    tracker.set_clock(-3600.0, NOW)
    assert [identity[:20] for _, _, identity in rows(tracker)] == [b"-MT0001-%012d" % 2]
    assert tracker.mesh.vector()[X] == NOWHERE


def test_refreshes_are_told_by_the_new_clock_at_once() -> None:
    tracker = node("n")
    announce(tracker, 1)
    due = tracker.refreshes(NOW).due_stamp
    tracker.set_clock(1000.0, NOW)
    assert tracker.refreshes(NOW).due_stamp == due + (1_000_000 << 16)
    announce(tracker, 1)
    assert changes(tracker) == 2


def test_a_leaf_whose_clock_was_set_back_is_back_in_the_mesh_within_a_resync() -> None:
    hub, leaf, other = node("hub", forwards=True), node("n", clock_ahead_seconds=50.0), node("other")
    links = [synced(leaf, hub), synced(other, hub)]
    of_two_streams(leaf)
    settle(*links)
    leaf.set_clock(-100.0, NOW)
    settle(*links)
    links[0].cut()
    again = synced(leaf, hub)
    settle(again, links[1])
    announce(leaf, 7)
    leaf.flush(NOW)
    settle(again, links[1])
    assert rows(hub).keys() == rows(other).keys() >= rows(leaf).keys()
    identity = b"-MT0001-%012d" % 7 + (107).to_bytes(4, "big")
    assert rows(other)[TORRENT, 6, identity][3] == "n"


# ---------------------------------------------------------------- somebody else wrote in its name


def test_a_node_that_is_told_of_more_than_it_wrote_begins_anew_but_not_all_the_time() -> None:
    tracker = node("n", forwards=True)
    link = synced(node("a"), tracker)
    announce(tracker, 1)
    own = tracker.mesh.own
    tracker.mesh.want_anew()
    tracker.flush(NOW)
    begun = tracker.mesh.own
    assert begun.incarnation != own.incarnation
    assert link.hub.code is CloseCode.RESET
    assert "somebody else wrote in its name" in link.hub.reason
    assert tracker.mesh.rows(begun) == 1
    for later in range(1, 60, 5):
        tracker.mesh.want_anew()
        tracker.flush(NOW + later)
    assert tracker.mesh.own == begun
    tracker.flush(NOW + 2 * ANEW_SECONDS)
    assert tracker.mesh.own != begun
    # Nobody's stream is doubted for it, and it is not repeated without a reason.
    again = tracker.mesh.own
    tracker.flush(NOW + 9 * ANEW_SECONDS)
    assert tracker.mesh.own == again


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
