"""Runs one scenario from its first event to the end of its last fault, and on until nothing is amiss."""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from tests.simulation.checks import amiss
from tests.simulation.deeds import Deeds
from tests.simulation.scenario import SETTLE_SECONDS, Scenario, draw
from tests.simulation.timeline import START, StandstillError
from tests.simulation.world import Record, World

_FIRST_LOOK_SECONDS = 8.0
_LOOK_SECONDS = 6.0
"""Longer than a heartbeat: what is not there after the next batch will not come."""
HEAL_SECONDS = 90.0
"""From the end of the last fault: a soft-split is found, a dialer waits, a handshake fails for its time, and again."""
HEAL_FROM_LIES_SECONDS = 300.0
"""The same where a liar was: a node begins its stream anew, once a minute at most, and streams must fall silent."""


@attrs.frozen(kw_only=True)
class Outcome:
    """What came of a run."""

    scenario: Scenario
    record: Record
    digest: str
    seconds: float
    """Virtual ones."""
    calls: int

    @property
    def failed(self) -> bool:
        return bool(self.record.violations)


def simulate(scenario: Scenario, *, traces: bool = False) -> Outcome:
    """Run it; the same scenario gives the same outcome."""
    world = World(scenario, traces=traces)
    try:
        problems = _run(world)
    except StandstillError as error:
        problems = [str(error)]
    for problem in problems:
        world.violated(problem)
    record = world.record
    record.changes = world.ledger.noted
    record.orphans = sum(map(len, world.ledger.orphans.values()))
    for host in world.hosts.values():
        for end in host.ends:
            world.note_resyncs(end)
    return Outcome(
        scenario=scenario,
        record=record,
        digest=world.digest(),
        seconds=world.timeline.now - START,
        calls=world.timeline.calls,
    )


def _run(world: World) -> list[str]:
    """Everything happens; returns what is still amiss at the end."""
    timeline, deeds = world.timeline, Deeds(world)
    begun = START + SETTLE_SECONDS
    for event in world.scenario.events:
        timeline.at(begun + event.at, None, deeds.do, event)
    timeline.run(begun + max((event.at for event in world.scenario.events), default=0.0))
    while deeds.over_at > timeline.now:
        timeline.run(deeds.over_at)
    calm = timeline.now
    until = calm + _FIRST_LOOK_SECONDS
    patience_seconds = HEAL_FROM_LIES_SECONDS if world.is_lied_to else HEAL_SECONDS
    while True:
        timeline.run(until)
        problems = amiss(world)
        world.record.healed_seconds = timeline.now - calm
        if not problems or until >= calm + patience_seconds:
            return problems
        world.reset_what_stays_split()
        until += _LOOK_SECONDS


def run_seed(seed: int, events: Iterable[int] | None = None, *, traces: bool = False) -> Outcome:
    """Run a seed; ``events``: only those, by their number."""
    scenario = draw(seed)
    if events is not None:
        chosen = tuple(scenario.events[number] for number in events)
        scenario = attrs.evolve(scenario, events=chosen)
    return simulate(scenario, traces=traces)
