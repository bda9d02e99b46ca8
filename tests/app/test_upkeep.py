"""Services by the clock, in virtual time."""

from __future__ import annotations

import random
import time

import attrs
import pytest
import structlog
import trio
from structlog.testing import capture_logs
from trio.testing import MockClock

from meshtracker.app import upkeep
from meshtracker.link.clock import HybridClock
from meshtracker.model import AnnounceRequest
from meshtracker.node.node import Node
from meshtracker.node.policy import TrackerPolicy


def make_node(*, peer_ttl_seconds: int = 4500) -> Node:
    """A node with nobody in it."""
    return Node(
        name="a",
        incarnation=1,
        clock=HybridClock(wall_offset_seconds=time.time() - trio.current_time()),
        rng=random.Random(1),
        tracker=TrackerPolicy(peer_ttl_seconds=peer_ttl_seconds),
        now=trio.current_time(),
    )


async def test_changes_are_sealed_after_the_interval(autojump_clock: MockClock) -> None:
    node = make_node()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(upkeep.flush, node, 0.1)
        await trio.sleep(0.01)
        request = AnnounceRequest(info_hash=b"U" * 20, peer_id=b"p" * 20, key=1, address=b"\x7f\0\0\1", port=1)
        before = node.mesh.statistics().sealed_batches
        node.announce(request, trio.current_time())
        assert node.mesh.statistics().sealed_batches == before
        await trio.sleep(0.1)
        assert node.mesh.statistics().sealed_batches == before + 1
        nursery.cancel_scope.cancel()


async def test_peers_go_when_their_time_is_over(autojump_clock: MockClock) -> None:
    node = make_node(peer_ttl_seconds=100)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(upkeep.expire, node)
        request = AnnounceRequest(info_hash=b"U" * 20, peer_id=b"p" * 20, key=1, address=b"\x7f\0\0\1", port=1)
        node.announce(request, trio.current_time())
        await trio.sleep(99)
        assert node.registry.peers == 1
        await trio.sleep(25)
        assert node.registry.peers == 0
        nursery.cancel_scope.cancel()


async def test_the_systems_clock_is_followed() -> None:
    node = make_node()
    node.clock.wall_offset_seconds -= 3600
    structlog.reset_defaults()
    with capture_logs() as entries:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(upkeep.watch_clock, node)
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
    assert abs(node.clock.wall_seconds(trio.current_time()) - time.time()) < 1
    assert [entry["by_seconds"] for entry in entries] == [pytest.approx(3600, abs=1)]
    assert attrs.asdict(node.statistics(trio.current_time()))["name"] == "a"
