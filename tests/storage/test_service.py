from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio
from structlog.testing import capture_logs
from trio.testing import MockClock

from meshtracker.node.node import Node
from meshtracker.storage import snapshot_format
from meshtracker.storage.service import SnapshotService
from meshtracker.storage.snapshot import load_or_set_aside
from tests.storage.support import START, announce, fill, make_node, rows


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "swarms.snapshot"


@pytest.fixture
def node() -> Node:
    node = make_node("a", 7)
    fill(node, swarms=5, clients=200, now=START)
    return node


def content(path: Path) -> bytes:
    return path.read_bytes()


def files(path: Path) -> list[Path]:
    return list(path.parent.iterdir())


@contextmanager
def disk_full_after(limit_bytes: int) -> Iterator[None]:
    """No file of this process may grow past ``limit_bytes``: Python gets an OSError, as it does from a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_saves_what_the_node_holds(node: Node, path: Path, mock_clock: MockClock) -> None:
    service = SnapshotService(node, path, interval_seconds=60)
    assert await service.save()
    snapshot = load_or_set_aside(path, name="a")
    assert snapshot is not None
    assert {key: len(swarm) for key, swarm in snapshot.swarms.items()} == {
        key: len(found) for key, found in rows(node).items()
    }
    assert snapshot.at_ms == node.clock.wall_ms(trio.current_time())
    statistics = service.statistics(trio.current_time())
    assert (statistics.saved, statistics.failed, statistics.error) == (1, 0, "")
    assert statistics.saved_bytes == len(content(path))


async def test_saves_once_an_interval(node: Node, path: Path, mock_clock: MockClock) -> None:
    service = SnapshotService(node, path, interval_seconds=60)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(service.run)
        await trio.testing.wait_all_tasks_blocked()
        for saved in range(3):
            mock_clock.jump(59)
            await trio.testing.wait_all_tasks_blocked()
            assert service.statistics(trio.current_time()).saved == saved
            mock_clock.jump(1)
            while service.statistics(trio.current_time()).saved == saved:
                await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()
    assert service.statistics(trio.current_time() + 5).saved_seconds_ago == 5


async def test_a_full_disk_leaves_the_last_one_and_is_tried_again(node: Node, path: Path) -> None:
    service = SnapshotService(node, path, interval_seconds=60)
    assert await service.save()
    last = content(path)
    announce(node, 1, 999, START)
    for limit_bytes in (0, 1000, len(last)):
        with capture_logs() as logs, disk_full_after(limit_bytes):
            assert not await service.save()
        assert logs[0]["event"] == "snapshot not saved, the last one stands"
        assert content(path) == last
        assert files(path) == [path]
    statistics = service.statistics(trio.current_time())
    assert (statistics.saved, statistics.failed) == (1, 3)
    assert statistics.error
    assert await service.save()
    assert service.statistics(trio.current_time()).error == ""
    assert len(content(path)) > len(last)


async def test_a_directory_that_vanished_ends_nothing(node: Node, path: Path) -> None:
    service = SnapshotService(node, path / "gone" / "swarms.snapshot", interval_seconds=60)
    with capture_logs() as logs:
        assert not await service.save()
    assert logs[0]["reason"] == "No such file or directory"


async def test_announces_go_on_meanwhile(node: Node, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot_format, "PIECE_SWARMS", 1)
    service = SnapshotService(node, path, interval_seconds=60)
    before = rows(node)
    announced = 0
    async with trio.open_nursery() as nursery:

        async def announce_on() -> None:
            nonlocal announced
            while True:
                announced += 1
                announce(node, announced % 50, 1000 + announced, START + announced / 1000)
                await trio.lowlevel.checkpoint()

        nursery.start_soon(announce_on)
        assert await service.save()
        nursery.cancel_scope.cancel()
    snapshot = load_or_set_aside(path, name="a")
    assert snapshot is not None
    assert announced > 5
    for key, expected in before.items():
        packs = snapshot.swarms[key].packs()
        found = {
            (row.identity, row.stamp, snapshot.streams[row.origin], row.state, address)
            for pack in packs
            for row, address in pack.entries()
        }
        assert found >= expected


async def test_cancelled_half_way_it_leaves_the_last_one(
    node: Node, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = SnapshotService(node, path, interval_seconds=60)
    await service.save()
    last = content(path)
    monkeypatch.setattr(snapshot_format, "PIECE_SWARMS", 1)
    announce(node, 1, 999, START)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(service.save)
        while not path.with_name(f"{path.name}.new").exists():
            await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()
    assert content(path) == last
    assert files(path) == [path]
    assert await service.save()
