"""When to dial again: exponential back-off with full jitter, so that a hub that returns is not stampeded.

"Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
"""

from __future__ import annotations

import random


class Backoff:
    """The wait before each attempt; doubles its bound at every failure."""

    def __init__(self, *, min_seconds: float, max_seconds: float, rng: random.Random) -> None:
        self._min_seconds = min_seconds
        self._max_seconds = max_seconds
        self._rng = rng
        self.failures = 0

    def next_seconds(self) -> float:
        """Count a failure and draw the wait until the next attempt."""
        # 2^20 times any sensible minimum is past any sensible maximum.
        bound = min(self._max_seconds, self._min_seconds * 2 ** min(self.failures, 20))
        self.failures += 1
        return self._rng.uniform(min(self._min_seconds, bound) / 2, bound)

    def reset(self) -> None:
        """The link was synced: start from the smallest wait again."""
        self.failures = 0
