"""A process that stands still for a while (SIGSTOP): to everybody else it is up and says nothing."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.real.faults.figures import TIMES
from tests.real.faults.meshes import plan_three, run_three
from tests.real.faults.trial import endure
from tests.real.faults.verdicts import Watch, log_lines
from tests.real.mesh import Node
from tests.real.plan import agree, announce
from tests.real.processes import wait_until

pytestmark = [pytest.mark.real, pytest.mark.long]

ALARMS = 2
FINDERS = {"hub": [("a", "hub"), ("b", "hub")], "a": [("hub", "a")]}
"""By who stands still: all at the other ends of its links."""
RULES = {"silent", "outbound"}
"""What comes first: nothing is heard, or what was sent just before is not confirmed."""


@contextlib.contextmanager
def stopped(node: Node) -> Iterator[None]:
    """The process stands still as long as the block lasts."""
    node.program.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        node.program.process.send_signal(signal.SIGCONT)


@pytest.mark.parametrize("who", ["hub", "a"])
async def test_a_process_that_stands_still_is_found(tmp_path: Path, who: str) -> None:
    async with run_three(plan_three(tmp_path)) as nodes:
        [node] = [node for node in nodes if node.name == who]
        await endure(
            f"{'hub' if who == 'hub' else 'leaf'} stands still (SIGSTOP)",
            stopped(node),
            nodes=nodes,
            serving=[other for other in nodes if other is not node],
            expected=[{end: RULES} for end in FINDERS[who]],
        )


async def test_without_auto_reset_the_alarm_repeats_until_data_flows(tmp_path: Path) -> None:
    async with run_three(plan_three(tmp_path, link={"auto_reset": False})) as (hub, a, b):
        watch = Watch([hub, a, b])

        async def is_repeated() -> bool:
            return [(verdict.node, verdict.link) for verdict in watch.verdicts()] == [("hub", "a")] * ALARMS

        with stopped(a):
            within_seconds = ALARMS * TIMES.bound_seconds
            await wait_until(is_repeated, within_seconds=within_seconds, otherwise=hub.program.tail)
            states = {link["peer"]: link["state"] for link in await hub.links()}
            assert states == {"a": "soft-split", "b": "synced"}
            assert await announce(hub, range(1000, 1010)) == 10
        await agree((hub, a, b), 10)
        # On the same connection: none was closed.
        await hub.wait_synced(2)
        assert len(await hub.links()) == 2
        assert [line["event"] for line in log_lines(hub.program) if "recovered" in line["event"]]
        [first, second] = watch.verdicts()
        assert second.seconds - first.seconds >= TIMES.soft_split_after_seconds - 0.1
