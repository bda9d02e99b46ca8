"""Results of a part of the benchmarks: tables and charts, kept as JSON until the report is written.

A part writes ``build/bench/<part>.json``, whoever measures it; the report reads what is there:

    {"measured": "2026-01-31", "machine": "2 x ...", "command": "python -m ...",
     "tables": [{"title": "...", "columns": ["..."], "rows": [["..."]], "notes": ["..."]}],
     "charts": [{"name": "file name", "title": "...", "x_label": "...", "y_label": "...",
                 "series": {"name": [[x, y], ...]}}],
     "raw": anything}

All but ``tables`` may be missing.
"""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

RESULTS = Path(__file__).parents[2] / "build" / "bench"


@attrs.frozen(kw_only=True)
class Table:
    """One table of text."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()

    def markdown(self) -> str:
        """With its title and its notes."""
        lines = [f"**{self.title}**", ""]
        lines += [_line(self.columns), _line(["---"] * len(self.columns)), *map(_line, self.rows)]
        if self.notes:
            lines += ["", *(f"- {note}" for note in self.notes)]
        return "\n".join(lines) + "\n"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(map(str, cells))} |"


@attrs.frozen(kw_only=True)
class Chart:
    """Lines over two logarithmic axes."""

    name: str
    """Of its file, without suffix."""
    title: str
    x_label: str
    y_label: str
    series: Mapping[str, Sequence[tuple[float, float]]]


@attrs.frozen(kw_only=True)
class Part:
    """What one part found."""

    tables: Sequence[Table]
    charts: Sequence[Chart] = ()
    raw: Any = None
    """Every single figure, for whoever wants to look closer."""
    measured: str = attrs.field(factory=lambda: time.strftime("%Y-%m-%d"))
    machine: str = attrs.field(factory=lambda: machine())
    command: str = ""

    def save(self, name: str) -> None:
        """Put it where the report finds it."""
        RESULTS.mkdir(parents=True, exist_ok=True)
        (RESULTS / f"{name}.json").write_text(json.dumps(attrs.asdict(self), indent=1) + "\n")


def load(file: Path) -> Part:
    """What a part has left."""
    found = json.loads(file.read_text())
    return Part(
        tables=[Table(**table) for table in found["tables"]],
        charts=[Chart(**chart) for chart in found.get("charts", ())],
        raw=found.get("raw"),
        measured=found.get("measured", ""),
        machine=found.get("machine", ""),
        command=found.get("command", ""),
    )


def machine() -> str:
    """What it was measured on, in a few words."""
    models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    model = models[0].partition(":")[2].strip() if models else platform.machine()
    return f"{os.cpu_count()} x {model}, Linux {platform.release()}, Python {platform.python_version()}"
