"""Waits before dialing again."""

from __future__ import annotations

import random

import pytest

from meshtracker.link.backoff import Backoff


def backoff_of(seed: int) -> Backoff:
    return Backoff(min_seconds=1, max_seconds=60, steady_seconds=15, rng=random.Random(seed))


def waits(seed: int, count: int = 30) -> list[float]:
    backoff = backoff_of(seed)
    return [backoff.next_seconds() for _ in range(count)]


def test_waits_grow_to_the_maximum_and_no_further() -> None:
    drawn = [waits(seed) for seed in range(300)]
    for attempt in range(30):
        column = [line[attempt] for line in drawn]
        bound = min(60, 2**attempt)
        assert all(0 <= wait <= bound for wait in column)
        assert max(column) > 0.9 * bound


def test_dialers_that_lost_a_hub_together_do_not_return_together() -> None:
    # Full jitter: of 300 that wait for up to 8 s, each second gets its share.
    column = [waits(seed)[3] for seed in range(300)]
    shares = [sum(second <= wait < second + 1 for wait in column) for second in range(8)]
    assert sum(shares) == 300
    assert max(shares) < 2 * 300 / 8
    assert min(shares) > 300 / 8 / 2


def test_reset_starts_again() -> None:
    backoff = backoff_of(1)
    for _ in range(1000):
        backoff.next_seconds()
    assert backoff.failures == 1000
    backoff.reset()
    assert backoff.failures == 0
    assert backoff.next_seconds() <= 1


@pytest.mark.parametrize(
    ("up_seconds", "was_split", "starts_again"),
    [(0.1, False, False), (14.9, False, False), (15, False, True), (3600, False, True), (3600, True, False)],
)
def test_only_a_link_that_held_starts_again(up_seconds: float, *, was_split: bool, starts_again: bool) -> None:
    backoff = backoff_of(1)
    for _ in range(5):
        backoff.next_seconds()
    backoff.link_ended(up_seconds, was_split=was_split)
    assert backoff.failures == (0 if starts_again else 5)


def test_a_path_that_is_broken_for_data_is_no_fast_loop_of_resets() -> None:
    """Each link lives until its soft-split is found; the waits between them grow all the same."""
    backoff = backoff_of(1)
    drawn = []
    for _ in range(40):
        backoff.link_ended(15.2, was_split=True)
        drawn.append(backoff.next_seconds())
    assert sum(drawn[20:]) / 20 > 20


def test_a_maximum_below_the_minimum_is_a_maximum() -> None:
    backoff = Backoff(min_seconds=10, max_seconds=2, steady_seconds=15, rng=random.Random(1))
    assert all(0 <= backoff.next_seconds() <= 2 for _ in range(50))
