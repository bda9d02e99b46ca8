"""What a mesh of real processes survives: a hub that is away, a node that is killed, a stop under load."""

from __future__ import annotations

import contextlib
import functools
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
import trio

from meshtracker.model import Event
from tests.real.mesh import MESHTRACKER, Node
from tests.real.plan import HASH, Mesh, agree, announce, answers, plan_mesh
from tests.real.processes import wait_until

pytestmark = pytest.mark.real


async def resyncs(node: Node) -> str:
    """How each link of a node that is up was brought up."""
    return "; ".join(link["resync"] for link in await node.links() if link["state"] == "synced")


async def hub_outage(mesh: Mesh, *, seconds: float, busy: int) -> list[str]:
    """Stop the hub; leaves serve meanwhile; start it again. How each origin came back to the hub."""
    async with contextlib.AsyncExitStack() as stack:
        a, b = [await stack.enter_async_context(leaf.run()) for leaf in mesh.leaves]
        async with mesh.hub.run() as hub:
            for node in (a, b):
                await node.wait_synced(1)
            await announce(a, range(1000, 1010))
            await announce(b, range(2000, 2010))
            await agree((hub, a, b), 20)
            assert await hub.program.end() == 0
        began = trio.current_time()
        assert await announce(a, range(10_000, 10_000 + busy)) == busy
        assert await announce(b, range(2005, 2010), event=Event.STOPPED) == 5
        await agree((a,), 20 + busy)
        await agree((b,), 15)
        await trio.sleep_until(began + seconds)
        assert await announce(a, [3000]) == 1
        async with mesh.hub.run() as hub:
            for node in (a, b):
                await node.wait_synced(1)
            await agree((hub, a, b), 16 + busy)
            links = [link["resync"] for link in await hub.links() if link["state"] == "synced"]
        return sorted(links)


@pytest.mark.long
async def test_a_hub_away_for_a_minute_is_given_what_it_missed(tmp_path: Path) -> None:
    told = await hub_outage(plan_mesh(tmp_path, "a", "b"), seconds=60, busy=200)
    assert [line.split(":")[0] for line in told] == ["a", "b"]
    assert all("partial after batch" in line for line in told), told


async def test_a_hub_that_missed_more_than_the_log_holds_is_given_all(tmp_path: Path) -> None:
    mesh = plan_mesh(tmp_path, "a", "b", link={"max_log_bytes": 65_536})
    told = await hub_outage(mesh, seconds=1, busy=6000)
    assert "full (fell behind)" in told[0], told


async def test_kill_9_loses_nothing_that_the_mesh_knew(tmp_path: Path) -> None:
    # No snapshot is written before the kill: all that comes back comes over the link.
    mesh = plan_mesh(tmp_path, "a", "b", snapshot_seconds=3600)
    [plan_a, plan_b] = mesh.leaves
    async with mesh.hub.run() as hub, plan_b.run() as b:
        async with plan_a.run() as a:
            await a.wait_synced(1)
            await announce(a, range(1000, 1100))
            await agree((hub, a, b), 100)
            a.program.process.send_signal(signal.SIGKILL)
            assert await a.program.process.wait() == -signal.SIGKILL
        async with plan_a.run() as a:
            await agree((hub, a, b), 100, within_seconds=20)
            await announce(a, range(1000, 1050), event=Event.STOPPED)
            await agree((hub, a, b), 50)


async def test_kill_9_without_a_mesh_loses_no_more_than_a_snapshot_interval(tmp_path: Path) -> None:
    mesh = plan_mesh(tmp_path, "a", snapshot_seconds=1)
    [plan] = mesh.leaves
    async with plan.run() as a:
        await wait_until(functools.partial(answers, a), within_seconds=20, otherwise=a.program.tail)
        await announce(a, range(1000, 1100))
        await trio.sleep(2.5)
        a.program.process.send_signal(signal.SIGKILL)
        await a.program.process.wait()
    async with plan.run() as a:
        await wait_until(functools.partial(answers, a), within_seconds=20, otherwise=a.program.tail)
        await agree((a,), 100)


async def test_sigterm_under_load_saves_everything_and_exits_0_in_time(tmp_path: Path) -> None:
    mesh = plan_mesh(tmp_path, "a", snapshot_seconds=3600)
    [plan] = mesh.leaves
    async with mesh.hub.run() as hub:
        async with plan.run() as a:
            await a.wait_synced(1)
            async with trio.open_nursery() as nursery:

                async def keep_announcing() -> None:
                    # Until the node is gone: then the client hears nothing, or that nobody is there.
                    with contextlib.suppress(trio.TooSlowError, OSError):
                        await announce(a, range(5000, 60_000))

                nursery.start_soon(keep_announcing)
                await trio.sleep(1)
                with trio.fail_after(5):
                    a.program.process.terminate()
                    assert await a.program.process.wait() == 0, a.program.tail()
                nursery.cancel_scope.cancel()
        count = (await hub.scrape(HASH))[1]
        assert count > 50
        async with plan.run() as a:
            await wait_until(functools.partial(answers, a), within_seconds=20, otherwise=a.program.tail)
            assert (await a.scrape(HASH))[1] == count


@pytest.mark.parametrize("damage", [b"", b"rubbish", None])
async def test_a_damaged_snapshot_is_set_aside(tmp_path: Path, damage: bytes | None) -> None:
    [plan] = plan_mesh(tmp_path, "a").leaves
    state = tmp_path / "a.state"
    async with plan.run() as a:
        await wait_until(functools.partial(answers, a), within_seconds=20, otherwise=a.program.tail)
        await announce(a, range(1000, 1010))
        assert await a.program.end() == 0
    [snapshot] = state.glob("*.snapshot")
    content = snapshot.read_bytes()
    snapshot.write_bytes(content[:-3] if damage is None else damage)
    async with plan.run() as a:
        await wait_until(functools.partial(answers, a), within_seconds=20, otherwise=a.program.tail)
        assert (await a.scrape(HASH)) == (0, 0)
        assert "snapshot not used" in a.program.tail()
    assert list(state.glob("*.damaged-1"))


def test_messages_name_what_is_wrong(tmp_path: Path) -> None:
    config = tmp_path / "node.toml"
    config.write_text('[tracker]\nnumwant_max = "many"\n')
    done = subprocess.run([*MESHTRACKER, "run", "-c", str(config)], capture_output=True, text=True, check=False)
    said: Any = done.stderr
    assert done.returncode == 2
    assert str(config) in said
    assert "tracker.numwant_max" in said
