"""Runs many seeds on all cores, adds up what came of them, and says how to run a failure again."""

from __future__ import annotations

import multiprocessing
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import attrs

from tests.simulation.scenario import draw
from tests.simulation.shrink import shrink
from tests.simulation.simulate import Outcome, run_seed

_CHUNK_SEEDS = 5
_SHOWN_VIOLATIONS = 10
Runner = Callable[[int], Outcome]


@attrs.frozen(kw_only=True)
class Failure:
    """A seed that failed, cut down."""

    seed: int
    violations: tuple[str, ...]
    events: tuple[int, ...]
    """Numbers of those that it takes."""
    schedule: tuple[str, ...]
    """The same in words."""

    def __str__(self) -> str:
        numbers = ",".join(map(str, self.events)) or "none"
        lines = [
            f"seed {self.seed} failed:",
            *(f"  {violation}" for violation in self.violations[:_SHOWN_VIOLATIONS]),
            *([f"  and {len(self.violations) - _SHOWN_VIOLATIONS} more"] * (len(self.violations) > _SHOWN_VIOLATIONS)),
            f"it takes {len(self.events)} events:",
            *(f"  {line}" for line in self.schedule),
            "run it again with",
            f"  make replay SEED={self.seed} EVENTS={numbers}",
            f"or all of it with  make replay SEED={self.seed}",
        ]
        return "\n".join(lines)


@attrs.define(kw_only=True)
class Totals:
    """What came of many seeds."""

    seeds: int = 0
    virtual_seconds: float = 0.0
    changes: int = 0
    orphans: int = 0
    faults: Counter[str] = attrs.field(factory=Counter)
    rules: Counter[str] = attrs.field(factory=Counter)
    resyncs: Counter[str] = attrs.field(factory=Counter)
    refusals: Counter[str] = attrs.field(factory=Counter)
    found: dict[tuple[str, str], list[float]] = attrs.field(factory=dict)
    """Seconds from effect to verdict, by fault and rule."""
    healed_seconds: float = 0.0
    """The longest that any mesh took."""
    failures: list[Failure] = attrs.field(factory=list)

    def add(self, outcome: Outcome) -> None:
        """One more seed."""
        record = outcome.record
        self.seeds += 1
        self.virtual_seconds += outcome.seconds
        self.changes += record.changes
        self.orphans += record.orphans
        self.faults += record.faults
        self.rules += record.rules
        self.resyncs += record.resyncs
        self.refusals += record.refusals
        self.healed_seconds = max(self.healed_seconds, record.healed_seconds)
        for kind, rule, seconds in record.found:
            self.found.setdefault((kind, rule), []).append(seconds)

    def table(self) -> list[tuple[str, ...]]:
        """Rows: fault, times injected, soft-splits found, by which rules, seconds to find them (median, most)."""
        rows: list[tuple[str, ...]] = []
        for kind in sorted(self.faults):
            by_rule = {rule: seconds for (fault, rule), seconds in self.found.items() if fault == kind}
            seconds = [second for found in by_rule.values() for second in found]
            rules = ", ".join(f"{rule} {len(found)}" for rule, found in sorted(by_rule.items()))
            times = (f"{statistics.median(seconds):.1f}", f"{max(seconds):.1f}") if seconds else ("", "")
            rows.append((kind, f"{self.faults[kind]:,}", f"{len(seconds):,}" if seconds else "", rules, *times))
        return rows

    def _summary(self) -> str:
        hours, faults = self.virtual_seconds / 3600, sum(self.faults.values())
        return (
            f"{self.seeds:,} seeds, {hours:,.0f} hours of virtual time, {self.changes:,} changes of clients,"
            f" {faults:,} faults, {len(self.failures)} failures."
        )

    def text(self, *, markdown: bool = False) -> str:
        """The table with what does not fit into it."""
        head = ("fault", "injected", "soft-splits", "found by", "median s", "most s")
        rows = [head, *self.table()]
        widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
        if markdown:
            lines = ["| " + " | ".join(row) + " |" for row in rows]
            lines.insert(1, "|---|--:|--:|---|--:|--:|")
        else:
            lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
        rules, resyncs, refusals = map(_counted, (self.rules, self.resyncs, self.refusals))
        return "\n".join(
            [
                *(line.rstrip() for line in lines),
                "",
                self._summary(),
                f"Verdicts: {rules}.",
                f"Streams brought up: {resyncs}.",
                f"Links closed for what the other end did: {refusals}.",
                f"All nodes alike again at most {self.healed_seconds:.0f} s after the last fault was over.",
            ]
        )


def _counted(counter: Counter[str]) -> str:
    # Equal counts in the order of their names: outcomes come in any order.
    ordered = sorted(counter.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{count:,} {name}" for name, count in ordered) or "none"


def run(seeds: Iterable[int], *, jobs: int | None = None, runner: Runner = run_seed) -> Totals:
    """Run them all; ``jobs``: processes, by default one a core."""
    totals = Totals()
    count = jobs or multiprocessing.cpu_count()
    if count == 1:
        for seed in seeds:
            _take(totals, runner(seed))
        return totals
    # Not forked: a test suite has threads.
    with multiprocessing.get_context("spawn").Pool(count) as pool:
        for outcome in pool.imap_unordered(runner, seeds, chunksize=_CHUNK_SEEDS):
            _take(totals, outcome)
    totals.failures.sort(key=lambda failure: failure.seed)
    return totals


def _take(totals: Totals, outcome: Outcome) -> None:
    totals.add(outcome)
    if outcome.failed:
        totals.failures.append(cut_down(outcome))


def cut_down(outcome: Outcome) -> Failure:
    """Find out which events it takes."""
    scenario = outcome.scenario
    everything = draw(scenario.seed).events

    def fails(events: Sequence[int]) -> bool:
        return run_seed(scenario.seed, events).failed

    numbers = [number for number, event in enumerate(everything) if event in scenario.events]
    left = shrink(numbers, fails)
    return Failure(
        seed=scenario.seed,
        violations=tuple(run_seed(scenario.seed, left).record.violations),
        events=tuple(left),
        schedule=tuple(f"{number:4}  {everything[number]}" for number in left),
    )
