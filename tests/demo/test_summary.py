from __future__ import annotations

import io

import pytest
from rich.console import Console

from meshtracker.demo.figures import Figures
from meshtracker.demo.summary import MAX_DIFFERENCES, summary
from meshtracker.demo.verdict import Difference, Verdict
from tests.demo.figures_support import make_figures


def printed(figures: Figures, verdict: Verdict, *, width: int = 80) -> str:
    console = Console(file=io.StringIO(), record=True, width=width)
    console.print(summary(figures, verdict))
    return console.export_text()


@pytest.mark.parametrize("width", [80, 100])
def test_agreement(width: int) -> None:
    text = printed(make_figures(), Verdict(167, 6, 0.12, ()), width=width)
    assert "✔ The mesh agrees." in text
    assert "exactly the 167 peers" in " ".join(text.split())
    assert "370,000 (30833 a second)" in text
    assert "40 bytes of link data, 10.0 to a batch" in text
    assert max(map(len, text.splitlines())) <= width


def test_differences_name_node_torrent_and_peer_and_are_counted() -> None:
    differences = tuple(
        Difference("leaf-b", "udp", "film.mkv", f"peer 127.1.0.{number}:20000 is missing") for number in range(20)
    )
    text = printed(make_figures(warnings=1), Verdict(167, 6, 3.0, differences))
    assert "✘ The mesh does not agree. 20 differences after 3.0 s:" in text
    assert "  leaf-b (UDP), film.mkv: peer 127.1.0.0:20000 is missing\n" in text
    assert text.count("is missing") == MAX_DIFFERENCES
    assert f"and {20 - MAX_DIFFERENCES} more" in text
    assert "warning" in text


def test_brackets_are_no_markup() -> None:
    text = printed(make_figures(), Verdict(1, 1, 3.0, (Difference("[red]", "udp", "[/]", "[bold]"),)))
    assert "[red] (UDP), [/]: [bold]" in text
