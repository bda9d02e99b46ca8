"""The check that all nodes hold the same notices each kind of difference."""

from __future__ import annotations

import attrs
import pytest

from meshtracker.model import AnnounceRequest
from meshtracker.model import Event as AnnounceEvent
from tests.mouth_to_mouth import LOCALHOST
from tests.simulation.alike import figures_of, unalike, unshared_rows
from tests.simulation.events import Event
from tests.simulation.host import Host
from tests.simulation.plans import HUB, LEAF, OTHER_LEAF, clients, scenario
from tests.simulation.simulate import simulate
from tests.simulation.timeline import START
from tests.simulation.world import World


@pytest.fixture
def world() -> World:
    plans = tuple(attrs.evolve(plan, release="4") for plan in (HUB, LEAF, OTHER_LEAF))
    made = World(scenario(plans=plans))
    made.timeline.run(START + 5)
    announce(made.hosts["leaf-0"], 1)
    made.hosts["leaf-0"].write_note(1, "text")
    made.timeline.run(START + 12)
    assert not list(unalike(made))
    return made


def announce(host: Host, client: int) -> None:
    host.announce(
        AnnounceRequest(
            info_hash=bytes(20),
            peer_id=b"-MT0001-%012d" % client,
            key=7,
            address=LOCALHOST,
            port=1000 + client,
            event=AnnounceEvent.COMPLETED,
            left=0,
        )
    )


def test_a_row_that_only_one_node_has_is_noticed(world: World) -> None:
    announce(world.hosts["leaf-1"], 2)
    assert any(line.startswith("leaf-1 and hub-0 differ in 1 rows, 1 of") for line in unalike(world))


def test_a_row_that_a_node_lacks_is_noticed(world: World) -> None:
    announce(world.hosts["hub-0"], 2)
    told = list(unalike(world))
    assert sum("differ in 1 rows, 0 of which are unshared" in line for line in told) == 2


def test_another_count_is_noticed(world: World) -> None:
    node = world.hosts["leaf-1"].node
    assert node is not None
    node.registry.merge_completed(bytes(20), "leaf-0", (5, 1, 0))
    assert list(unalike(world)) == [
        "leaf-1 and hub-0 count other downloads: [((0, 'leaf-0'), 5)] here, [((0, 'leaf-0'), 1)] there"
    ]
    assert figures_of(node, world.hosts["leaf-1"]) == {(0, "leaf-0"): 5}


def test_another_note_is_noticed(world: World) -> None:
    world.hosts["leaf-1"].write_note(1, "another text")
    assert [line[:34] for line in unalike(world)] == ["leaf-1 and hub-0 hold other notes:"]


def test_rows_that_a_leaf_must_not_speak_of_are_counted_and_excused() -> None:
    """Hub and writer have lost everything at one moment; a leaf with a credential of its own still has it."""
    own = attrs.evolve(OTHER_LEAF, credential="own")
    world = World(scenario(plans=(HUB, LEAF, own)))
    world.timeline.run(START + 5)
    for client in range(3):
        announce(world.hosts["leaf-0"], client)
    world.timeline.run(START + 8)
    for name in ("leaf-0", "hub-0"):
        world.hosts[name].saved = None
        world.hosts[name].crash(told=True)
    for name in ("hub-0", "leaf-0"):
        world.hosts[name].start()
    world.timeline.run(START + 25)
    assert [len(world.hosts[name].rows()) for name in ("hub-0", "leaf-0", "leaf-1")] == [0, 0, 3]
    assert unshared_rows(world, world.hosts["leaf-1"]) >= 3
    assert not list(unalike(world))


@pytest.mark.parametrize("memories", [("saved", "with nothing"), ("with nothing", "saved"), ("with nothing",) * 2])
def test_hub_and_leaf_die_together(memories: tuple[str, str]) -> None:
    events = (
        *clients("leaf-0", 0, 10),
        *clients("leaf-1", 0, 10),
        Event(6.03, "pair crash", ("leaf-0~hub-0", *memories, "told", 1.0, 4.0)),
    )
    outcome = simulate(scenario(*events))
    assert not outcome.failed, outcome.record.violations
    assert not outcome.record.orphans, "leaf-1 knows all, and may tell it"


def test_a_row_that_came_from_a_node_whose_clock_was_wrong_reaches_all() -> None:
    """Leaf 0 alone has the last row of a hub's earlier life, and knows no more how far it knew that stream.

    Leaf 1 knows that stream less far, without the row, and may not speak of it.
    """
    own = attrs.evolve(OTHER_LEAF, credential="own")
    world = World(scenario(plans=(HUB, LEAF, own)))
    hub, leaf, other = world.hosts.values()
    (edge,) = other.edges
    world.timeline.run(START + 5)
    edge.touch()
    edge.up.begin("stall")
    edge.down.begin("stall")
    announce(hub, 1)
    world.timeline.run(START + 6)
    world.touch(hub)
    hub.crash(told=False)
    hub.start()
    edge.up.end("stall")
    edge.down.end("stall")
    leaf.set_clock(-300.0)
    world.timeline.run(START + 30)
    leaf.set_clock(0.0)
    world.timeline.run(START + 120)
    assert [len(host.rows()) for host in (hub, leaf, other)] == [1, 1, 1]
    assert not list(unalike(world))
