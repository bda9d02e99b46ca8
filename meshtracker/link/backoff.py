"""When to dial again: exponential back-off with full jitter, so that a hub that returns is not stampeded.

"Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
"""

from __future__ import annotations

import random


class Backoff:
    """The wait before each attempt; doubles its bound at every failure."""

    def __init__(self, *, min_seconds: float, max_seconds: float, steady_seconds: float, rng: random.Random) -> None:
        """``steady_seconds``, above 0: a link that was up for less is one more failure."""
        self._min_seconds = min_seconds
        self._max_seconds = max_seconds
        self._steady_seconds = steady_seconds
        self._rng = rng
        self.failures = 0

    def next_seconds(self) -> float:
        """Count a failure and draw the wait until the next attempt."""
        # 2^20 times any sensible minimum is past any sensible maximum.
        bound = min(self._max_seconds, self._min_seconds * 2 ** min(self.failures, 20))
        self.failures += 1
        return self._rng.uniform(0, bound)

    def link_ended(self, up_seconds: float, *, was_split: bool) -> None:
        """A link ended that had been synced for so long: start from the smallest wait again if it can be trusted.

        Not after a soft-split, nor if it broke at once: over a path that is broken for data alone it would be made and
        reset in a fast loop.
        """
        if up_seconds >= self._steady_seconds and not was_split:
            self.reset()

    def reset(self) -> None:
        """Start from the smallest wait again."""
        self.failures = 0
