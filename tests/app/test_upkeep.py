"""Services by the clock, in virtual time."""

from __future__ import annotations

import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import structlog
import trio
from structlog.testing import capture_logs
from structlog.typing import EventDict
from trio.testing import MockClock

from meshtracker.app import upkeep
from meshtracker.errors import StartError
from meshtracker.link.clock import HybridClock
from meshtracker.link.policy import LinkPolicy
from meshtracker.link.proof.authentication import Credential
from meshtracker.link.proof.credentials import MIN_ITERATIONS, CredentialList
from meshtracker.model import AnnounceRequest
from meshtracker.network.link import LinkService
from meshtracker.node.node import Node
from meshtracker.node.policy import TrackerPolicy
from meshtracker.storage.credentials import CredentialsFile, edit
from meshtracker.storage.watched import Watched
from meshtracker.swarm.access import Access


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


class SystemClock:
    """The wall clock of a machine, which somebody may set; ``time.time`` while a test lasts."""

    def __init__(self) -> None:
        self.offset_seconds = 1.8e9

    def time(self) -> float:
        """Unix seconds."""
        return trio.current_time() + self.offset_seconds


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch) -> SystemClock:
    clock = SystemClock()
    monkeypatch.setattr(time, "time", clock.time)
    structlog.reset_defaults()
    return clock


def ahead_seconds(node: Node) -> float:
    """How far a node's clock is ahead of the machine's."""
    return round(node.clock.wall_seconds(trio.current_time()) - time.time(), 3)


@asynccontextmanager
async def watched_clock() -> AsyncIterator[tuple[Node, Sequence[EventDict]]]:
    """A node that watches the system's clock, between two of its looks, and what it logs."""
    node = make_node()
    with capture_logs() as entries:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(upkeep.watch_clock, node)
            await trio.sleep(0.5)
            yield node, entries
            nursery.cancel_scope.cancel()


@pytest.mark.parametrize(("step_seconds", "warnings"), [(0.5, []), (-0.9, []), (30.0, [30.0]), (-59.0, [-59.0])])
async def test_a_small_step_of_the_systems_clock_is_followed_at_once(
    autojump_clock: MockClock, system: SystemClock, step_seconds: float, warnings: list[float]
) -> None:
    async with watched_clock() as (node, entries):
        own = node.mesh.own
        system.offset_seconds += step_seconds
        assert ahead_seconds(node) == -step_seconds
        await trio.sleep(1)
        assert ahead_seconds(node) == 0
    assert [entry["by_seconds"] for entry in entries] == warnings
    assert node.mesh.own == own


async def test_the_clock_is_left_alone_while_it_keeps_time(autojump_clock: MockClock, system: SystemClock) -> None:
    async with watched_clock() as (node, entries):
        for _ in range(10):
            # What was adjusted gradually is not a step.
            system.offset_seconds += 0.01
            await trio.sleep(1)
    assert entries == []
    assert ahead_seconds(node) == pytest.approx(-0.1)


@pytest.mark.parametrize(("step_seconds", "begins_anew"), [(3600.0, False), (-3600.0, True), (-61.0, True)])
async def test_a_large_step_is_believed_once_it_has_stood_for_ten_seconds(
    autojump_clock: MockClock, system: SystemClock, step_seconds: float, begins_anew: bool
) -> None:
    async with watched_clock() as (node, entries):
        own = node.mesh.own
        system.offset_seconds += step_seconds
        # First seen at 1 s.
        await trio.sleep(10)
        assert ahead_seconds(node) == -step_seconds
        assert node.mesh.own == own
        assert [entry["event"] for entry in entries] == [
            "the system's clock leapt: waiting whether that stands",
        ]
        await trio.sleep(1)
        assert ahead_seconds(node) == 0
        assert (node.mesh.own != own) is begins_anew
        await trio.sleep(60)
    assert [entry["event"] for entry in entries][1:] == ["the system's clock was set"]
    assert [entry["by_seconds"] for entry in entries] == [step_seconds, step_seconds]


async def test_a_large_step_that_is_taken_back_was_none(autojump_clock: MockClock, system: SystemClock) -> None:
    async with watched_clock() as (node, entries):
        own = node.mesh.own
        for _ in range(3):
            system.offset_seconds -= 86_400
            await trio.sleep(9)
            assert ahead_seconds(node) == 86_400
            system.offset_seconds += 86_400
            await trio.sleep(2)
            assert ahead_seconds(node) == 0
    assert {entry["event"] for entry in entries} == {"the system's clock leapt: waiting whether that stands"}
    assert len(entries) == 3
    assert node.mesh.own == own


async def said(log: Sequence[EventDict], count: int) -> list[str]:
    """The levels of all lines, once there are so many."""
    with trio.fail_after(10):
        while len(log) < count:
            await trio.sleep(0.01)
    return [line["log_level"] for line in log]


async def test_an_access_list_is_followed(tmp_path: Path) -> None:
    # In real time: a clock that jumps would not wait for the thread that reads the file.
    node, path = make_node(), tmp_path / "torrents"
    path.write_text("aa" * 20)
    with capture_logs() as log:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: upkeep.watch_access(node, Watched(path), lambda: read_list(path), 0.01))
            assert await said(log, 1) == ["info"]
            path.write_text("half a line")
            await said(log, 2)
            path.unlink()
            await said(log, 3)
            assert node.access.info_hashes == {b"\xaa" * 20}
            path.write_text("bb" * 20)
            # Between creation and writing the file is empty, which is a list too.
            with trio.fail_after(10):
                while node.access.info_hashes != {b"\xbb" * 20}:
                    await trio.sleep(0.01)
            assert [line["log_level"] for line in log][:3] == ["info", "error", "error"]
            nursery.cancel_scope.cancel()


def read_list(path: Path) -> Access:
    try:
        return Access.parse("allow", path.read_text())
    except (OSError, ValueError) as error:
        raise StartError(str(error)) from error


async def test_the_list_of_those_who_may_link_is_followed(tmp_path: Path) -> None:
    # In real time: a clock that jumps would not wait for the thread that reads the file.
    node, path = make_node(), tmp_path / "credentials"
    empty = CredentialList(b"0123456789abcdef", MIN_ITERATIONS)
    file = CredentialsFile(path)
    edit(path, lambda _: empty.without("a"))
    credential = Credential("of this test only", file.read())
    links = LinkService(node, credential=credential, policy=LinkPolicy())
    whole = empty.without("a").without("b").to_text()
    with capture_logs() as log:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(upkeep.watch_credentials, file, links, 0.01)
            await trio.sleep(0.1)
            assert log == []
            path.write_text(whole[: len(whole) // 2])
            assert set(await said(log, 1)) == {"error"}
            assert "is it still being written?" in log[0]["reason"] or "expected" in log[0]["reason"]
            assert credential.entry("a") is not None
            path.unlink()
            with trio.fail_after(10):
                while "no such file" not in log[-1]["reason"]:
                    await trio.sleep(0.01)
            before = len(log)
            await trio.sleep(0.1)
            assert len(log) == before
            assert credential.entry("a") is not None
            assert credential.entry("b") is None
            edit(path, lambda listed: (listed or empty).without("a").without("b"))
            assert (await said(log, before + 1))[-1] == "info"
            assert (log[-1]["nodes"], log[-1]["revoked"]) == (0, 2)
            assert credential.entry("b") is not None
            nursery.cancel_scope.cancel()
