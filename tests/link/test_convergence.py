"""A hub and three leaves through anything: when it is over, all four hold exactly the same of what they track."""

from __future__ import annotations

import pytest

from tests.link.story import Story
from tests.mouth_to_mouth import rows

pytestmark = pytest.mark.usefixtures("tiny_pieces")


def run(seed: int, acts: int = 120) -> Story:
    leaves = ("a", "b", "c")
    story = Story(seed, hubs=("hub",), leaves=leaves, edges=[(leaf, "hub") for leaf in leaves])
    story.tell(acts)
    return story


@pytest.mark.parametrize("seeds", [range(start, start + 10) for start in range(0, 160, 10)], ids=lambda seeds: seeds[0])
def test_all_nodes_hold_the_same_in_the_end(seeds: range) -> None:
    for seed in seeds:
        run(seed)


def test_the_stories_are_about_something() -> None:
    """The runs above do reach what they are meant to reach."""
    stories = [run(seed) for seed in range(12)]
    ways = set().union(*(story.resyncs for story in stories))
    assert {f"full ({reason})" for reason in ("new node", "fell behind", "new incarnation", "asked for")} <= ways
    assert len([way for way in ways if way.startswith("partial after batch")]) > 2
    assert sum(len(rows(story.nodes["hub"])) for story in stories) > 100
    assert sum(story.forgotten for story in stories) > 5
    assert sum(story.resets for story in stories) > 10
    assert sum(story.fetched for story in stories) > 10
    assert sum(story.skipped_bytes for story in stories) > 200


@pytest.mark.long
@pytest.mark.parametrize("start", range(1000, 2500, 100))
def test_all_nodes_hold_the_same_in_the_end_long(start: int) -> None:
    for seed in range(start, start + 100):
        run(seed, acts=300)
