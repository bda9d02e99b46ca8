"""Nodes that come for a while: nobody need do anything about them, and what they told stays the same on all nodes."""

from __future__ import annotations

import pytest

from tests.simulation.checks import amiss
from tests.simulation.events import Event
from tests.simulation.guests import Guests
from tests.simulation.plans import HUB, LEAF, clients, scenario
from tests.simulation.scenario import Plan
from tests.simulation.simulate import simulate
from tests.simulation.timeline import START
from tests.simulation.world import World


def names(world: World, host: str) -> set[str]:
    return {origin for *_, origin in world.hosts[host].rows().values()}


def test_a_namesake_is_refused_while_the_node_is_there() -> None:
    outcome = simulate(scenario(*clients("leaf-0", 0, 10), Event(2.0, "namesake", ("leaf-0", "1,2,3", "told", 6.0))))
    assert not outcome.failed, outcome.record.violations
    assert outcome.record.refusals["name"] > 1


@pytest.mark.parametrize("told", ["told", "silent"])
def test_a_node_has_its_name_back_after_a_namesake_that_was_faster(told: str) -> None:
    events = (
        *clients("leaf-0", 0, 20),
        Event(2.0, "crash", ("leaf-0", "saved", "told", 3.0)),
        Event(2.1, "namesake", ("leaf-0", "1,2,3", told, 8.0)),
    )
    outcome = simulate(scenario(*events))
    assert not outcome.failed, outcome.record.violations
    assert outcome.record.refusals["name"]


def test_what_a_passer_by_told_stays_after_it() -> None:
    world = World(scenario(plans=(HUB, LEAF)))
    world.timeline.run(START + 3)
    Guests(world).passer_by("passer-by-0", "hub-0", [4, 8], 3.0)
    world.timeline.run(START + 5)
    assert len(world.guests) == 1
    world.timeline.run(START + 15)
    assert not world.guests
    assert names(world, "hub-0") == names(world, "leaf-0") == {"passer-by-0"}
    assert not amiss(world)


def test_guests_leave_no_edge_behind() -> None:
    world = World(scenario(plans=(HUB, LEAF)))
    guests = Guests(world)
    guest = guests.invite(Plan(name="stranger", forwards=False, hubs=("hub-0",)))
    world.timeline.run(START + 3)
    assert len(world.connections(world.hosts["hub-0"])) == 2
    guests.dismiss(guest, "told")
    world.timeline.run(START + 6)
    assert len(world.connections(world.hosts["hub-0"])) == 1


def test_many_names_one_after_the_other() -> None:
    outcome = simulate(
        scenario(*clients("leaf-0", 0, 10), Event(1.0, "churn", ("hub-0", 0, "1,2 none 3 none 4,5 6", 0.5)))
    )
    assert not outcome.failed, outcome.record.violations
    assert outcome.record.resyncs["new node"] > 6
