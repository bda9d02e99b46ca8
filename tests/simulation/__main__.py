"""``python -m tests.simulation``: run seeds, or one seed again."""

from __future__ import annotations

import argparse
import sys
import time

from tests.simulation.runner import cut_down, run
from tests.simulation.simulate import Outcome, run_seed


def main() -> int:
    """Exit status 1 if a seed failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=200, help="how many")
    parser.add_argument("--start", type=int, default=0, help="the first of them")
    parser.add_argument("--jobs", type=int, help="processes; by default one a core")
    parser.add_argument("--markdown", action="store_true", help="print the table for docs/reliability.md")
    parser.add_argument("--seed", type=int, help="run this one and tell its story")
    parser.add_argument("--events", help="of that seed only these, by number: 3,17; none")
    arguments = parser.parse_args()
    if arguments.seed is not None:
        events = None if arguments.events is None else _numbers(arguments.events)
        outcome = run_seed(arguments.seed, events, traces=True)
        _tell(outcome)
        if outcome.failed and events is None:
            print(cut_down(outcome))
        return outcome.failed
    begun = time.monotonic()
    totals = run(range(arguments.start, arguments.start + arguments.seeds), jobs=arguments.jobs)
    for failure in totals.failures:
        print(failure, end="\n\n")
    print(totals.text(markdown=arguments.markdown))
    print(f"{time.monotonic() - begun:.0f} s.", file=sys.stderr)
    return bool(totals.failures)


def _numbers(text: str) -> list[int]:
    return [] if text == "none" else [int(number) for number in text.split(",")]


def _tell(outcome: Outcome) -> None:
    scenario, record = outcome.scenario, outcome.record
    for plan in scenario.plans:
        where = f" to {', '.join(plan.hubs)} ({plan.mode})" if plan.hubs else ""
        torrents = f", torrents {plan.torrents}" if plan.torrents is not None else ""
        print(f"{plan.name}{where}, clock {plan.skew_seconds:+g} s{torrents}")
    print(f"TTL {scenario.peer_ttl_seconds} s, log {scenario.max_log_bytes} bytes, auto_reset {scenario.auto_reset}")
    for event in scenario.events:
        print(event)
    for line in record.story:
        print(line)
    for violation in record.violations:
        print(f"VIOLATED {violation}")
    print(f"{outcome.seconds:.0f} s of virtual time, {record.changes} changes, trace {outcome.digest}")


if __name__ == "__main__":
    sys.exit(main())
