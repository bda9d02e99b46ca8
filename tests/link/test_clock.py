"""Stamps follow the wall, never run backwards, and come after all that was seen."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from meshtracker.link.clock import HybridClock


def test_a_stamp_is_wall_milliseconds_and_a_counter() -> None:
    clock = HybridClock(wall_offset_seconds=1_700_000_000)
    assert clock.wall_seconds(5.5) == 1_700_000_005.5
    assert clock.wall_ms(5.5) == 1_700_000_005_500
    assert clock.tick(5.5) == 1_700_000_005_500 << 16
    assert clock.tick(5.5) == (1_700_000_005_500 << 16) + 1
    assert clock.tick(5.501) == 1_700_000_005_501 << 16


@given(st.lists(st.tuples(st.floats(0, 1e6), st.integers(0, 1 << 60), st.booleans())))
def test_never_backwards(steps: list[tuple[float, int, bool]]) -> None:
    clock = HybridClock(wall_offset_seconds=0)
    latest = -1
    for now, seen, observes in steps:
        if observes:
            clock.observe(seen)
            latest = max(latest, seen)
        else:
            stamp = clock.tick(now)
            assert stamp > latest
            latest = stamp


def test_a_wall_clock_set_back_does_not_set_stamps_back() -> None:
    clock = HybridClock(wall_offset_seconds=1000)
    before = clock.tick(0)
    clock.wall_offset_seconds = 0
    assert clock.tick(1) == before + 1


def test_more_ticks_in_a_millisecond_than_the_counter_holds() -> None:
    clock = HybridClock(wall_offset_seconds=0)
    stamps = [clock.tick(1.0) for _ in range(70_000)]
    assert stamps == list(range(1000 << 16, (1000 << 16) + 70_000))
