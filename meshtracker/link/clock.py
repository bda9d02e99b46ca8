"""Hybrid logical clock: stamps that follow wall time, and never run backwards.

    stamp (64 bits) = wall milliseconds since the Unix epoch (48 bits) | counter (16 bits)

Kulkarni, Demirbas et al., "Logical Physical Clocks and Consistent Snapshots", 2014. Of theirs one half is enough here:
a write only has to win over the row that it replaces (`tick`), so nobody's stamp ever moves another node's clock.
"""

from __future__ import annotations

from meshtracker.model import STAMP_COUNTER_BITS


class HybridClock:
    """One node's clock. ``now`` is always monotonic seconds; only this class turns it into wall time."""

    __slots__ = ("_last", "wall_offset_seconds")

    def __init__(self, *, wall_offset_seconds: float) -> None:
        """``wall_offset_seconds`` is Unix time minus monotonic time; the node corrects it when wall time is set."""
        self.wall_offset_seconds = wall_offset_seconds
        self._last = 0

    def wall_seconds(self, now: float) -> float:
        """Unix time in seconds."""
        return now + self.wall_offset_seconds

    def wall_ms(self, now: float) -> int:
        """Unix time in milliseconds."""
        return int((now + self.wall_offset_seconds) * 1000)

    def tick(self, now: float) -> int:
        """A stamp greater than every stamp ticked before."""
        stamp = int((now + self.wall_offset_seconds) * 1000) << STAMP_COUNTER_BITS
        if stamp <= self._last:
            stamp = self._last + 1
        self._last = stamp
        return stamp

    def step(self, seconds: float) -> None:
        """Wall time was set, by so many seconds; stamps go on from there, backwards too."""
        self.wall_offset_seconds += seconds
        if seconds < 0:
            self._last = 0
