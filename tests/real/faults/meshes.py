"""The mesh that most faults are done to: a hub and two leaves, ``a`` which suffers and ``b`` which must not notice."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import attrs

from tests.real.faults.figures import TIMES
from tests.real.faults.proxy import Proxy
from tests.real.mesh import Node, endpoint
from tests.real.plan import HOST, LinkTable, Plan, plan_node
from tests.real.processes import free_port

LINK: LinkTable = attrs.asdict(TIMES)
"""What all nodes are set to."""


def plan_three(
    directory: Path, *, link: LinkTable | None = None, proxy: Proxy | None = None, snapshot_seconds: float = 1
) -> tuple[Plan, Plan, Plan]:
    """Hub, ``a`` and ``b`` on one loopback; with a proxy ``a`` dials that, and the hub listens where it dials."""
    hub_port = proxy.hub_port if proxy else free_port(HOST)
    a_port = proxy.port if proxy else hub_port

    def plan(name: str, part: LinkTable) -> Plan:
        keys = {**LINK, **(link or {}), **part}
        return plan_node(directory, name, link=keys, snapshot_seconds=snapshot_seconds, log_format="json")

    return (
        plan("hub", {"listen": [endpoint(HOST, hub_port)]}),
        plan("a", {"hubs": [endpoint(HOST, a_port)]}),
        plan("b", {"hubs": [endpoint(HOST, hub_port)]}),
    )


@contextlib.asynccontextmanager
async def run_three(plans: Iterable[Plan]) -> AsyncIterator[tuple[Node, Node, Node]]:
    """Run hub, ``a`` and ``b``, all links synced."""
    async with run_all(plans) as (hub, a, b):
        yield hub, a, b


@contextlib.asynccontextmanager
async def run_all(plans: Iterable[Plan]) -> AsyncIterator[list[Node]]:
    """Run a hub, which is first, and its leaves, all links synced."""
    async with contextlib.AsyncExitStack() as stack:
        nodes = [await stack.enter_async_context(plan.run()) for plan in plans]
        for node in nodes:
            await node.wait_serving()
            await node.wait_synced(len(nodes) - 1 if node is nodes[0] else 1)
        yield nodes
