"""What is printed at the end: the outcome first, then the figures of the whole run."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from meshtracker.demo.figures import Figures
from meshtracker.demo.mesh import LEAVES
from meshtracker.demo.verdict import Verdict
from meshtracker.demo.view import delay_text, events_text, expectation_text

MAX_DIFFERENCES = 12
"""Named one by one; a node that has lost its link lacks hundreds."""


def summary(figures: Figures, verdict: Verdict) -> RenderableType:
    """The outcome and the figures."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column()
    for name, value in _rows(figures):
        table.add_row(name, value)
    return Group(Text(), _outcome(verdict, len(figures.nodes)), Text(), table)


def _outcome(verdict: Verdict, nodes: int) -> Text:
    if verdict.agrees:
        return Text.assemble(
            ("✔ The mesh agrees. ", "bold green"),
            f"All {nodes} trackers, asked over UDP and HTTP, hand out exactly the {verdict.peers} peers that are in the"
            f" {verdict.torrents} torrents, {verdict.seconds:.1f} s after the last announce.",
        )
    text = Text.assemble(
        ("✘ The mesh does not agree. ", "bold red"),
        f"{len(verdict.differences)} differences after {verdict.seconds:.1f} s:",
    )
    for difference in verdict.differences[:MAX_DIFFERENCES]:
        text.append(f"\n  {difference}")
    rest = len(verdict.differences) - MAX_DIFFERENCES
    return text.append(f"\n  and {rest} more" if rest > 0 else "")


def _rows(figures: Figures) -> Iterator[tuple[str, RenderableType]]:
    seconds = max(figures.elapsed_seconds, 1e-9)
    yield "trackers", f"a hub and {len(LEAVES)} leaves, linked over TLS, in {figures.elapsed_seconds:.0f} s"
    yield "clients", f"{figures.clients}: {events_text(figures)}"
    yield "announces", f"{figures.announces:,} ({figures.announces / seconds:.0f} a second)"
    yield "updates relayed", f"{figures.relayed:,} ({figures.relayed / seconds:.0f} a second), counted on every link"
    if figures.relayed_batches:
        each = f"{figures.link_bytes / max(1, figures.relayed):.0f} bytes of link data"
        yield "each update", f"{each}, {figures.relayed / figures.relayed_batches:.1f} to a batch; TLS is not counted"
    yield "delay to others", delay_text(figures.delays)
    yield "expected delay", expectation_text(figures.delays)
    for warning in figures.warnings:
        yield "warning", Text(warning, style="yellow")
