from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import attrs
import pytest
from rich.console import Console

from meshtracker.admin.status import to_json
from meshtracker.cli.tables import SHOWN_COMMANDS, duration, print_links, print_status, size
from meshtracker.link.statistics import SessionStatistics
from meshtracker.node.commands import AuditEntry, Disabled
from meshtracker.node.neighbours import NeighbourStatistics
from tests.admin.support import AUDIT, ENDED, LINK, NEIGHBOUR, make_status


def printed(
    *links: SessionStatistics,
    neighbours: Sequence[NeighbourStatistics] = (),
    refused: Mapping[str, int] = MappingProxyType({}),
    audit: Sequence[AuditEntry] = (),
) -> list[str]:
    console = Console(file=io.StringIO(), width=200, highlight=False)
    figures: dict[str, Sequence[attrs.AttrsInstance]] = {"links": links, "neighbours": neighbours, "audit": audit}
    shown = {name: [attrs.asdict(one) for one in some] for name, some in figures.items()}
    print_links(console, shown | {"refused_links": dict(refused)})
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines() if line.strip()]


def test_a_link_is_one_line() -> None:
    head, _, line, *more = printed(LINK)
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
    assert more == [
        "hub: warning: the clock of hub is 7 s ahead of that of leaf",
        "hub: 6 rows unshared: the hub lacks them, and this node may not send them",
        "hub: 7 frames refused: no room for their streams",
        "hub: 8 records not taken: of other swarms, or not as they must be",
    ]
    quiet = attrs.evolve(LINK, warnings=(), unshared_rows=0, refused_records=0, dropped_records=0)
    assert len(printed(quiet)) == 3


def test_ended_links_say_why() -> None:
    assert printed(ENDED, attrs.evolve(ENDED, peer="")) == [
        "no links",
        "hub: ended 0:01:23 ago: nothing heard for 15 s",
        "192.0.2.1:59100: ended 0:01:23 ago: nothing heard for 15 s",
    ]


def test_a_link_in_a_soft_split_says_so() -> None:
    assert "soft-split" in printed(attrs.evolve(LINK, state="soft-split"))[2]


def test_what_is_remembered_of_a_node() -> None:
    quiet = attrs.evolve(
        NEIGHBOUR, soft_splits=0, resets=0, split_resets=0, verdict="", breaches=0, refused_for_seconds=0.0
    )
    assert printed(neighbours=[quiet]) == ["no links"]
    why = Disabled(caller="alice@desk", reason="moving")
    assert printed(
        neighbours=[
            NEIGHBOUR,
            attrs.evolve(quiet, name="leaf-a", disabled=why),
            attrs.evolve(quiet, name="", disabled=attrs.evolve(why, reason="")),
            attrs.evolve(quiet, wants_everything=True),
        ]
    )[1:] == [
        "hub: soft-splits 2, resets for that 2, resets by command 1, breaches of the protocol 4",
        "hub: last soft-split 0:01:01 ago (outbound): 3 data frames sent and none confirmed for 15.0 s",
        "hub: refused for another 5.5 s: a gap in its stream",
        "leaf-a: disabled by alice@desk: moving",
        "192.0.2.1:59100: disabled by alice@desk",
        "hub: everything comes anew with the next burst",
    ]


def test_refusals_and_the_latest_commands() -> None:
    everybody = attrs.evolve(AUDIT, action="disable", everybody=True, full=False, reason="")
    lines = printed(refused={"clock": 1, "authentication": 3}, audit=[AUDIT, *[everybody] * 2 * SHOWN_COMMANDS])
    assert lines[1] == "refused: 3 authentication, 1 clock"
    caller = "alice@desk from 127.0.0.1 (admin.control_token, scope control)"
    assert lines[2] == f"2027-01-15 08:00:00Z  reset (full) hub by {caller}: stuck since noon"
    assert lines[3] == f"2027-01-15 08:00:00Z  disable all links by {caller}"
    assert len(lines) == 2 + SHOWN_COMMANDS


def test_what_another_node_says_is_no_markup() -> None:
    assert "hub: full ([red]new node[/red])" in printed(attrs.evolve(LINK, resync="hub: full ([red]new node[/red])"))[2]
    lines = printed(attrs.evolve(LINK, warnings=("[bold]loud[/bold]",)), attrs.evolve(ENDED, reason="[/nothing]"))
    assert lines[3].endswith("[bold]loud[/bold]")
    assert lines[-1].endswith("[/nothing]")


def test_status_has_the_node_its_services_and_its_links() -> None:
    console = Console(file=io.StringIO(), width=200, highlight=False)
    print_status(console, to_json(make_status()))
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    for words in (
        "leaf  leaf  0.1.0  up 0:01:40",
        "1 peer in 1 swarm",
        "memory: at most ",
        "; 1 stream",
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
