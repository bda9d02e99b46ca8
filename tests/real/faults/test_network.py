"""Nodes in network namespaces of their own, on a wire that loses, delays, reorders and filters."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import attrs
import pytest
import trio

from tests.real.faults.crowd import crowd_at
from tests.real.faults.figures import TIMES, Figures, record
from tests.real.faults.meshes import LINK, run_three
from tests.real.faults.network import Place, Wire, firewall, make_place, wire_between
from tests.real.faults.trial import HEAL_SECONDS, assert_served, endure
from tests.real.faults.verdicts import Watch
from tests.real.mesh import Node, endpoint
from tests.real.plan import HOST, LinkTable, Plan, agree, announce, plan_node
from tests.real.processes import free_port

pytestmark = [pytest.mark.real, pytest.mark.long, pytest.mark.usefixtures("namespaces")]

SEED = 1
BURST = 300
"""Clients at once: their batch fills more than one packet."""
FULL_PACKET_BYTES = 1400
"""An MTU black hole passes less: what a handshake and a heartbeat need."""
HEARS_NOTHING = {"silent", "outbound"}
"""What comes first: nothing is heard, or what was sent just before is not confirmed."""


@attrs.frozen
class Network:
    """A hub and the leaf ``a``, each in a namespace, with a wire between; the leaf ``b`` on a good way to the hub."""

    places: dict[str, Place]
    wire: Wire
    nodes: dict[str, Node]

    @property
    def all(self) -> list[Node]:
        return list(self.nodes.values())


@contextlib.asynccontextmanager
async def network(directory: Path) -> AsyncIterator[Network]:
    """A mesh, all links synced."""
    hub_place, a_place = make_place("hub", 1), make_place("a", 2)
    port = free_port(HOST)

    def plan(name: str, place: Place | None, link: LinkTable) -> Plan:
        host, prefix = (place.host, place.prefix) if place else (HOST, ())
        return plan_node(directory, name, link={**LINK, **link}, host=host, place=prefix, log_format="json")

    async with wire_between(hub_place, a_place, seed=SEED) as wire:
        hub_plan = plan("hub", hub_place, {"listen": [endpoint("0.0.0.0", port)]})  # noqa: S104 - in its own namespace
        a_plan = plan("a", a_place, {"hubs": [endpoint(hub_place.wire_host, port)]})
        b_plan = plan("b", None, {"hubs": [endpoint(hub_place.host, port)]})
        async with run_three((hub_plan, a_plan, b_plan)) as (hub, a, b):
            yield Network({"hub": hub_place, "a": a_place}, wire, {"hub": hub, "a": a, "b": b})


async def test_loss_delay_and_reordering_only_slow_the_mesh_down(tmp_path: Path) -> None:
    async with network(tmp_path) as net:
        watch = Watch(net.all)
        with (
            firewall(net.places["hub"], "numgen random mod 100 < 5") as lost_to_hub,
            firewall(net.places["a"], "numgen random mod 100 < 5") as lost_to_leaf,
            net.wire.delaying(0.02, 0.12),
        ):
            async with crowd_at(net.all) as crowd:
                for node in net.all:
                    await announce(node, range(1000, 1000 + BURST))
                await trio.sleep(2 * TIMES.bound_seconds)
            ended = trio.current_time()
            # While the fault lasts.
            await agree(net.all, BURST + crowd.answered, within_seconds=HEAL_SECONDS)
            agreed_seconds = trio.current_time() - ended
            assert lost_to_hub() > 0
            assert lost_to_leaf() > 0
        assert net.wire.overtaken > 0
        assert_served(crowd)
        assert watch.verdicts() == []
        record(
            Figures(
                fault="5 % loss, 20-120 ms delay, reordering, both ways",
                found={},
                healed_seconds=agreed_seconds,
                announces=crowd.answered + BURST * len(net.all),
                slowest_seconds=crowd.slowest_seconds,
                note="none: TCP copes, no alarm; agreed while it lasted",
            )
        )


@pytest.mark.parametrize(("sender", "receiver"), [("a", "hub"), ("hub", "a")], ids=["to-hub", "to-leaf"])
async def test_an_mtu_black_hole_is_found(tmp_path: Path, sender: str, receiver: str) -> None:
    async with network(tmp_path) as net:

        async def burst() -> int:
            return await announce(net.nodes[sender], range(1000, 1000 + BURST))

        await endure(
            f"MTU black hole {_way(receiver)} (more than {FULL_PACKET_BYTES} bytes)",
            firewall(net.places[receiver], f"meta length > {FULL_PACKET_BYTES}"),
            nodes=net.all,
            serving=net.all,
            expected=[{(sender, receiver): {"outbound"}, (receiver, sender): HEARS_NOTHING}],
            burst=burst,
            # The handshake passes, so the link comes back, and data is stuck again.
            persists=True,
        )


@pytest.mark.parametrize(("sender", "receiver"), [("a", "hub"), ("hub", "a")], ids=["to-hub", "to-leaf"])
async def test_a_one_way_firewall_is_found(tmp_path: Path, sender: str, receiver: str) -> None:
    async with network(tmp_path) as net:
        await endure(
            f"one-way firewall, nothing {_way(receiver)}",
            firewall(net.places[receiver], ""),
            nodes=net.all,
            serving=net.all,
            # The sender hears little: without acknowledgements TCP sends hardly anything back either.
            expected=[{(sender, receiver): HEARS_NOTHING, (receiver, sender): HEARS_NOTHING}],
        )


def _way(receiver: str) -> str:
    return "to the hub" if receiver == "hub" else "to the leaf"
