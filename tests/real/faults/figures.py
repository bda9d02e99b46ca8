"""What was measured, as the table of docs/reliability.md.

    MESHTRACKER_FIGURES=figures.jsonl python -m pytest tests/real/faults
    python -m tests.real.faults.figures figures.jsonl

With that variable set the nodes run with default times; without, with short ones.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import attrs

FILE = os.environ.get("MESHTRACKER_FIGURES", "")


@attrs.frozen
class Times:
    """The settings of a link on which detection and healing depend."""

    heartbeat_seconds: float
    soft_split_after_seconds: float
    reconnect_max_seconds: float

    @property
    def bound_seconds(self) -> float:
        """Until a fault must have been found."""
        return self.heartbeat_seconds + self.soft_split_after_seconds


TIMES = Times(5, 15, 30) if FILE else Times(1, 3, 2)


@attrs.frozen(kw_only=True)
class Figures:
    """One fault."""

    fault: str
    found: Mapping[str, tuple[str, float]]
    """By node: rule, and after how many seconds; empty for a fault that needs none."""
    healed_seconds: float
    """From the end of the fault until all nodes had the same clients again."""
    announces: int
    """Answered while the fault lasted and healed, at all nodes that ran."""
    slowest_seconds: float
    note: str = ""


def record(figures: Figures) -> None:
    """Append to the file of `FILE`, if there is one."""
    if FILE:
        with Path(FILE).open("a") as file:
            file.write(json.dumps(attrs.asdict(figures)) + "\n")


def table(lines: list[str]) -> Iterator[str]:
    """Markdown of what `record` wrote."""
    yield "| fault | found by | rule | after | all agree again | announces meanwhile, slowest |"
    yield "|---|---|---|---|---|---|"
    for line in lines:
        f = Figures(**json.loads(line))
        by = ", ".join(f.found) or "-"
        rules = ", ".join(rule for rule, _ in f.found.values()) or f.note
        after = ", ".join(f"{seconds:.1f} s" for _, seconds in f.found.values()) or "-"
        served = f"{f.announces:,}, {f.slowest_seconds * 1000:.0f} ms"
        yield f"| {f.fault} | {by} | {rules} | {after} | {f.healed_seconds:.1f} s | {served} |"


if __name__ == "__main__":
    sys.stdout.writelines(f"{row}\n" for row in table(Path(sys.argv[1]).read_text().splitlines()))
