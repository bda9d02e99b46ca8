"""Interleaved rounds, and what is said of their figures: a machine drifts, so what is compared is measured in turn."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

import attrs

Subject = TypeVar("Subject", bound=Hashable)
Figure = TypeVar("Figure")


@attrs.frozen(kw_only=True)
class Effort:
    """How much is measured; what is None is left to each part."""

    quick: bool = False
    """Two minutes, not an hour: two rounds of a second, unless told otherwise."""
    rounds: int | None = None
    seconds: float | None = None
    """Of one measurement."""
    sizes: tuple[int, ...] = ()
    """Of the parts that measure growth."""

    @property
    def arguments(self) -> list[str]:
        """The same on a command line."""
        words = [] if self.rounds is None else ["--rounds", str(self.rounds)]
        words += [] if self.seconds is None else ["--seconds", f"{self.seconds:g}"]
        return words + (["--sizes", *map(str, self.sizes)] if self.sizes else [])

    def count(self, rounds: int) -> int:
        """Rounds of a part that wants so many."""
        return self.rounds or (2 if self.quick else rounds)

    def length(self, seconds: float) -> float:
        """Seconds of a measurement that should last so long."""
        return self.seconds or (1.0 if self.quick else seconds)


def interleaved(
    rounds: int, subjects: Sequence[Subject], measure: Callable[[Subject], Figure], *, what: str
) -> dict[Subject, list[Figure]]:
    """Each subject once a round, in turn; the same place in two lists is the same round."""
    found: dict[Subject, list[Figure]] = {subject: [] for subject in subjects}
    for number in range(rounds):
        for at, subject in enumerate(subjects):
            say(f"{what}: round {number + 1} of {rounds}, {at + 1} of {len(subjects)}")
            found[subject].append(measure(subject))
    return found


def say(text: str) -> None:
    """Where the run has got to, for who waits for it."""
    print(text, file=sys.stderr, flush=True)


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Round by round."""
    return [our / their for our, their in zip(ours, theirs, strict=True)]


def spread(values: Sequence[float], digits: int = 0) -> str:
    """Median and range; a dash if nothing was measured."""
    if not values:
        return "-"
    middle, least, most = (f"{value:,.{digits}f}" for value in (statistics.median(values), min(values), max(values)))
    return f"{middle} ({least}-{most})" if len(values) > 1 else middle


def verdict(is_met: bool) -> str:
    """Of a goal."""
    return "yes" if is_met else "no"
