"""What a mesh recovers from by itself: a clock that was a day off, a second node of a name, two killed at once.

No node is restarted that was not killed, and nobody gives a command.
"""

from __future__ import annotations

import contextlib
import signal
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest
import trio

from tests.real.faults.census import Clients, wait_agreed
from tests.real.faults.crowd import crowd_at
from tests.real.faults.figures import Figures, record
from tests.real.faults.meshes import LINK, run_all
from tests.real.faults.trial import assert_served
from tests.real.faults.verdicts import log_lines
from tests.real.faults.walls import DAY_SECONDS, make_wall_clock
from tests.real.mesh import Node, endpoint
from tests.real.plan import HOST, LinkTable, Plan, plan_node
from tests.real.processes import free_port, wait_until

pytestmark = [pytest.mark.real, pytest.mark.long, pytest.mark.timeout(180)]

LEAVES = ("a", "b", "c")
AGREE_SECONDS = 60.0
"""From the end of a fault until all agree; most of it is for a dial that waits (``link.reconnect_max_seconds``)."""
DOUBTED_SECONDS = 5.0
"""Less than a clock must have been off for the node to believe it (`meshtracker.app.upkeep`)."""
BELIEVED_SECONDS = 40.0
IMPOSTOR_SECONDS = 15.0
TO_BEGIN_WITH = 4
"""Clients of each torrent at each node."""
STEPS = 2
"""Of a clock that goes wrong and right again: one client each may be refused its connection id."""


class Plans:
    """A hub and three leaves."""

    def __init__(
        self,
        directory: Path,
        *,
        environments: Mapping[str, Mapping[str, str]] | None = None,
        snapshot_seconds: float = 1,
    ) -> None:
        self._directory = directory
        self._snapshot_seconds = snapshot_seconds
        self._environments = environments or {}
        self._hub_at = endpoint(HOST, free_port(HOST))
        self.all = [self._plan("hub", {"listen": [self._hub_at]}), *(self.leaf(name) for name in LEAVES)]

    def leaf(self, name: str, *, directory: Path | None = None) -> Plan:
        """A leaf; in another directory it is another one of that name, with the same password."""
        return self._plan(name, {"hubs": [self._hub_at]}, directory)

    def _plan(self, name: str, link: LinkTable, directory: Path | None = None) -> Plan:
        return plan_node(
            directory or self._directory,
            name,
            link={**LINK, **link},
            environment=self._environments.get(name),
            snapshot_seconds=self._snapshot_seconds,
            log_format="json",
        )


def _clock_lines(node: Node) -> Counter[tuple[str, float]]:
    """What a node said of its clock: ``leapt`` is a doubt, ``set`` is believed; and the days."""
    said = {"the system's clock leapt: waiting whether that stands": "leapt", "the system's clock was set": "set"}
    return Counter(
        (said[line["event"]], round(line["by_seconds"] / DAY_SECONDS))
        for line in log_lines(node.program)
        if line["event"] in said
    )


@pytest.mark.parametrize("lasts_seconds", [DOUBTED_SECONDS, BELIEVED_SECONDS], ids=["doubted", "believed"])
@pytest.mark.parametrize(
    ("who", "days"), [("hub", 1), ("a", 1), ("a", -1)], ids=["hub-ahead", "leaf-ahead", "leaf-behind"]
)
async def test_a_clock_that_was_a_day_off(tmp_path: Path, who: str, days: int, lasts_seconds: float) -> None:
    clock = make_wall_clock(tmp_path / "clock")
    plans = Plans(tmp_path, environments={who: clock.environment})
    clients = Clients()
    async with run_all(plans.all) as nodes:
        [node] = [node for node in nodes if node.name == who]
        others = [other for other in nodes if other is not node]
        await clients.come(nodes, TO_BEGIN_WITH)
        await wait_agreed(nodes, clients, crowd=0, since=trio.current_time(), within_seconds=AGREE_SECONDS)
        async with crowd_at(nodes) as crowd:
            clock.set_off(days * DAY_SECONDS)
            await trio.sleep(lasts_seconds / 2)
            await clients.come(others, 1)
            await clients.leave(others)
            await trio.sleep(lasts_seconds / 2)
            clock.set_off(0)
            ended = trio.current_time()
        is_believed = lasts_seconds > DOUBTED_SECONDS
        agreement = await wait_agreed(
            nodes,
            clients,
            crowd=crowd.answered,
            # Those that came to the node whose clock was wrong: what it wrote of them may be too old once it is right.
            at_risk=crowd.answered_at[who] if is_believed else 0,
            since=ended,
            within_seconds=AGREE_SECONDS,
        )
        steps = [days, -days] if is_believed else [days]
        said = {("leapt", step): 1 for step in steps} | ({("set", step): 1 for step in steps} if is_believed else {})
        assert _clock_lines(node) == said
        assert_served(crowd, refused=STEPS if is_believed else 0)
    kind, way = "hub" if who == "hub" else "leaf", "ahead" if days > 0 else "behind"
    lost = crowd.answered - agreement.crowd
    record(
        Figures(
            fault=f"clock of the {kind} a day {way} for {lasts_seconds:.0f} s",
            found={},
            healed_seconds=agreement.seconds,
            announces=crowd.answered,
            slowest_seconds=crowd.slowest_seconds,
            note=f"believed after 10 s; lost: {lost} of {crowd.answered_at[who]} that came to it"
            if is_believed
            else "not believed so soon",
        )
    )


async def test_a_second_node_of_a_name_is_kept_out_while_the_first_lives(tmp_path: Path) -> None:
    plans = Plans(tmp_path)
    impostor_directory = tmp_path / "impostor"
    impostor_directory.mkdir()
    (impostor_directory / "mesh-password").write_bytes((tmp_path / "mesh-password").read_bytes())
    clients = Clients()
    async with run_all(plans.all) as nodes:
        await clients.come(nodes, TO_BEGIN_WITH)
        async with crowd_at(nodes) as crowd:
            async with plans.leaf("a", directory=impostor_directory).run() as impostor:
                await impostor.wait_serving()
                await _wait_told(impostor)
                await trio.sleep(IMPOSTOR_SECONDS)
                await clients.come(nodes, 1)
                await clients.leave(nodes)
                impostor.program.process.send_signal(signal.SIGKILL)
                assert await impostor.program.process.wait() == -signal.SIGKILL
            ended = trio.current_time()
        agreement = await wait_agreed(nodes, clients, crowd=crowd.answered, since=ended, within_seconds=AGREE_SECONDS)
        assert_served(crowd)
        [link] = [link for link in await nodes[0].links() if link["peer"] == "a" and link["state"] == "synced"]
        assert link["since_seconds"] > IMPOSTOR_SECONDS, "the true leaf kept its link"
    record(
        Figures(
            fault=f"a second leaf of the same name for {IMPOSTOR_SECONDS:.0f} s",
            found={},
            healed_seconds=agreement.seconds,
            announces=crowd.answered,
            slowest_seconds=crowd.slowest_seconds,
            note="refused: the name is taken; the first one keeps its link",
        )
    )


async def _wait_told(impostor: Node) -> None:
    """Until it knows why it is not linked."""

    async def is_told() -> bool:
        return any(link["code"] == "name" for link in await impostor.links())

    await wait_until(is_told, within_seconds=AGREE_SECONDS, otherwise=impostor.program.tail)


async def test_hub_and_leaf_killed_at_once_with_old_snapshots(tmp_path: Path) -> None:
    # Those that they have are of the end of their life before.
    plans = Plans(tmp_path, snapshot_seconds=3600)
    clients = Clients()
    async with run_all(plans.all) as nodes:
        await clients.come(nodes, TO_BEGIN_WITH)
        await wait_agreed(nodes, clients, crowd=0, since=trio.current_time(), within_seconds=AGREE_SECONDS)
        for node in reversed(nodes):
            assert await node.program.end() == 0, node.program.tail()
    async with contextlib.AsyncExitStack() as stack:
        nodes = await stack.enter_async_context(run_all(plans.all))
        hub, a, b, c = nodes
        await clients.come(nodes, 1)
        await clients.leave(nodes)
        await wait_agreed(nodes, clients, crowd=0, since=trio.current_time(), within_seconds=AGREE_SECONDS)
        killed = (hub, a)
        for node in killed:
            node.program.process.send_signal(signal.SIGKILL)
        for node in killed:
            assert await node.program.process.wait() == -signal.SIGKILL
        async with crowd_at([b, c]) as crowd:
            await clients.come([b, c], 1)
            await clients.leave([b, c])
            began = trio.current_time()
            hub, a = [await stack.enter_async_context(plan.run()) for plan in plans.all[:2]]
            for node in (hub, a):
                await node.wait_serving()
        agreement = await wait_agreed(
            (hub, a, b, c), clients, crowd=crowd.answered, since=began, within_seconds=AGREE_SECONDS
        )
        assert_served(crowd)
    record(
        Figures(
            fault="kill -9 of hub and leaf at once, snapshots older than the last changes",
            found={},
            healed_seconds=agreement.seconds,
            announces=crowd.answered,
            slowest_seconds=crowd.slowest_seconds,
            note="the connections end; seconds count from the start of both",
        )
    )
