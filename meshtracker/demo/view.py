"""Figures for people: a picture for a terminal, one line a second for everything else."""

from __future__ import annotations

import attrs
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.constrain import Constrain
from rich.measure import Measurement
from rich.rule import Rule
from rich.segment import Segment
from rich.style import Style
from rich.table import Table
from rich.text import Text

from meshtracker.demo.clients import EVENTS
from meshtracker.demo.figures import Figures, LinkFigures
from meshtracker.demo.mesh import FLUSH_INTERVAL_SECONDS
from meshtracker.demo.probe import Delays

GOAL_SECONDS = FLUSH_INTERVAL_SECONDS + 0.05
"""For the median: changes wait for the flush, and the rest must be quick."""
MAX_WIDTH = 110
"""A wider terminal would only draw the table apart."""
MIN_BAR_WIDTH = 12
DIM = "not bold dim"
OWN, LINKED = Style(color="cyan"), Style(color="green")
_BLOCKS = (("█", OWN), ("▒", LINKED))
"""Told apart without colours too."""
_LINES = 22
"""Of the picture without news, and of the prompt below it."""
_MIN_NEWS, _MAX_NEWS = 2, 6


@attrs.frozen
class PeerBar:
    """Peers told by own clients, then those from the link, in a scale that all nodes share."""

    own: int
    linked: int
    full: int
    """Peers of a bar that fills its column."""

    def __rich_console__(self, _: Console, options: ConsoleOptions) -> RenderResult:
        """As wide as the column is."""
        drawn = 0
        for count, (block, style) in zip((self.own, self.own + self.linked), _BLOCKS, strict=True):
            end = min(options.max_width, round(count / self.full * options.max_width))
            yield Segment(block * (end - drawn), style)
            drawn = max(drawn, end)
        yield Segment(" " * (options.max_width - drawn))

    def __rich_measure__(self, _: Console, options: ConsoleOptions) -> Measurement:
        """What it needs at least, and what it would like."""
        return Measurement(MIN_BAR_WIDTH, options.max_width)


def picture(figures: Figures, *, status: str, height: int) -> RenderableType:
    """The whole screen; ``status`` says how long this goes on, ``height`` how many lines there are."""
    news = max(_MIN_NEWS, min(_MAX_NEWS, height - _LINES))
    delay = Text("delay", style="bold").append(
        " from an announce at a leaf until another tracker hands that peer out:", DIM
    )
    lines: tuple[RenderableType, ...] = (
        Rule("[bold]meshtracker demo[/]: a hub and three leaves that act as one tracker", style=DIM),
        Text(f"{figures.elapsed_seconds:.0f} s {status}", style=DIM),
        Text("Clients announce to the leaves only; the links carry it to all other trackers.", style=DIM),
        Text(),
        _nodes(figures),
        Text(),
        _links(figures.links),
        Text(),
        delay,
        Text("  ").append_text(delay_text(figures.delays)),
        Text("  ").append_text(expectation_text(figures.delays)),
        Text(),
        *_news(figures, news),
    )
    return Constrain(Group(*lines), MAX_WIDTH)


def _nodes(figures: Figures) -> Table:
    table = _table()
    table.add_column("tracker\n", style="bold")
    legend = Text.assemble("peers known\n", ("█", OWN), " own ", ("▒", LINKED), " link")
    table.add_column(legend, ratio=1, no_wrap=True, min_width=MIN_BAR_WIDTH)
    for header in (
        "own\nclients",
        "over\nlink",
        "all\npeers",
        "\nswarms",
        "announces\na second",
        "updates\nsent/s",
        "updates\ngot/s",
    ):
        table.add_column(header, justify="right")
    for node in figures.nodes:
        table.add_row(
            node.name,
            PeerBar(node.own_peers, node.link_peers, max(1, figures.clients)),
            Text(str(node.own_peers), style=OWN),
            Text(str(node.link_peers), style=LINKED),
            str(node.own_peers + node.link_peers),
            str(node.swarms),
            f"{node.announces_per_second:.0f}",
            f"{node.sent_per_second:.0f}",
            f"{node.received_per_second:.0f}",
        )
    return table


def _links(links: tuple[LinkFigures, ...]) -> Table:
    table = _table()
    table.add_column("link (TLS)", style="bold", no_wrap=True)
    table.add_column("state", no_wrap=True)
    table.add_column("catch-up", ratio=1, no_wrap=True)
    for header in ("to hub", "from hub", "lag"):
        table.add_column(header, justify="right", no_wrap=True)
    for link in links:
        table.add_row(
            f"{link.leaf} → hub",
            Text(link.state, style="green" if link.state == "synced" else "yellow"),
            link.resync,
            f"{link.sent_bytes_per_second / 1000:.1f} kB/s",
            f"{link.received_bytes_per_second / 1000:.1f} kB/s",
            _lag(link),
        )
    return table


def _lag(link: LinkFigures) -> str:
    if link.state != "synced":
        return "-"
    return f"{link.lag_batches} batch{'es' if link.lag_batches > 1 else ''}" if link.lag_batches else "none"


def _table() -> Table:
    return Table(box=None, expand=True, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)


def delay_text(delays: Delays) -> Text:
    """What was measured."""
    if delays.measured:
        text = Text(f"median {_ms(delays.median_seconds)}", style="bold green" if _is_good(delays) else "bold yellow")
        text.append(f", 99 % within {_ms(delays.p99_seconds)} ({delays.measured:,} measured)", "not bold default")
    else:
        text = Text("not measured yet", style="yellow")
    return text.append(f", {delays.lost} never came" if delays.lost else "", "bold red")


def expectation_text(delays: Delays) -> Text:
    """What the median is to be measured against."""
    text = Text(f"changes travel every {_ms(FLUSH_INTERVAL_SECONDS)}: a median ≤ {_ms(GOAL_SECONDS)} is right")
    if delays.measured:
        text.append(" ✔" if _is_good(delays) else " ✘", "green" if _is_good(delays) else "yellow")
    return text


def _is_good(delays: Delays) -> bool:
    return delays.median_seconds <= GOAL_SECONDS


def events_text(figures: Figures) -> str:
    """What the clients did so far."""
    return ", ".join(f"{figures.events.get(event, 0):,} {event}" for event in EVENTS)


def _news(figures: Figures, count: int) -> list[Text]:
    """What the clients did in all, then in words the last of it, and a warning if a node had one."""
    warnings = [Text(f"! {warning}", style="yellow") for warning in figures.warnings[-1:]]
    latest = figures.news[len(warnings) - count :]
    lines = [
        Text("clients ", style="bold").append(events_text(figures), "not bold"),
        *(Text(f"  {news}", style=DIM) for news in latest),
        *(Text() for _ in range(count - len(warnings) - len(latest))),
        *warnings,
    ]
    for line in lines:
        line.no_wrap, line.overflow = True, "ellipsis"
    return lines


PLAIN_LEGEND = "peers: told by own clients + come over the link; updates: sent by the leaves to the hub"


def plain_line(figures: Figures) -> str:
    """The same in a line, for files and pipes."""
    peers = "  ".join(f"{node.name} {node.own_peers:3}+{node.link_peers:<3}" for node in figures.nodes)
    announces = sum(node.announces_per_second for node in figures.nodes)
    updates = sum(node.sent_per_second for node in figures.nodes[1:])
    synced = sum(link.state == "synced" for link in figures.links)
    delays = figures.delays
    delay = f"delay {_ms(delays.median_seconds)}, p99 {_ms(delays.p99_seconds)}" if delays.measured else "no delay yet"
    return (
        f"{figures.elapsed_seconds:4.0f} s  {peers}  {announces:3.0f} announces/s  {updates:3.0f} updates/s"
        f"  {synced}/{len(figures.links)} links synced  {delay}"
    )


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"
