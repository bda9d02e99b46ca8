"""Nodes of two releases in one mesh: the later one has a protocol version and a table more."""

from __future__ import annotations

import attrs
import pytest

from meshtracker.node.node import Node
from tests.note_table import texts_of
from tests.simulation.checks import amiss
from tests.simulation.events import Event
from tests.simulation.plans import HUB, LEAF, OTHER_LEAF, clients, scenario
from tests.simulation.scenario import Plan, Release
from tests.simulation.simulate import simulate
from tests.simulation.timeline import START
from tests.simulation.world import World


def of_release(release: Release, *plans: Plan) -> tuple[Plan, ...]:
    return tuple(attrs.evolve(plan, release=release) for plan in plans)


def node_of(world: World, name: str) -> Node:
    node = world.hosts[name].node
    assert node is not None
    return node


def test_a_hub_of_the_release_before_passes_on_notes_that_it_cannot_read() -> None:
    world = World(scenario(plans=(HUB, *of_release("4", LEAF, OTHER_LEAF))))
    world.timeline.run(START + 5)
    for number in range(10):
        world.hosts["leaf-0"].write_note(number, f"text {number}")
        world.timeline.run(world.timeline.now + 1)
    world.timeline.run(world.timeline.now + 5)
    assert texts_of(node_of(world, "leaf-1")) == {b"note %d" % number: b"text %d" % number for number in range(10)}
    assert node_of(world, "hub-0").mesh.statistics().unknown_sections == 10
    assert not amiss(world)
    assert not world.record.violations


def test_two_of_the_later_release_speak_its_version_and_others_that_of_the_release_before() -> None:
    world = World(scenario(plans=(*of_release("4", HUB, LEAF), OTHER_LEAF)))
    world.timeline.run(START + 10)
    versions = {
        str(edge): {end.session.version for connection in edge.connections for end in connection.ends}
        for edge in world.edges.values()
    }
    assert versions == {"leaf-0~hub-0": {4}, "leaf-1~hub-0": {3}}
    assert not amiss(world)


@pytest.mark.parametrize("hub", ["3", "4"])
def test_nodes_of_two_releases_go_through_restarts_together(hub: Release) -> None:
    plans = (
        *of_release(hub, HUB),
        *of_release("4", LEAF),
        OTHER_LEAF,
        *of_release("4", attrs.evolve(LEAF, name="leaf-2")),
    )
    events = (
        *clients("leaf-0", 0, 20),
        *clients("leaf-1", 0, 20),
        *(
            Event(number, "note", ("leaf-0" if number % 2 else "leaf-2", number % 5, f"text {number}"))
            for number in range(20)
        ),
        Event(5.05, "crash", ("hub-0", "with nothing", "told", 2.0)),
        Event(9.05, "crash", ("leaf-0", "saved", "told", 2.0)),
        Event(13.05, "crash", ("leaf-2", "with nothing", "told", 2.0)),
        Event(16.05, "pair crash", ("leaf-0~hub-0", "saved", "with its snapshot", "told", 1.0, 3.0)),
    )
    outcome = simulate(scenario(*events, plans=plans))
    assert not outcome.failed, outcome.record.violations
