"""A link that is up: heartbeats, what they carry, and what a peer that is slow or silent costs."""

from __future__ import annotations

from meshtracker.link.transitions import State
from meshtracker.wire.frame import FrameType, frame
from meshtracker.wire.link import Heartbeat, decode, encode_heartbeat
from tests.link.support import SYNCED, pair
from tests.mouth_to_mouth import NOW, announce, frames, live, node, rows, settle, synced


def test_heartbeats_come_ahead_of_data_and_carry_the_vector() -> None:
    leaf, hub = pair()
    link = synced(leaf, hub)
    settle(link)
    for client in range(5):
        announce(leaf, client)
        leaf.mesh.flush(NOW)
    later = link.leaf.next_deadline()
    assert later <= NOW + 5
    link.leaf.handle_deadline(later)
    [(kind, payload)] = frames(link.leaf.data_to_send(later))
    assert kind is FrameType.HEARTBEAT
    heartbeat = decode(kind, payload)
    assert isinstance(heartbeat, Heartbeat)
    assert heartbeat.vector == {leaf.mesh.own: leaf.mesh.position(leaf.mesh.own)}
    assert heartbeat.vector[leaf.mesh.own].sequence == 6
    assert frames(link.leaf.data_to_send(later))[0][0] is FrameType.BATCH
    link.hub.receive_data(frame(kind, payload), later)
    assert link.hub.statistics(later).heard_seconds_ago == 0


def test_the_lag_is_what_the_peers_heartbeat_did_not_know() -> None:
    leaf, hub = pair(3)
    link = synced(leaf, hub)
    for client in range(4):
        announce(leaf, client, left=0, torrent=8)
        leaf.mesh.flush(NOW)
    link.hub.handle_deadline(NOW + 5)
    link.leaf.receive_data(link.hub.data_to_send(NOW + 5), NOW + 5)
    assert link.leaf.statistics(NOW + 5).peer_lag_batches == 4
    settle(link, now=NOW + 5)
    link.hub.handle_deadline(NOW + 10)
    settle(link, now=NOW + 10)
    assert link.leaf.statistics(NOW + 10).peer_lag_batches == 0


def test_silence_ends_the_link() -> None:
    leaf, hub = pair()
    link = synced(leaf, hub)
    end = link.hub
    now = NOW
    while end.state is State.SYNCED:
        now = end.next_deadline()
        end.handle_deadline(now)
    assert now == NOW + 15
    assert end.reason == "soft-split (silent): nothing heard for 15.0 s"


def test_an_hour_without_clients_raises_no_alarm() -> None:
    leaf, hub = pair(3)
    link = synced(leaf, hub)
    now = live([link], [leaf, hub], NOW, 3600)
    assert link.states == SYNCED
    for end in link.ends:
        statistics = end.statistics(now)
        assert (statistics.soft_splits, statistics.verdict) == (0, "")
        assert statistics.heard_seconds_ago <= 5
        # An idle stream brings an empty batch with each heartbeat.
        assert statistics.received_batches == 720
    assert rows(leaf) == rows(hub)


def test_an_hour_of_more_than_the_wire_can_carry_raises_no_alarm() -> None:
    """One frame a turn each way, where two batches are made: both ends fall behind their logs again and again."""
    leaf, hub = (node(name, forwards=name == "hub", mesh={"max_log_bytes": 1500}) for name in ("leaf", "hub"))
    link = synced(leaf, hub)
    now = NOW
    for turn in range(7200):
        now += 0.5
        for owner in (leaf, hub):
            for number in range(2):
                announce(owner, (2 * turn + number) % 30 + 100 * owner.mesh.forwards, now, left=turn % 2)
                owner.mesh.flush(now)
        for end in link.ends:
            end.handle_deadline(now)
        link.step(now)
    assert link.states == SYNCED, [end.reason for end in link.ends]
    for end in link.ends:
        statistics = end.statistics(now)
        assert (statistics.soft_splits, statistics.verdict) == (0, "")
        assert "fell behind" in statistics.resync
    settle(link, now=now)
    assert rows(leaf) == rows(hub)


def test_a_link_that_is_up_for_long_keeps_no_more_than_a_new_one() -> None:
    leaf, hub = pair(3, mesh={"max_log_bytes": 3000})
    link = synced(leaf, hub)
    live([link], [leaf, hub], NOW, 600)
    for end in link.ends:
        assert end.held_bytes() == 0
        assert not end._inbox
        assert not end._fetches
        assert end._sender is not None
        assert len(end._sender._cursors) <= 2
        assert not end._sender._fetches
        assert end._receiver is not None
        assert not end._receiver._snapshots


def test_a_reader_that_is_stuck_costs_no_memory() -> None:
    leaf, hub = pair(3, mesh={"max_log_bytes": 50_000})
    link = synced(leaf, hub)
    confirmed = link.leaf.statistics(NOW).unconfirmed_frames
    now = NOW
    for number in range(10_000):
        now += 0.1
        announce(leaf, number % 50, now, left=number // 50 % 2)
        leaf.mesh.flush(now)
        # It still sends, so it does not count as gone; but it takes nothing.
        clock_ms = hub.mesh.wall_ms(now)
        heartbeat = Heartbeat(clock_ms=clock_ms, sent_frames=0, applied_frames=confirmed, vector={})
        link.leaf.receive_data(encode_heartbeat(heartbeat), now)
        link.leaf.handle_deadline(now)
    assert link.leaf.state is State.SYNCED, link.leaf.reason
    assert leaf.mesh.logs.statistics(now).bytes <= 50_000
    assert link.leaf.held_bytes() == 0
    assert link.leaf._sender is not None
    assert len(link.leaf._sender._fulls) == 0
    settle(link, now=now)
    assert link.states == SYNCED
    assert rows(leaf) == rows(hub)
