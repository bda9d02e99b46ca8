"""A hub and three leaves through anything: when it is over, all four hold exactly the same of what they track."""

from __future__ import annotations

import pytest

from tests.link.holdings import held
from tests.link.story import Story, unequal

pytestmark = pytest.mark.usefixtures("tiny_pieces")


def run(seed: int, acts: int = 120, *, leaves_speak: bool = True) -> Story:
    leaves = ("a", "b", "c")
    edges = [(leaf, "hub") for leaf in leaves]
    story = Story(seed, hubs=("hub",), leaves=leaves, edges=edges, leaves_speak=leaves_speak)
    story.tell(acts)
    return story


@pytest.mark.parametrize("seeds", [range(start, start + 10) for start in range(0, 160, 10)], ids=lambda seeds: seeds[0])
def test_all_nodes_hold_the_same_in_the_end(seeds: range) -> None:
    for seed in seeds:
        run(seed)


@pytest.mark.parametrize("seeds", [range(start, start + 10) for start in range(0, 40, 10)], ids=lambda seeds: seeds[0])
def test_so_they_do_where_leaves_speak_for_themselves_only(seeds: range) -> None:
    for seed in seeds:
        run(seed, leaves_speak=False)


def test_the_stories_are_about_something() -> None:
    """The runs above do reach what they are meant to reach."""
    stories = [run(seed) for seed in range(24)]
    ways = set().union(*(story.resyncs for story in stories))
    assert {f"full ({reason})" for reason in ("new node", "fell behind", "lacking", "asked for")} <= ways
    assert len([way for way in ways if way.startswith("partial after batch")]) > 2
    assert sum(len(held(story.nodes["hub"])) for story in stories) > 100
    assert sum(story.forgotten for story in stories) > 5
    assert sum(story.aged for story in stories) > 0
    assert sum(story.resets for story in stories) > 10
    assert sum(story.fetched for story in stories) > 10
    assert sum(story.skipped_bytes for story in stories) > 200


def run_long(seed: int) -> None:
    run(seed, acts=300)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_all_nodes_hold_the_same_in_the_end_long() -> None:
    assert unequal(run_long, range(1000, 2500)) == []
