"""Stamps follow wall time and never run backwards, unless wall time itself is set back."""

from __future__ import annotations

import pytest
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


@given(st.lists(st.floats(0, 1e6)))
def test_stamps_never_run_backwards(moments: list[float]) -> None:
    clock = HybridClock(wall_offset_seconds=0)
    latest = -1
    for now in moments:
        stamp = clock.tick(now)
        assert stamp > latest
        assert stamp >> 16 >= clock.wall_ms(now)
        latest = stamp


def test_a_correction_of_the_wall_clock_does_not_set_stamps_back() -> None:
    clock = HybridClock(wall_offset_seconds=1000)
    before = clock.tick(0)
    clock.wall_offset_seconds = 0
    assert clock.tick(1) == before + 1


@pytest.mark.parametrize("seconds", [-3600.0, 3600.0])
def test_a_step_of_the_wall_clock_sets_stamps_too(seconds: float) -> None:
    clock = HybridClock(wall_offset_seconds=10_000)
    clock.tick(5.0)
    clock.step(seconds)
    assert clock.wall_seconds(5.0) == 10_005 + seconds
    assert clock.tick(5.0) == int((10_005 + seconds) * 1000) << 16


def test_a_step_forward_of_nothing_gives_no_stamp_twice() -> None:
    clock = HybridClock(wall_offset_seconds=10_000)
    before = clock.tick(5.0)
    clock.step(0.0)
    assert clock.tick(5.0) == before + 1


def test_more_ticks_in_a_millisecond_than_the_counter_holds() -> None:
    clock = HybridClock(wall_offset_seconds=0)
    stamps = [clock.tick(1.0) for _ in range(70_000)]
    assert stamps == list(range(1000 << 16, (1000 << 16) + 70_000))
