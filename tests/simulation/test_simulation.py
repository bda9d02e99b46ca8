"""Seeds through every fault there is: in the end all is well. And were it not, this would tell."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any, get_args

import attrs
import pytest

from meshtracker.link import split
from meshtracker.link.log import Logs
from meshtracker.link.receiver import Receiver
from meshtracker.link.split import Progress, Verdict
from meshtracker.model import PeerState
from meshtracker.node.mesh import Mesh
from meshtracker.swarm.completed_table import CompletedTable
from meshtracker.swarm.registry import Registry
from meshtracker.wire.vector import StreamId
from tests.simulation.events import HARMLESS, Event, Kind
from tests.simulation.runner import Totals, run
from tests.simulation.scenario import Plan, Scenario, draw
from tests.simulation.simulate import run_seed, simulate
from tests.simulation.steady import idle, saturated, saturated_outcome

QUICK_SEEDS = 200
LONG_SEEDS = 5000
STEADY_SEEDS = 100


@pytest.fixture(scope="module")
def totals() -> Totals:
    return run(range(QUICK_SEEDS))


def complain(totals: Totals) -> str:
    return "\n\n".join(map(str, totals.failures))


@pytest.mark.timeout(600)
def test_all_is_well_in_the_end(totals: Totals) -> None:
    assert not totals.failures, complain(totals)
    assert totals.seeds == QUICK_SEEDS


@pytest.mark.timeout(600)
def test_the_seeds_reach_what_they_are_meant_to_reach(totals: Totals) -> None:
    assert set(totals.faults) == set(get_args(Kind)) - HARMLESS
    assert set(totals.resyncs) >= {"partial", "new node", "lacking", "fell behind", "asked for"}
    assert set(totals.rules) >= {"silent", "inbound", "outbound"}
    assert set(totals.refusals) >= {
        "authentication", "clock", "disabled", "forged", "future", "gap", "name", "penalty", "protocol", "replaced",
        "soft-split",
    }  # fmt: skip
    split_faults = {"black hole", "crash", "half-open", "outage", "pause", "stall", "stuck applier", "swallow"}
    assert {fault for fault, _ in totals.found} >= split_faults
    assert totals.changes > 50 * QUICK_SEEDS
    # What may be lost is a small part, or the checks would prove nothing.
    assert 0 < totals.orphans < totals.changes / 50


PAIR = Scenario(
    seed=1,
    plans=(
        Plan(name="hub-0", forwards=True, hubs=()),
        Plan(name="leaf-0", forwards=False, hubs=("hub-0",)),
    ),
    peer_ttl_seconds=4500,
    max_log_bytes=1_000_000,
    max_batch_bytes=2_000,
    auto_reset=False,
    by_turns=False,
    events=(),
)
"""Whoever finds a soft-split first leaves the link to the other."""


@pytest.mark.parametrize(
    ("kind", "arguments", "rule"),
    [
        ("stall", ("leaf-0~hub-0", "down", 30.0), "silent"),
        ("stuck applier", ("leaf-0~hub-0", "down", 30.0), "applier"),
        ("slow", ("leaf-0~hub-0", "down", 5, 30.0), "decoder"),
        ("swallow", ("leaf-0~hub-0", "down", 30.0), "inbound"),
        ("swallow", ("leaf-0~hub-0", "up", 30.0), "outbound"),
    ],
)
def test_each_rule_finds_what_it_is_for(kind: Kind, arguments: tuple[str | float, ...], rule: str) -> None:
    clients = tuple(Event(4.95, "announce", ("hub-0", client, 0, "none", 0, 4, "")) for client in range(12))
    events = (Event(0.0, "announce", ("hub-0", 20, 0, "none", 0, 4, "")), Event(4.9, kind, arguments), *clients)
    outcome = simulate(attrs.evolve(PAIR, events=events))
    assert outcome.record.rules[rule]
    assert not outcome.failed


def test_rows_that_only_a_hub_elsewhere_remembers_come_back() -> None:
    """The node and the hub that it meets first have both lost everything."""
    plans = (
        Plan(name="hub-0", forwards=True, hubs=()),
        Plan(name="hub-1", forwards=True, hubs=("hub-0",)),
        Plan(name="leaf-0", forwards=False, hubs=("hub-0", "hub-1")),
    )
    events = (
        Event(1.0, "announce", ("leaf-0", 1, 0, "started", 0, 4, "")),
        Event(2.0, "outage", ("leaf-0~hub-0", 30.0)),
        Event(2.0, "outage", ("hub-1~hub-0", 12.0)),
        Event(2.1, "crash", ("leaf-0", "with nothing", "told", 1.0)),
        Event(2.1, "crash", ("hub-1", "with nothing", "told", 1.0)),
    )
    outcome = simulate(attrs.evolve(PAIR, plans=plans, events=events))
    assert not outcome.failed
    assert not outcome.record.orphans


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_all_is_well_in_the_end_long() -> None:
    totals = run(range(10_000, 10_000 + LONG_SEEDS))
    assert not totals.failures, complain(totals)


# ---------------------------------------------------------------- no false alarm


@pytest.mark.timeout(600)
@pytest.mark.parametrize("seeds", [2, pytest.param(STEADY_SEEDS, marks=pytest.mark.long)])
def test_an_idle_hour_raises_no_alarm(seeds: int) -> None:
    totals = run(range(seeds), runner=idle)
    assert not totals.failures, complain(totals)
    assert not totals.refusals
    assert not totals.found


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("seeds", [2, pytest.param(STEADY_SEEDS, marks=pytest.mark.long)])
def test_a_saturated_hour_raises_no_alarm(seeds: int) -> None:
    totals = run(range(seeds), runner=saturated_outcome)
    assert not totals.failures, complain(totals)
    assert not totals.refusals
    assert not totals.found
    assert totals.resyncs["fell behind"]


def test_a_saturated_hour_is_one() -> None:
    assert saturated(0).full_share > 0.9


# ---------------------------------------------------------------- a broken product is caught


def complaints(*, seeds: int = 60) -> str:
    """All violations of some seeds, in this process; ends with the first."""
    for seed in range(seeds):
        violations = run_seed(seed).record.violations
        if violations:
            return "\n".join(violations)
    return ""


BLIND = tuple(rule for rule in split._RULES if rule[1] is split.applier)
"""Looks at nothing else any more."""


def nervous(progress: Progress, now: float, after_seconds: float) -> Verdict | None:
    """Sees one where a heartbeat is a little late."""
    return TRUE_JUDGE(progress, now, after_seconds / 5)


TRUE_JUDGE = split.judge


def forgetful(mesh: Mesh, batch: Any, found: Any, now: float) -> tuple[int, int]:
    """Loses one batch in ten that are not its own."""
    if batch.sequence % 10 == 9 and batch.stream.name != mesh.name:
        return sum(changes.count for _, changes in found), 0
    return TRUE_APPLY(mesh, batch, found, now)


TRUE_APPLY = Mesh._apply


def stubborn(registry: Registry, swarm: Any, row: Any, address: bytes, family_bytes: int, may_add: bool = True) -> bool:
    """Never takes from others that a client has stopped."""
    return row[3] != PeerState.REMOVED and TRUE_MERGE(registry, swarm, row, address, family_bytes, may_add)


TRUE_MERGE = Registry.merge


def hoarding(logs: Logs, *arguments: Any, **options: Any) -> None:
    """Never lets a batch go."""
    bound, logs._max_bytes = logs._max_bytes, 1 << 60
    TRUE_APPEND(logs, *arguments, **options)
    logs._max_bytes = bound


TRUE_APPEND = Logs.append


def trusting(receiver: Receiver, stream: StreamId) -> None:
    """Takes every stream from everybody."""


def miscounting(table: CompletedTable, stream: StreamId, index: int, changes: Any, window: Any) -> int:
    """Takes no figure twice from one node: a second download is not counted."""
    changes.records = [record for record in changes.records if record.total < 2]
    return TRUE_COUNT(table, stream, index, changes, window)


TRUE_COUNT = CompletedTable.apply


@pytest.mark.parametrize(
    ("where", "what", "fault", "complaint"),
    [
        (split, "_RULES", BLIND, "was not found within"),
        (split, "judge", nervous, "false alarm"),
        pytest.param(Mesh, "_apply", forgetful, "lacks client", marks=pytest.mark.interpreted),
        pytest.param(Registry, "merge", stubborn, "still shows", marks=pytest.mark.interpreted),
        pytest.param(Logs, "append", hoarding, "bytes of", marks=pytest.mark.interpreted),
        pytest.param(CompletedTable, "apply", miscounting, "are counted", marks=pytest.mark.interpreted),
    ],
    ids=["blind", "nervous", "forgetful", "stubborn", "hoarding", "miscounting"],
)
def test_a_broken_product_is_caught(
    monkeypatch: pytest.MonkeyPatch, where: object, what: str, fault: object, complaint: str
) -> None:
    monkeypatch.setattr(where, what, fault)
    assert complaint in complaints()


def test_who_takes_what_another_node_writes_in_its_name_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    events = (
        Event(0.0, "announce", ("hub-0", 1, 0, "started", 0, 4, "")),
        Event(5.0, "forge", ("leaf-0~hub-0", "up", "own name")),
    )
    assert not simulate(attrs.evolve(PAIR, events=events)).failed
    monkeypatch.setattr(Receiver, "_check_speaker", trusting)
    (violation,) = simulate(attrs.evolve(PAIR, events=events)).record.violations
    assert "hub-0 took a frame that was forged: own name" in violation


# ---------------------------------------------------------------- the same again


def test_a_seed_is_the_same_each_time() -> None:
    one, other = run_seed(5, traces=True), run_seed(5, traces=True)
    assert one.digest == other.digest
    assert one.record.story == other.record.story
    assert run_seed(6, traces=True).digest != one.digest


def test_a_seed_is_the_same_whatever_strings_hash_to() -> None:
    told = {
        subprocess.run(
            [sys.executable, "-m", "tests.simulation", "--seed", "7"],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            timeout=60,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(told) == 1


def test_a_part_of_a_schedule_can_be_run() -> None:
    everything = draw(5).events
    assert run_seed(5, range(len(everything)), traces=True).digest == run_seed(5, traces=True).digest
    assert not run_seed(5, []).record.changes
