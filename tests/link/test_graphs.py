"""Hubs linked in any way, cycles among them, and leaves with one hub or two: no loops, and in the end all the same."""

from __future__ import annotations

import itertools
import random

import pytest

from tests.link.story import Edge, Story, unequal

pytestmark = pytest.mark.usefixtures("tiny_pieces")


def graph(seed: int) -> Story:
    """Two or three hubs that hang together, and two to four leaves with one hub or two each."""
    rng = random.Random(f"graph {seed}")
    hubs = tuple(f"hub-{number}" for number in range(rng.choice((2, 3))))
    leaves = tuple("abcd"[: rng.randint(2, 4)])
    pairs = list(itertools.combinations(hubs, 2))
    # Without one of its three a triangle still hangs together.
    edges: list[Edge] = pairs if rng.random() < 0.6 or len(hubs) == 2 else rng.sample(pairs, 2)
    edges = [edge if rng.random() < 0.5 else edge[::-1] for edge in edges]
    edges += [(leaf, hub) for leaf in leaves for hub in rng.sample(hubs, rng.choice((1, 2)))]
    return Story(seed, hubs=hubs, leaves=leaves, edges=edges)


def run(seed: int, acts: int = 140) -> Story:
    story = graph(seed)
    story.tell(acts)
    return story


@pytest.mark.parametrize("seeds", [range(start, start + 10) for start in range(0, 80, 10)], ids=lambda seeds: seeds[0])
def test_any_graph_comes_to_the_same(seeds: range) -> None:
    for seed in seeds:
        run(seed)


def test_the_graphs_are_about_something() -> None:
    stories = [graph(seed) for seed in range(80)]
    assert {len(story.hubs) for story in stories} == {2, 3}
    assert any(len({edge for edge in story.edges if edge[0] in story.hubs}) == 3 for story in stories)
    stories = [run(seed) for seed in range(10)]
    assert sum(story.forgotten for story in stories) > 3
    assert sum(story.resets for story in stories) > 5
    assert sum(story.fetched for story in stories) > 5


def run_long(seed: int) -> None:
    run(seed, acts=300)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_any_graph_comes_to_the_same_long() -> None:
    assert unequal(run_long, range(1000, 2000)) == []
