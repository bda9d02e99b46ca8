"""A chart as SVG: lines over two logarithmic axes, to be read on a light page and on a dark one."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from html import escape

import attrs

from tests.benchmarks.results import Chart

WIDTH, HEIGHT = 720, 440
LEFT, RIGHT, TOP, BOTTOM = 72, 24, 44, 104
"""Margins, for labels and the legend."""
LEGEND_COLUMNS = 3
MAX_TICKS = 9
COLOURS = ("#2f81f7", "#e0731d", "#2da44e", "#b45ad6", "#d03f55", "#8a8a17")
"""Each has enough contrast on white and on near-black."""
DASHES = ("none", "7 4", "2 4", "10 4 2 4", "14 4", "4 2")
"""Lines can be told apart without their colours."""

_STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #24292f; }
  .title { font-size: 15px; font-weight: 600; }
  .grid { stroke: #d0d7de; stroke-width: 1; }
  .frame { stroke: #57606a; stroke-width: 1; fill: none; }
  .line { stroke-width: 2; fill: none; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; }
    .grid { stroke: #3d444d; }
    .frame { stroke: #9198a1; }
  }
"""


@attrs.frozen
class Axis:
    """Values to pixels."""

    ticks: Sequence[float]
    start: float
    end: float

    def at(self, value: float) -> float:
        """Where a value is."""
        low, high = math.log(self.ticks[0]), math.log(self.ticks[-1])
        return self.start + (self.end - self.start) * (math.log(value) - low) / (high - low)


def ticks(values: Sequence[float]) -> list[float]:
    """Round numbers around all values: 1, 2, 5 of each decade, or the decades alone if those are too many."""
    low, high = min(values), max(values)
    decades = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 2)
    for steps in ((1, 2, 5), (1,)):
        candidates = [step * 10.0**decade for decade in decades for step in steps]
        first = max(at for at, tick in enumerate(candidates) if tick <= low * 1.0001)
        last = min(at for at, tick in enumerate(candidates) if tick >= high * 0.9999)
        found = candidates[first : max(last, first + 1) + 1]
        if len(found) <= MAX_TICKS:
            break
    return found


def number(value: float) -> str:
    """A tick's label."""
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"


def svg(chart: Chart) -> str:
    """The whole file."""
    # A logarithm has no place for zero.
    series = {name: [(x, y) for x, y in points if x > 0 < y] for name, points in chart.series.items()}
    points = [point for line in series.values() for point in line]
    if not points:
        raise ValueError(f"{chart.name}: nothing to draw")
    across = Axis(ticks([x for x, _ in points]), LEFT, WIDTH - RIGHT)
    up = Axis(ticks([y for _, y in points]), HEIGHT - BOTTOM, TOP)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
        f"<title>{escape(chart.title)}</title>",
        f"<style>{_STYLE}</style>",
        f'<text class="title" x="{LEFT}" y="24">{escape(chart.title)}</text>',
        *_grid(across, up),
        _label(chart.x_label, f'x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - BOTTOM + 40}"'),
        _label(chart.y_label, f'transform="translate(18 {(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)"'),
    ]
    for at, (name, line) in enumerate(series.items()):
        lines += _series(at, name, [(across.at(x), up.at(y)) for x, y in line])
    return "\n".join([*lines, "</svg>", ""])


def _label(text: str, where: str) -> str:
    return f'<text {where} text-anchor="middle">{escape(text)}</text>'


def _grid(across: Axis, up: Axis) -> Iterator[str]:
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    for tick in across.ticks:
        x = across.at(tick)
        yield f'<line class="grid" x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{bottom}"/>'
        yield f'<text x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">{number(tick)}</text>'
    for tick in up.ticks:
        y = up.at(tick)
        yield f'<line class="grid" x1="{LEFT}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}"/>'
        yield f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{number(tick)}</text>'
    yield f'<rect class="frame" x="{LEFT}" y="{TOP}" width="{right - LEFT}" height="{bottom - TOP}"/>'


def _series(at: int, name: str, pixels: Sequence[tuple[float, float]]) -> Iterator[str]:
    """A line with its dots, and its entry in the legend."""
    colour, dash = COLOURS[at % len(COLOURS)], DASHES[at % len(DASHES)]
    stroke = f'stroke="{colour}" stroke-dasharray="{dash}"'
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in pixels)
    yield f'<polyline class="line" {stroke} points="{path}"/>'
    for x, y in pixels:
        yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>'
    row, column = divmod(at, LEGEND_COLUMNS)
    x, y = LEFT + column * (WIDTH - LEFT - RIGHT) / LEGEND_COLUMNS, HEIGHT - 36 + 20 * row
    yield f'<line class="line" {stroke} x1="{x:.1f}" y1="{y}" x2="{x + 30:.1f}" y2="{y}"/>'
    yield f'<circle cx="{x + 15:.1f}" cy="{y}" r="3.5" fill="{colour}"/>'
    yield f'<text x="{x + 38:.1f}" y="{y + 4}">{escape(name)}</text>'
