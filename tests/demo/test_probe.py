from __future__ import annotations

import math
import random

import pytest
import trio

from meshtracker.demo.mesh import DemoMesh
from meshtracker.demo.probe import Probe, percentile


@pytest.mark.parametrize(
    ("ordered", "share", "expected"),
    [
        ([7.0], 0.5, 7.0),
        ([1.0, 2.0], 0.5, 1.0),
        ([1.0, 2.0, 3.0], 0.5, 2.0),
        ([float(n) for n in range(1, 101)], 0.99, 99.0),
        ([float(n) for n in range(1, 11)], 0.99, 10.0),
    ],
)
def test_percentiles_are_by_nearest_rank(ordered: list[float], share: float, expected: float) -> None:
    assert percentile(ordered, share) == expected


def test_the_percentile_of_nothing_is_no_number() -> None:
    assert math.isnan(percentile([], 0.5))


async def test_delays_are_measured_and_nobody_is_left_behind(mesh: DemoMesh) -> None:
    probe = Probe(mesh, rng=random.Random(1))
    ending = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(probe.run, ending)
        await trio.sleep(0.7)
        ending.set()
    delays = probe.delays()
    assert delays.measured >= 3
    assert delays.lost == 0
    assert 0 < delays.median_seconds <= delays.p99_seconds < 5
    with trio.fail_after(5):
        while any(member.node.registry.peers for member in mesh.members):
            await trio.sleep(0.01)


async def test_nothing_measured_yet(mesh: DemoMesh) -> None:
    delays = Probe(mesh, rng=random.Random(1)).delays()
    assert (delays.measured, delays.lost) == (0, 0)
    assert math.isnan(delays.median_seconds)
