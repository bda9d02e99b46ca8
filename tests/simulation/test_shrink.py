from __future__ import annotations

from collections.abc import Sequence

from tests.simulation.shrink import shrink


def test_only_what_it_takes_is_left() -> None:
    def fails(events: Sequence[int]) -> bool:
        return {3, 57} <= set(events)

    assert shrink(range(100), fails) == [3, 57]


def test_nothing_may_be_needed() -> None:
    assert shrink(range(9), lambda events: len(events) >= 0) == []


def test_it_ends_after_so_many_runs() -> None:
    runs: list[Sequence[int]] = []

    def fails(events: Sequence[int]) -> bool:
        runs.append(events)
        return len(events) > 900

    left = shrink(range(1000), fails, max_runs=50)
    assert len(runs) == 50
    assert fails(left)
