"""A node that is killed (SIGKILL) again and again amid the burst that would bring it back."""

from __future__ import annotations

import contextlib
import signal
from pathlib import Path

import pytest
import trio

from meshtracker.app.run import SNAPSHOT_FILE
from meshtracker.wire.frame import FrameType
from tests.real.faults.crowd import crowd_at
from tests.real.faults.figures import Figures, record
from tests.real.faults.meshes import plan_three
from tests.real.faults.proxy import TO_HUB, TO_LEAF, Proxy
from tests.real.faults.trial import HEAL_SECONDS, assert_served
from tests.real.mesh import START_SECONDS
from tests.real.plan import RECONNECT_MAX_SECONDS, LinkTable, agree, announce

pytestmark = [pytest.mark.real, pytest.mark.long]

PEERS = 4000
"""Several SNAPSHOT frames."""
KILLS_AFTER_FRAMES = (1, 2, 3, 2, 1)
"""Of the snapshot; the rest of it never comes."""
SNAPSHOT_SECONDS = 1
"""Time for a snapshot file of a node that has half of it."""


@pytest.mark.parametrize("who", ["hub", "leaf"])
async def test_a_node_killed_amid_bursts_comes_back_whole(tmp_path: Path, who: str) -> None:
    proxy = Proxy()
    link: LinkTable = {"tls": "off", "reconnect_max_seconds": RECONNECT_MAX_SECONDS}
    plans = plan_three(tmp_path, link=link, proxy=proxy, snapshot_seconds=SNAPSHOT_SECONDS)
    hub_plan, a_plan, b_plan = plans
    # Its peers are those that the victim must be given, through the proxy.
    giver_plan, victim_plan = (a_plan, hub_plan) if who == "hub" else (hub_plan, a_plan)
    direction = TO_HUB if who == "hub" else TO_LEAF
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(proxy.serving())
        giver = await stack.enter_async_context(giver_plan.run())
        b = await stack.enter_async_context(b_plan.run())
        for node in (giver, b):
            await node.wait_serving()
        assert await announce(giver, range(30_000, 30_000 + PEERS)) == PEERS
        async with crowd_at([giver, b]) as crowd:
            for frames in KILLS_AFTER_FRAMES:
                held = proxy.hold_after(direction, FrameType.SNAPSHOT, frames)
                async with victim_plan.run() as victim:
                    with trio.fail_after(START_SECONDS):
                        await held.wait()
                    await trio.sleep(SNAPSHOT_SECONDS + 0.5)
                    assert (tmp_path / f"{victim.name}.state" / SNAPSHOT_FILE).exists()
                    victim.program.process.send_signal(signal.SIGKILL)
                    assert await victim.program.process.wait() == -signal.SIGKILL
            victim = await stack.enter_async_context(victim_plan.run())
            began = trio.current_time()
            await victim.wait_serving()
            serving_seconds = trio.current_time() - began
        await agree((giver, victim, b), PEERS + crowd.answered, within_seconds=HEAL_SECONDS)
        healed_seconds = trio.current_time() - began
        assert_served(crowd)
    record(
        Figures(
            fault=f"kill -9 of the {who}, {len(KILLS_AFTER_FRAMES)} times amid a burst",
            found={},
            healed_seconds=healed_seconds,
            announces=crowd.answered,
            slowest_seconds=crowd.slowest_seconds,
            note=f"the connection ends with the process; it serves {serving_seconds:.1f} s after a start",
        )
    )
