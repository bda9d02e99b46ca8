"""The benchmarks: each part leaves its tables and charts in ``build/bench``, and the report is made of them.

python -m tests.benchmarks                           all parts, then docs/performance.md and docs/plots
python -m tests.benchmarks --quick                   the most important figures, printed only
python -m tests.benchmarks latency growth --rounds 1 --seconds 1 --sizes 1000 10000
python -m tests.benchmarks report                    the report from what is there
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping

import attrs

from tests.benchmarks import (
    compare,
    growth,
    latency,
    load_run,
    memory,
    one_swarm,
    own_network,
    pauses,
    report,
    resync_growth,
    upkeep,
)
from tests.benchmarks.members import BenchmarkError
from tests.benchmarks.relay import texts
from tests.benchmarks.results import Part
from tests.benchmarks.rounds import Effort, say

PARTS: Mapping[str, Callable[[Effort], Part]] = {
    "compare": compare.measure,
    "latency": latency.measure,
    "memory": memory.measure,
    "one_swarm": one_swarm.measure,
    "growth": growth.measure,
    "upkeep": upkeep.measure,
    "pauses": pauses.measure,
    "resync_growth": resync_growth.measure,
}
QUICK = ("compare", "latency")
REPORT = "report"


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="part", help=f"of {', '.join(PARTS)} and {REPORT}; all if none")
    parser.add_argument("--quick", action="store_true", help=f"{' and '.join(QUICK)} in two minutes; nothing is kept")
    parser.add_argument("--rounds", type=int, help="of every part, in place of its own number")
    parser.add_argument("--seconds", type=float, help="of one measurement")
    parser.add_argument("--sizes", type=int, nargs="+", default=(), help="of the parts that measure growth")
    options = parser.parse_args()
    if unknown := set(options.parts) - PARTS.keys() - {REPORT}:
        parser.error(f"there is no {', '.join(sorted(unknown))}")
    parts = options.parts or (QUICK if options.quick else (*PARTS, REPORT))
    effort = Effort(
        quick=options.quick, rounds=options.rounds, seconds=options.seconds, sizes=tuple(sorted(options.sizes))
    )
    own_network.enter("tests.benchmarks", sys.argv[1:])
    load_run.build()
    failed = [name for name in parts if name != REPORT and not run(name, effort)]
    if REPORT in parts:
        report.write()
    if failed:
        raise SystemExit(f"not measured: {', '.join(failed)}")


def run(name: str, effort: Effort) -> bool:
    """Measure one part, print what it found, and keep it unless it was a quick look; False if that failed."""
    begun = time.monotonic()
    found: list[Part] = []
    try:
        found.append(PARTS[name](effort))
    except* BenchmarkError as errors:
        # An hour of the other parts is not thrown away for one.
        say(f"{name}: {texts(errors)}")
    for part in found:
        say(f"{name}: {time.monotonic() - begun:.0f} s")
        for table in part.tables:
            print(table.markdown(), flush=True)
        if not effort.quick:
            command = " ".join(("python -m tests.benchmarks", name, *effort.arguments))
            attrs.evolve(part, command=command).save(name)
    return bool(found)


if __name__ == "__main__":
    main()
