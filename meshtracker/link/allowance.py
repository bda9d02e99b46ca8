"""How much work a peer may ask for: a token bucket, so that no frame can ask for more than it may cost."""

from __future__ import annotations


class Allowance:
    """Fills up at a steady rate, up to a bound."""

    def __init__(self, *, per_second: float, most: float, now: float) -> None:
        self._per_second = per_second
        self._most = self._left = most
        self._at = now

    def take(self, cost: float, now: float) -> bool:
        """Spend so much of it; False if that is not there, and then nothing is spent."""
        self._left = min(self._most, self._left + (now - self._at) * self._per_second)
        self._at = now
        if cost > self._left:
            return False
        self._left -= cost
        return True
