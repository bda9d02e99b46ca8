from __future__ import annotations

import io

import attrs
import pytest
from rich.console import Console

from meshtracker.admin.status import to_json
from meshtracker.cli.tables import duration, print_links, print_status, size
from meshtracker.link.session import SessionStatistics
from tests.admin.support import ENDED, LINK, make_status


def printed(*links: SessionStatistics) -> list[str]:
    console = Console(file=io.StringIO(), width=200, highlight=False)
    print_links(console, [attrs.asdict(link) for link in links])
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines() if line.strip()]


def test_a_link_is_one_line() -> None:
    head, _, line, warning = printed(LINK)
    assert head.split()[:3] == ["peer", "state", "since"]
    for word in (
        "hub",
        "synced",
        "0:01:23",
        "to 192.0.2.1:59100",
        "in: hub: full (new node), out: leaf: partial after batch 12",
        "1 batch ",
        "4.0 KiB",
        "512 B",
        "2.2 s ago",
    ):
        assert word in line
    assert warning == "hub: warning: the clock of hub is 7 s ahead of that of leaf"


def test_ended_links_say_why() -> None:
    assert printed(ENDED, attrs.evolve(ENDED, peer="")) == [
        "no links",
        "hub: ended 0:01:23 ago: nothing heard for 15 s",
        "192.0.2.1:59100: ended 0:01:23 ago: nothing heard for 15 s",
    ]


def test_what_another_node_says_is_no_markup() -> None:
    assert "hub: full ([red]new node[/red])" in printed(attrs.evolve(LINK, resync="hub: full ([red]new node[/red])"))[2]
    lines = printed(attrs.evolve(LINK, warnings=("[bold]loud[/bold]",)), attrs.evolve(ENDED, reason="[/nothing]"))
    assert lines[-2].endswith("[bold]loud[/bold]")
    assert lines[-1].endswith("[/nothing]")


def test_status_has_the_node_its_services_and_its_links() -> None:
    console = Console(file=io.StringIO(), width=200, highlight=False)
    print_status(console, to_json(make_status()))
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    for words in (
        "leaf  leaf  0.1.0  up 0:01:40",
        "1 peer in 1 swarm",
        "1 announces",
        "announces 3, load 0.5",
        "synced",
    ):
        assert words in text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (9.96, "10.0 s"), (12.4, "12 s"), (60, "0:01:00"), (90_061, "1 day, 1:01:01")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (64 << 20, "64.0 MiB"),
        (5 << 50, "5120.0 TiB"),
    ],
)
def test_sizes(count: int, text: str) -> None:
    assert size(count) == text
