"""Virtual time: what is to happen, in order; and processes that can be stopped or killed meanwhile."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any

START = 10_000.0
"""Monotonic seconds at the begin of every run."""


class Process:
    """Who something happens to. It gets nothing while it is paused, then all at once; and nothing once it is dead."""

    __slots__ = ("is_dead", "paused_until")

    def __init__(self) -> None:
        self.paused_until = 0.0
        self.is_dead = False


MOST_CALLS_AT_ONCE = 50_000
"""Of one moment: more are a loop that no time passes in."""


class StandstillError(Exception):
    """Somebody asks to be called at once, for ever."""


class Timeline:
    """Calls by time; those of one moment in the order in which they were planned."""

    def __init__(self) -> None:
        self.now = START
        self.calls = 0
        self._heap: list[tuple[float, int, Process | None, Callable[..., object], tuple[Any, ...]]] = []
        self._planned = 0

    def at(self, when: float, process: Process | None, call: Callable[..., object], *arguments: Any) -> None:
        """Plan a call; ``process``: whose code it is, None for the world outside."""
        self._planned += 1
        heapq.heappush(self._heap, (when, self._planned, process, call, arguments))

    def run(self, until: float) -> None:
        """Let everything happen up to a moment."""
        heap = self._heap
        at_once = 0
        while heap and heap[0][0] <= until:
            when, planned, process, call, arguments = heapq.heappop(heap)
            if when > self.now:
                self.now = when
                at_once = 0
            at_once += 1
            if at_once > MOST_CALLS_AT_ONCE:
                raise StandstillError(f"{call.__qualname__} is called without end")
            if process is not None:
                if process.is_dead:
                    continue
                if process.paused_until > self.now:
                    heapq.heappush(heap, (process.paused_until, planned, process, call, arguments))
                    continue
            self.calls += 1
            call(*arguments)
        self.now = until
