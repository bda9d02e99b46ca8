from __future__ import annotations

import io

import attrs
import pytest
from rich.console import Console

from meshtracker.demo.figures import Figures
from meshtracker.demo.probe import Delays
from meshtracker.demo.view import MAX_WIDTH, PeerBar, delay_text, expectation_text, picture, plain_line
from tests.demo.figures_support import NOTHING_MEASURED, make_figures


def drawn(figures: Figures, *, width: int, height: int = 24) -> list[str]:
    console = Console(file=io.StringIO(), record=True, width=width, force_terminal=True)
    console.print(picture(figures, status="of 20 s", height=height))
    return console.export_text().splitlines()


@pytest.mark.parametrize("width", [80, 100, 110, 200])
@pytest.mark.parametrize("warnings", [0, 3])
@pytest.mark.parametrize("delays", [None, NOTHING_MEASURED])
def test_the_picture_fits(width: int, warnings: int, delays: Delays | None) -> None:
    lines = drawn(make_figures(warnings=warnings, delays=delays), width=width)
    assert max(map(len, lines)) <= min(width, MAX_WIDTH)
    assert len(lines) == 23, "a line of 24 is left for the prompt"


@pytest.mark.parametrize("width", [80, 100])
def test_nothing_is_cut_short_once_all_links_are_synced(width: int) -> None:
    figures = make_figures()
    links = tuple(attrs.evolve(link, state="synced", resync="partial after batch 9") for link in figures.links)
    assert "…" not in "".join(drawn(attrs.evolve(figures, links=links), width=width))


def test_a_higher_terminal_gets_more_news() -> None:
    lines = drawn(make_figures(), width=100, height=35)
    assert len(lines) == 27
    assert sum("127.3.1." in line for line in lines) == 6


@pytest.mark.parametrize("width", [80, 100])
def test_what_matters_is_there(width: int) -> None:
    text = "\n".join(drawn(make_figures(), width=width))
    for word in (
        "leaf-a → hub",
        "synced",
        "authenticating",
        "12 batches",
        "none",
        "123.5 kB/s",
        "167",
        "median 58 ms",
        "✔",
    ):
        assert word in text
    assert "12,345 started, 11,111 completed, 2,345 moved, 12,222 stopped" in text


def test_a_warning_takes_the_last_line() -> None:
    assert drawn(make_figures(warnings=2), width=80)[-1].startswith("! link of leaf-1 ended")


@pytest.mark.parametrize(
    ("own", "linked", "expected"),
    [
        (0, 0, "          "),
        (5, 0, "█████     "),
        (2, 3, "██▒▒▒     "),
        (10, 0, "██████████"),
        (6, 6, "██████▒▒▒▒"),
        (20, 20, "██████████"),
    ],
)
def test_bars(own: int, linked: int, expected: str) -> None:
    console = Console(file=io.StringIO(), width=10, record=True)
    console.print(PeerBar(own, linked, full=10), end="")
    assert console.export_text() == expected


@pytest.mark.parametrize(
    ("delays", "measured", "mark"),
    [
        (NOTHING_MEASURED, "not measured yet", ""),
        (Delays(10, 0, 0.150, 0.2), "median 150 ms, 99 % within 200 ms (10 measured)", " ✔"),
        (Delays(10, 0, 0.151, 0.2), "median 151 ms, 99 % within 200 ms (10 measured)", " ✘"),
        (Delays(10, 2, 0.1, 0.2), "median 100 ms, 99 % within 200 ms (10 measured), 2 never came", " ✔"),
    ],
)
def test_the_delay_is_held_against_the_flush_interval(delays: Delays, measured: str, mark: str) -> None:
    assert str(delay_text(delays)) == measured
    assert str(expectation_text(delays)) == f"changes travel every 100 ms: a median ≤ 150 ms is right{mark}"


def test_one_line() -> None:
    assert plain_line(make_figures()) == (
        "  12 s  hub  57+110  leaf-a  57+110  leaf-b  57+110  leaf-c  57+110   98 announces/s  3702 updates/s"
        "  2/3 links synced  delay 58 ms, p99 111 ms"
    )
    assert plain_line(make_figures(delays=NOTHING_MEASURED)).endswith("no delay yet")
