"""Ten thousand names come and go at one hub: what nodes remember of them stays bounded, and the mesh goes on."""

from __future__ import annotations

import pytest

from meshtracker.node.mesh import QUIET_SECONDS
from meshtracker.node.neighbours import MAX_NEIGHBOURS
from tests.simulation.checks import amiss
from tests.simulation.guests import Guests
from tests.simulation.network import Way
from tests.simulation.scenario import Plan, Scenario
from tests.simulation.world import World

NAMES = 10_000
QUICK_NAMES = 400
TTL_SECONDS = 60
APART_SECONDS = 1.5
STAY_SECONDS = 0.6
REMEMBERED_SECONDS = TTL_SECONDS * 1.2 + QUIET_SECONDS + 10
"""A stream's last row ages out within a TTL and a round of the sweep, and the stream is forgotten once it is quiet."""
MOST_STREAMS = 3 + 1 + int(REMEMBERED_SECONDS / APART_SECONDS)
"""Three nodes that stay, one that is here, and those that are remembered: 98."""


def make_world() -> World:
    hub = Plan(name="hub-0", forwards=True, hubs=())
    leaves = [Plan(name=f"leaf-{number}", forwards=False, hubs=("hub-0",)) for number in range(2)]
    scenario = Scenario(
        seed=1,
        plans=(hub, *leaves),
        peer_ttl_seconds=TTL_SECONDS,
        max_log_bytes=1_000_000,
        max_batch_bytes=2_000,
        auto_reset=True,
        by_turns=False,
        events=(),
    )
    return World(scenario, way=lambda: Way(latency_seconds=0.005, bytes_per_second=1e7, window_bytes=65_536))


@pytest.mark.timeout(600)
@pytest.mark.parametrize("names", [QUICK_NAMES, pytest.param(NAMES, marks=pytest.mark.long)])
def test_names_leave_no_more_behind_than_those_of_two_minutes(names: int) -> None:
    world = make_world()
    guests, timeline = Guests(world), world.timeline
    most_streams = most_neighbours = 0
    for number in range(names):
        clients = [1000 + number % 50] if number % 4 == 0 else []
        timeline.at(timeline.now, None, guests.passer_by, f"passer-by-{number}", "hub-0", clients, STAY_SECONDS)
        timeline.run(timeline.now + APART_SECONDS)
        for host in world.hosts.values():
            assert host.node is not None
            streams = host.node.registry.streams
            most_streams = max(most_streams, len(streams), len(streams.streams), len(host.node.mesh.vector()))
            most_neighbours = max(most_neighbours, len(host.node.links._neighbours.all()))
    assert MOST_STREAMS / 3 < most_streams <= MOST_STREAMS
    assert most_neighbours <= MAX_NEIGHBOURS

    newcomer = guests.invite(Plan(name="newcomer", forwards=False, hubs=("hub-0",)))
    guests.announce_soon(newcomer, [7, 8, 9])
    timeline.run(timeline.now + 10)
    assert not amiss(world)
    assert newcomer.rows() == world.hosts["hub-0"].rows()
    assert sum(name == "newcomer" for *_, name in newcomer.rows().values()) == 3
    assert not world.record.violations
