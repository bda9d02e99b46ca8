"""Rows that another node stamped ahead of this clock: a client's announce is written over them, within bounds."""

from __future__ import annotations

from typing import Any

import pytest

from meshtracker.link.transitions import State
from meshtracker.model import Event, PeerState
from meshtracker.node.node import Node
from meshtracker.wire.peer_record import PeerRecord
from tests.mouth_to_mouth import NOW, announce, node, rows, settle, synced
from tests.node.support import TORRENT, WALL_MS, batch_of, changes, counts, listener_of, receive, row_of_client

CLIENT_DEEDS: list[tuple[dict[str, Any], int]] = [
    ({"left": 0}, PeerState.SEEDER),
    ({"left": 1}, PeerState.LEECHER),
    ({"event": Event.STOPPED}, PeerState.REMOVED),
]


def noting_listener() -> tuple[Node, list[PeerRecord]]:
    """A node that knows the stream of x, and the changes that it notes for the mesh."""
    tracker = listener_of()
    noted: list[PeerRecord] = []
    tracker.mesh.on_note = lambda _, record: noted.append(record)
    return tracker, noted


@pytest.mark.parametrize(("fields", "state"), CLIENT_DEEDS)
@pytest.mark.parametrize("ahead_seconds", [-1.0, 0.0, 0.001, 30.0, 59.999])
def test_a_clients_announce_wins_over_a_row_that_another_node_stamped_ahead(
    ahead_seconds: float, fields: dict[str, Any], state: int
) -> None:
    tracker, noted = noting_listener()
    there = row_of_client(1, ahead_seconds)
    receive(tracker, batch_of(there, base_ms=min(WALL_MS, there.stamp >> 16)))
    announce(tracker, 1, info_hash=TORRENT, **fields)
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
    tracker, noted = noting_listener()
    receive(tracker, batch_of(row_of_client(1, ahead_seconds)))
    before = rows(tracker)
    answer = announce(tracker, 1, info_hash=TORRENT, **fields)
    assert answer.complete + answer.incomplete == 1
    assert rows(tracker) == before
    assert noted == []
    assert changes(tracker) == 0
    # Once time has come near, the client has its say.
    later = NOW + ahead_seconds - 59
    announce(tracker, 1, later, info_hash=TORRENT, **fields)
    assert [(row[2], row[3]) for row in rows(tracker).values()] == [(state, "n")]
    assert len(noted) == 1


def test_how_far_ahead_a_node_follows_is_configured() -> None:
    tracker = listener_of(mesh={"max_future_seconds": 5.0})
    receive(tracker, batch_of(row_of_client(1, 4.9), row_of_client(2, 5.0)))
    for client in (1, 2):
        announce(tracker, client, info_hash=TORRENT, left=0)
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
    announce(leaf, 1, info_hash=TORRENT, left=0)
    leaf.flush(NOW)
    settle(link)
    assert link.states == (State.SYNCED, State.SYNCED)
    assert rows(hub) == rows(leaf)
    assert [row[3] for row in rows(hub).values()] == ["n"]
