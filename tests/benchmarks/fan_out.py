"""What relaying costs, and how far a hub goes: all parts, or those that are named.

    python -m tests.benchmarks.fan_out [hub|leaf|visible|redis] ... [--compiled] [--rounds 5] [--seconds 6] [--quick]

    hub      updates a second that a hub on one core fans out to 1 to 64 leaves
    leaf     announces that a leaf serves while all changes are relayed
    visible  from an announce at one leaf to the peer in an answer of another
    redis    the same job done by two trackers that share a Redis, which must be installed

Each part prints its tables as Markdown, and leaves them in ``build/bench`` for the report.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping
from typing import Protocol

import attrs

from tests.benchmarks import fan_out_hub, fan_out_leaf, fan_out_visible, load_run, own_network, redis_relay
from tests.benchmarks.members import BenchmarkError
from tests.benchmarks.relay import texts
from tests.benchmarks.results import Part
from tests.benchmarks.rounds import Effort, say


class Measure(Protocol):
    """One part."""

    def __call__(self, effort: Effort, *, compiled: bool = False) -> Part:
        """Measure plain or compiled nodes."""


PARTS: Mapping[str, Measure] = {
    "hub": fan_out_hub.measure,
    "leaf": fan_out_leaf.measure,
    "visible": fan_out_visible.measure,
    "redis": redis_relay.measure,
}


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="part", help=f"of {', '.join(PARTS)}; all if none is named")
    parser.add_argument("--compiled", action="store_true", help="nodes run from build/compiled")
    parser.add_argument("--quick", action="store_true", help="a short look; nothing is kept")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seconds", type=float, help="of one measurement")
    parser.add_argument("--leaves", type=int, nargs="+", default=(), help="hub: how many, in place of 1 to 64")
    options = parser.parse_args()
    if unknown := set(options.parts) - PARTS.keys():
        parser.error(f"there is no {', '.join(sorted(unknown))}")
    effort = Effort(
        quick=options.quick, rounds=options.rounds, seconds=options.seconds, sizes=tuple(sorted(options.leaves))
    )
    own_network.enter("tests.benchmarks.fan_out", sys.argv[1:])
    load_run.build()
    for name in options.parts or PARTS:
        try:
            run(name, effort, compiled=options.compiled)
        except* BenchmarkError as errors:
            raise SystemExit(f"{name}: {texts(errors)}") from None


def run(name: str, effort: Effort, *, compiled: bool) -> None:
    """Measure one part, print what it found, and keep it unless it was a quick look."""
    begun = time.monotonic()
    command = f"python -m tests.benchmarks.fan_out {name}{' --compiled' if compiled else ''}"
    part = attrs.evolve(PARTS[name](effort, compiled=compiled), command=command)
    say(f"{name}: {time.monotonic() - begun:.0f} s")
    for table in part.tables:
        print(table.markdown(), flush=True)
    if not effort.quick:
        part.save(f"relay_{name}{'_compiled' if compiled else ''}")


if __name__ == "__main__":
    main()
