"""Waits before dialing again."""

from __future__ import annotations

import random

from meshtracker.link.backoff import Backoff


def waits(seed: int, count: int = 30) -> list[float]:
    backoff = Backoff(min_seconds=1, max_seconds=60, rng=random.Random(seed))
    return [backoff.next_seconds() for _ in range(count)]


def test_waits_grow_to_the_maximum_and_no_further() -> None:
    drawn = [waits(seed) for seed in range(300)]
    for attempt in range(30):
        column = [line[attempt] for line in drawn]
        bound = min(60, 2**attempt)
        assert all(0.5 <= wait <= bound for wait in column)
        assert max(column) > 0.9 * bound
        # Full jitter: dialers that lost a hub together do not return together.
        assert attempt == 0 or min(column) < 0.5 + 0.1 * bound


def test_reset_starts_again() -> None:
    backoff = Backoff(min_seconds=1, max_seconds=60, rng=random.Random(1))
    for _ in range(1000):
        backoff.next_seconds()
    assert backoff.failures == 1000
    backoff.reset()
    assert backoff.failures == 0
    assert backoff.next_seconds() <= 1


def test_a_maximum_below_the_minimum_is_a_maximum() -> None:
    backoff = Backoff(min_seconds=10, max_seconds=2, rng=random.Random(1))
    assert all(1 <= backoff.next_seconds() <= 2 for _ in range(50))
