"""A token bucket: what may be asked for at once, and over time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtracker.link.allowance import Allowance


def allowance_of(*, most: float = 100.0) -> Allowance:
    return Allowance(per_second=10.0, most=most, now=0.0)


def test_it_is_full_at_first_and_fills_up_at_its_rate() -> None:
    allowance = allowance_of()
    assert allowance.take(100, 0.0)
    assert not allowance.take(1, 0.0)
    assert not allowance.take(10, 0.9)
    assert allowance.take(10, 1.0)
    assert not allowance.take(1, 1.0)


def test_it_never_holds_more_than_its_bound() -> None:
    allowance = allowance_of()
    assert not allowance.take(101, 1e9)
    assert allowance.take(100, 1e9)
    assert not allowance.take(1, 1e9)


def test_what_is_refused_costs_nothing() -> None:
    allowance = allowance_of()
    for _ in range(10):
        assert not allowance.take(101, 0.0)
    assert allowance.take(100, 0.0)


@pytest.mark.parametrize("cost", [0, 0.0])
def test_nothing_can_always_be_had(cost: float) -> None:
    allowance = allowance_of()
    allowance.take(100, 0.0)
    assert allowance.take(cost, 0.0)


@given(st.lists(st.tuples(st.floats(0, 20), st.floats(0, 150)), max_size=60))
def test_whoever_asks_in_whatever_way_gets_no_more(asked: list[tuple[float, float]]) -> None:
    allowance = allowance_of()
    now = spent = 0.0
    for seconds, cost in asked:
        now += seconds
        if allowance.take(cost, now):
            spent += cost
            assert cost <= 100
        assert spent <= 100 + 10 * now + 1e-6
