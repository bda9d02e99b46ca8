"""What happens in a simulated mesh: plain frozen values, so that a schedule can be printed, cut down and run again."""

from __future__ import annotations

from typing import Literal, TypeAlias

import attrs

Kind: TypeAlias = Literal[
    "announce",
    "save",
    "note",
    "command",
    "cut",
    "outage",
    "stall",
    "half-open",
    "black hole",
    "slow",
    "pause",
    "crash",
    "clock",
    "password",
    "hubs",
    "access",
    "swallow",
    "duplicate",
    "reorder",
    "forge",
    "stuck applier",
    "pair crash",
    "namesake",
    "churn",
    "liar",
]

HARMLESS: frozenset[Kind] = frozenset({"announce", "save", "note"})
"""What belongs to a good day."""

Argument: TypeAlias = str | int | float


@attrs.frozen
class Event:
    """One thing that happens ``at`` seconds after the start; what the arguments mean is said in `deeds`."""

    at: float
    kind: Kind
    arguments: tuple[Argument, ...]

    def __str__(self) -> str:
        return f"{self.at:8.2f} s  {self.kind:<13} {' '.join(map(str, self.arguments))}"
