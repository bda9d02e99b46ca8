"""``docs/performance.md`` and its plots, from what the parts have left in ``build/bench``.

The prose is in ``performance.template.md``: a line ``{{compare}}`` there stands for the tables and charts of that part,
``{{relay_*}}`` for those of all parts with such names, ``{{*}}`` for those of the parts that have no line.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks.plot import svg
from tests.benchmarks.results import RESULTS, Part, load
from tests.benchmarks.rounds import say

DOCS = Path(__file__).parents[2] / "docs"
TEMPLATE = Path(__file__).with_name("performance.template.md")
_PLACE = re.compile(r"^\{\{([\w*]+)\}\}$", re.MULTILINE)
_REST = "*"


def write() -> None:
    """Write both anew; plots that no part draws any more are removed."""
    template = TEMPLATE.read_text()
    parts = {file.stem: load(file) for file in sorted(RESULTS.glob("*.json"))}
    names = _names(_PLACE.findall(template), list(parts))

    def section(match: re.Match[str]) -> str:
        pieces = [render(parts[name]) for name in names[match[1]]]
        if not pieces and match[1] != _REST:
            return f"Not measured yet: `{match[1]}`."
        return "\n".join(pieces).rstrip("\n")

    text = re.sub(r"\n{3,}", "\n\n", _PLACE.sub(section, template))
    write_plots(list(parts.values()))
    (DOCS / "performance.md").write_text(text)
    say(f"written: {DOCS / 'performance.md'}")


def _names(places: Sequence[str], parts: Sequence[str]) -> dict[str, list[str]]:
    """The parts that belong to each place."""
    names = {place: fnmatch.filter(parts, place) for place in places if place != _REST}
    names[_REST] = [part for part in parts if not any(part in found for found in names.values())]
    return names


def render(part: Part) -> str:
    """The tables of a part, each chart after them, and how they were made."""
    pieces = [table.markdown() for table in part.tables]
    pieces += [f"![{chart.title}](plots/{chart.name}.svg)\n" for chart in part.charts]
    origin = ", ".join(filter(None, (f"`{part.command}`" if part.command else "", part.measured, part.machine)))
    if origin:
        pieces.append(f"<sub>{origin}</sub>\n")
    return "\n".join(pieces)


def write_plots(parts: Sequence[Part]) -> None:
    """All charts of all parts."""
    plots = DOCS / "plots"
    plots.mkdir(exist_ok=True)
    wanted = {f"{chart.name}.svg": svg(chart) for part in parts for chart in part.charts}
    for file in plots.glob("*.svg"):
        if file.name not in wanted:
            file.unlink()
    for name, text in wanted.items():
        (plots / name).write_text(text)
