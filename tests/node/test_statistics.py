"""One frozen tree of figures."""

from __future__ import annotations

import attrs
import pytest

from meshtracker.model import Event
from meshtracker.node.node import ROW_MEMORY_BYTES, SESSION_BYTES
from meshtracker.node.statistics import NodeStatistics, StreamStatistics
from tests.mouth_to_mouth import NOW, announce, node, settle, synced


def test_the_whole_tree() -> None:
    hub, leaf = node("hub", forwards=True, incarnation=11), node("leaf", dials=True, incarnation=(1 << 64) - 2)
    announce(leaf, 1)
    announce(leaf, 1)
    announce(leaf, 2)
    announce(leaf, 2, event=Event.STOPPED)
    leaf.scrape([bytes(20)])
    leaf.mesh.flush(NOW)
    link = synced(leaf, hub)
    announce(leaf, 3)
    leaf.mesh.flush(NOW)
    settle(link)
    here, there = leaf.statistics(NOW + 9), hub.statistics(NOW + 9)
    assert (here.name, here.role, there.role, node("x").statistics(NOW).role) == ("leaf", "leaf", "hub", "standalone")
    assert node("x", forwards=True, dials=True).statistics(NOW).role == "hub and leaf"
    assert here.uptime_seconds == 9
    assert (here.tracker.announces, here.tracker.scrapes, here.tracker.changes) == (5, 1, 4)
    assert (there.registry.peers, there.registry.tombstones, there.registry.swarms) == (2, 1, 1)
    assert there.mesh.applied_records == 4 - 1  # the peer that stopped was one row of the snapshot
    assert here.log.batches == 2
    assert there.log.batches == 1
    assert set(there.vector) == {
        StreamStatistics(name="hub", incarnation="000000000000000b", sequence=0, rows=0),
        StreamStatistics(name="leaf", incarnation="fffffffffffffffe", sequence=2, rows=3),
    }
    assert (here.incarnation, there.incarnation) == ("fffffffffffffffe", "000000000000000b")
    assert there.mesh.streams == 2
    assert there.directed.requests == 0
    [session] = there.links
    assert (session.peer, session.state, session.received_batches, session.received_records) == ("leaf", "synced", 1, 3)


def test_it_is_a_frozen_copy() -> None:
    tracker = node("n")
    before = tracker.statistics(NOW)
    announce(tracker, 1)
    assert before.registry.peers == 0

    def frozen(value: object) -> None:
        kind = type(value)
        if attrs.has(kind):
            for field in attrs.fields(kind):
                with pytest.raises(attrs.exceptions.FrozenInstanceError):
                    setattr(value, field.name, None)
                frozen(getattr(value, field.name))

    frozen(before)
    assert isinstance(before, NodeStatistics)


def test_memory_is_bounded_by_what_is_configured_and_by_the_links_there_are() -> None:
    """A node says the most that it may need; each link adds what one peer can make it hold."""
    small, large = node("a", max_peers=1000), node("a", max_peers=1_000_000)
    assert large.statistics(NOW).memory_bound_bytes - small.statistics(NOW).memory_bound_bytes == 999_000 * (
        ROW_MEMORY_BYTES
    )
    log = node("a", max_peers=1000, mesh={"max_log_bytes": 1 << 20})
    smaller = small.statistics(NOW).memory_bound_bytes - log.statistics(NOW).memory_bound_bytes
    assert smaller == (64 << 20) - (1 << 20)
    before = small.statistics(NOW).memory_bound_bytes
    link = synced(small, node("hub", forwards=True))
    assert small.statistics(NOW).memory_bound_bytes == before + SESSION_BYTES
    link.cut()
    assert small.statistics(NOW).memory_bound_bytes == before
