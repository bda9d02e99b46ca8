"""A member that lies: in the end all honest nodes are linked, hold the same, and have lost no client's change."""

from __future__ import annotations

from collections import Counter

import pytest

from meshtracker.link.transitions import State
from meshtracker.node.mesh import Mesh
from tests.simulation.events import Event
from tests.simulation.guests import Guests
from tests.simulation.plans import HUB, LEAF, OTHER_LEAF, clients, scenario
from tests.simulation.scenario import ROLES, Plan, Scenario
from tests.simulation.simulate import Outcome, simulate
from tests.simulation.timeline import START
from tests.simulation.world import World

LIES = 20
SECOND_HUB = Plan(name="hub-1", forwards=True, hubs=("hub-0",))
PLANS = (HUB, SECOND_HUB, LEAF, Plan(name="leaf-2", forwards=False, hubs=("hub-1",)), OTHER_LEAF)


def lied_to(role: str, seed: int) -> Scenario:
    events = (
        *clients("leaf-0", 0, 12),
        *clients("leaf-2", 0, 12),
        *clients("hub-1", 0, 12),
        Event(1.0, "liar", ("liar-0", role, "hub-0", 10.0)),
    )
    return scenario(*events, plans=PLANS, seed=seed)


@pytest.fixture(scope="module")
def outcomes() -> dict[str, list[Outcome]]:
    return {role: [simulate(lied_to(role, seed)) for seed in range(LIES)] for role in ROLES}


@pytest.mark.parametrize("role", ROLES)
def test_honest_nodes_agree_once_a_liar_is_gone(outcomes: dict[str, list[Outcome]], role: str) -> None:
    for outcome in outcomes[role]:
        assert not outcome.failed, outcome.record.violations


def test_lies_are_told_and_refused(outcomes: dict[str, list[Outcome]]) -> None:
    refusals: Counter[str] = Counter()
    resyncs: Counter[str] = Counter()
    for outcome in (outcome for of_role in outcomes.values() for outcome in of_role):
        refusals += outcome.record.refusals
        resyncs += outcome.record.resyncs
    assert set(refusals) >= {"forged", "gap", "penalty", "protocol"}
    assert set(resyncs) >= {"conflict", "answer"}


def test_a_liar_that_is_deaf_hears_the_end_of_its_connection() -> None:
    world = World(scenario(plans=(HUB, LEAF)))
    world.timeline.run(START + 3)
    guest = Guests(world).invite(Plan(name="liar-0", forwards=False, hubs=("hub-0",)))
    world.timeline.run(START + 6)
    (end,) = guest.ends
    heard_at = end.session.statistics(world.timeline.now).heard_seconds_ago
    end.is_deaf = True
    world.timeline.run(START + 12)
    assert end.session.state is State.SYNCED
    assert end.session.statistics(world.timeline.now).heard_seconds_ago == pytest.approx(heard_at + 6)
    end.connection.cut(0)
    world.timeline.run(START + 12.1)
    assert end.is_gone


@pytest.mark.interpreted
def test_a_node_that_never_begins_its_stream_anew_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """Others count batches of it as known that a liar made up, and take no more of it."""
    monkeypatch.setattr(Mesh, "want_anew", lambda _: None)
    assert any(simulate(lied_to("mesh", seed)).failed for seed in range(LIES))
