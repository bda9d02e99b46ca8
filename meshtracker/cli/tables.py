"""A node's status for people, from the JSON of its admin API."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

PIPE_COLUMNS = 200
"""Width when nobody looks: lines that are not broken can be searched."""
SHOWN_COMMANDS = 5
"""Latest commands of operators; JSON has more."""

_SIZE_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
_STATE_STYLES = {"synced": "green", "soft-split": "bold red", "closed": "red"}
_OTHER_STYLE = "yellow"


def make_console() -> Console:
    """Standard output."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=PIPE_COLUMNS)


def print_status(console: Console, status: dict[str, Any]) -> None:
    """Everything about a node that fits a screen."""
    node = status["node"]
    tracker, registry, log = node["tracker"], node["registry"], node["log"]
    console.print(f"{node['name']}  {node['role']}  {node['version']}  up {duration(node['uptime_seconds'])}")
    console.print(f"{_count(registry['peers'], 'peer')} in {_count(registry['swarms'], 'swarm')}")
    console.print(f"{tracker['announces']} announces, {tracker['scrapes']} scrapes, {tracker['refused']} refused")
    console.print(f"memory: at most {size(node['memory_bound_bytes'])}; {_count(node['mesh']['streams'], 'stream')}")
    if log["max_bytes"]:
        console.print(
            f"log: {size(log['bytes'])} of {size(log['max_bytes'])}, {duration(log['covered_seconds'])} of outage"
        )
    services = _table("service", "figures")
    for name, figures in status["services"].items():
        services.add_row(name, _line(f"{key} {_figure(value)}" for key, value in figures.items()))
    console.print(services)
    print_links(console, node)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def print_links(console: Console, figures: dict[str, Any]) -> None:
    """Live links with their warnings, why the latest that ended did, and what is remembered of each node."""
    live = [link for link in figures["links"] if link["state"] != "closed"]
    ended = [link for link in figures["links"] if link["state"] == "closed"]
    if not live:
        console.print("no links")
    else:
        table = _table("peer", "state", "since", "from or to", "last resync", "lag", "received", "sent", "heard")
        for link in live:
            table.add_row(*_link_cells(link))
        console.print(table)
    for link in live:
        for warning in link["warnings"]:
            console.print(Text(f"{_peer(link)}: warning: {warning}", style="yellow"))
        if link["unshared_rows"]:
            rows = _count(link["unshared_rows"], "row")
            console.print(Text(f"{_peer(link)}: {rows} unshared: the hub lacks them, and this node may not send them"))
        if link["refused_records"]:
            console.print(Text(f"{_peer(link)}: {link['refused_records']} frames refused: no room for their streams"))
        if link["dropped_records"]:
            records = _count(link["dropped_records"], "record")
            console.print(Text(f"{_peer(link)}: {records} not taken: of other swarms, or not as they must be"))
    for link in ended:
        ago = duration(link["since_seconds"])
        console.print(Text(f"{_peer(link)}: ended {ago} ago: {link['reason']}", style="red"))
    for neighbour in figures["neighbours"]:
        _print_neighbour(console, neighbour)
    if figures["refused_links"]:
        refused = _line(f"{count} {kind}" for kind, count in sorted(figures["refused_links"].items()))
        console.print(Text(f"refused: {refused}"))
    for entry in figures["audit"][:SHOWN_COMMANDS]:
        console.print(Text(_command(entry)))


def _print_neighbour(console: Console, neighbour: dict[str, Any]) -> None:
    name, disabled = neighbour["name"] or neighbour["address"], neighbour["disabled"]
    if disabled:
        reason = f": {disabled['reason']}" if disabled["reason"] else ""
        console.print(Text(f"{name}: disabled by {disabled['caller']}{reason}", style="red"))
    counts = (
        ("soft-splits", neighbour["soft_splits"]),
        ("resets for that", neighbour["split_resets"]),
        ("resets by command", neighbour["resets"]),
        ("breaches of the protocol", neighbour["breaches"]),
    )
    counted = _line(f"{what} {count}" for what, count in counts if count)
    if counted:
        console.print(Text(f"{name}: {counted}"))
    if neighbour["verdict"]:
        ago = duration(neighbour["verdict_seconds_ago"])
        verdict = f"last soft-split {ago} ago ({neighbour['verdict_rule']}): {neighbour['verdict']}"
        console.print(Text(f"{name}: {verdict}", style="yellow"))
    if neighbour["refused_for_seconds"]:
        wait = duration(neighbour["refused_for_seconds"])
        console.print(Text(f"{name}: refused for another {wait}: {neighbour['breach']}", style="red"))
    if neighbour["wants_everything"]:
        console.print(Text(f"{name}: everything comes anew with the next burst"))


def _command(entry: dict[str, Any]) -> str:
    when = datetime.fromtimestamp(entry["at_unix_seconds"], UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    whose = "all links" if entry["everybody"] else _line(entry["links"])
    reason = f": {entry['reason']}" if entry["reason"] else ""
    return f"{when}  {entry['action']} {'(full) ' if entry['full'] else ''}{whose} by {entry['caller']}{reason}"


def _link_cells(link: dict[str, Any]) -> list[Text]:
    lag = link["peer_lag_batches"]
    cells = (
        _peer(link),
        link["state"],
        duration(link["since_seconds"]),
        f"{'to' if link['dialed'] else 'from'} {link['peer_address']}",
        _line(f"{way} {link[key]}" for way, key in (("in:", "resync"), ("out:", "sent_resync")) if link[key]),
        f"{lag} batch{'' if lag == 1 else 'es'}",
        size(link["received_bytes"]),
        size(link["sent_bytes"]),
        f"{duration(link['heard_seconds_ago'])} ago",
    )
    # Text, for what another node says may look like rich's markup.
    texts = [Text(cell) for cell in cells]
    texts[1].stylize(_STATE_STYLES.get(link["state"], _OTHER_STYLE))
    return texts


def _peer(link: dict[str, Any]) -> str:
    return str(link["peer"] or link["peer_address"])


def _table(*columns: str) -> Table:
    return Table(*columns, box=box.SIMPLE_HEAD, pad_edge=False)


def _line(words: Iterable[str]) -> str:
    return ", ".join(words)


def _figure(value: Any) -> str:
    return f"{value:.1f}" if isinstance(value, float) else str(value)


def duration(seconds: float) -> str:
    """``0.4 s``, ``12 s``, ``1:02:03`` or ``2 days, 0:00:01``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    return f"{seconds:.0f} s" if seconds < 60 else str(timedelta(seconds=int(seconds)))


def size(count: int) -> str:
    """Bytes as ``512 B``, ``1.5 KiB``, ``64.0 MiB``."""
    power = min(max(count.bit_length() - 1, 0) // 10, len(_SIZE_UNITS) - 1)
    return f"{count / 1024**power:.1f} {_SIZE_UNITS[power]}" if power else f"{count} B"
