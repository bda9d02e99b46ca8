"""Cuts a failing schedule down to what it takes to fail: delta debugging (Zeller and Hildebrandt, 2002), bounded."""

from __future__ import annotations

from collections.abc import Callable, Sequence

MAX_RUNS = 200
"""Of the simulation, for one failure: some seconds."""


def shrink(events: Sequence[int], fails: Callable[[Sequence[int]], bool], *, max_runs: int = MAX_RUNS) -> list[int]:
    """The fewest of ``events`` found that still fail; chunks are left out, then smaller ones."""
    left = list(events)
    size = len(left)
    runs = 0
    while size >= 1:
        start = 0
        while start < len(left) and runs < max_runs:
            candidate = left[:start] + left[start + size :]
            runs += 1
            if fails(candidate):
                left = candidate
            else:
                start += size
        size = size // 2
    return left
