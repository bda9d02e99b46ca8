"""A mesh and what befalls it, drawn from a seed up front."""

from __future__ import annotations

import random
from typing import Literal

import attrs

from tests.simulation.events import Argument, Event, Kind

SETTLE_SECONDS = 3.0
"""The mesh is given this long to come up before anything happens."""
CLIENTS = 24
TORRENTS = 4
TTLS_SECONDS = (120, 4500, 4500)
FORGERIES = (
    "forged origin",
    "own name",
    "gap",
    "future",
    "oversized",
    "rubbish",
    "illegal",
    "unannounced",
    "cut short",
)
COMMANDS = ("reset", "reset full", "disable")


@attrs.frozen(kw_only=True)
class Plan:
    """One node."""

    name: str
    forwards: bool
    hubs: tuple[str, ...]
    """Those that it dials."""
    mode: Literal["mirror", "failover"] = "mirror"
    skew_seconds: float = 0.0
    torrents: tuple[int, ...] | None = None
    """What its access list allows; None: all."""


@attrs.frozen(kw_only=True)
class Scenario:
    """Everything that a run needs, besides the dice that networks throw."""

    seed: int
    plans: tuple[Plan, ...]
    peer_ttl_seconds: int
    max_log_bytes: int
    max_batch_bytes: int
    auto_reset: bool
    by_turns: bool
    """Is each frame applied in a turn of its own, and no more read meanwhile?"""
    events: tuple[Event, ...]

    @property
    def edges(self) -> list[tuple[str, str]]:
        """Who dials whom."""
        return [(plan.name, hub) for plan in self.plans for hub in plan.hubs]


def draw(seed: int) -> Scenario:
    """The scenario of a seed."""
    rng = random.Random(f"scenario {seed}")
    plans = _graph(rng)
    peer_ttl_seconds = rng.choice(TTLS_SECONDS)
    small = rng.random() < 0.5
    events = _Author(rng, plans, long_lived=peer_ttl_seconds > 1000).events()
    return Scenario(
        seed=seed,
        plans=plans,
        peer_ttl_seconds=peer_ttl_seconds,
        max_log_bytes=rng.choice((2_500, 6_000)) if small else 1_000_000,
        max_batch_bytes=rng.choice((400, 2_000)),
        auto_reset=rng.random() < 0.75,
        by_turns=rng.random() < 0.2,
        events=events,
    )


def _graph(rng: random.Random) -> tuple[Plan, ...]:
    """Hubs linked as a tree and then some more, and leaves at one or several of them; all hang together."""
    hubs = [f"hub-{index}" for index in range(rng.choice((1, 1, 1, 2, 2, 3, 4)))]
    leaves = [f"leaf-{index}" for index in range(rng.choice((1, 2, 2, 3, 3, 4, 6, 8)))]
    plans = []
    for index, name in enumerate(hubs):
        dialled = [rng.choice(hubs[:index])] if index else []
        dialled += [hub for hub in hubs[:index] if hub not in dialled and rng.random() < 0.4]
        plans.append(Plan(name=name, forwards=True, hubs=tuple(dialled), skew_seconds=_skew(rng)))
    if len(hubs) > 1 and rng.random() < 0.2:
        # They list each other.
        plans[0] = attrs.evolve(plans[0], hubs=("hub-1",))
    for name in leaves:
        chosen = rng.sample(hubs, rng.randint(1, min(3, len(hubs))))
        mode: Literal["mirror", "failover"] = rng.choice(("mirror", "failover")) if len(chosen) > 1 else "mirror"
        torrents = tuple(sorted(rng.sample(range(TORRENTS), 2))) if rng.random() < 0.2 else None
        plans.append(
            Plan(name=name, forwards=False, hubs=tuple(chosen), mode=mode, skew_seconds=_skew(rng), torrents=torrents)
        )
    return tuple(plans)


def _skew(rng: random.Random) -> float:
    return rng.choice((0.0, 0.0, round(rng.uniform(-2, 2), 2)))


class _Author:
    """Writes one schedule."""

    def __init__(self, rng: random.Random, plans: tuple[Plan, ...], *, long_lived: bool) -> None:
        self._rng = rng
        self._plans = plans
        self._names = [plan.name for plan in plans]
        self._edges = [(plan.name, hub) for plan in plans for hub in plan.hubs]
        self._many_hubs = [plan for plan in plans if len(plan.hubs) > 1 and not plan.forwards]
        self._leaves = [plan.name for plan in plans if not plan.forwards]
        self._long_lived = long_lived
        self._seconds = rng.choice((15.0, 25.0, 40.0))

    def events(self) -> tuple[Event, ...]:
        rng = self._rng
        events = [self._announce(self._when()) for _ in range(rng.choice((30, 60, 100)))]
        events += [Event(self._when(), "save", (name,)) for name in self._names for _ in range(rng.randrange(3))]
        if rng.random() < 0.25:
            # More at once than a small log holds.
            begun = self._when()
            events += [self._announce(round(begun + number * 0.02, 2)) for number in range(150)]
        weights: dict[Kind, int] = {
            "cut": 3, "outage": 2, "stall": 2, "half-open": 2, "black hole": 2, "slow": 2, "pause": 2, "crash": 4,
            "clock": 1, "password": 1, "hubs": 1, "access": 1, "swallow": 2, "duplicate": 1, "reorder": 1, "forge": 2,
            "stuck applier": 2, "command": 2,
        }  # fmt: skip
        for kind in rng.choices([*weights], [*weights.values()], k=rng.choice((1, 2, 4, 7))):
            arguments = self._arguments(kind)
            if arguments is not None:
                events.append(Event(self._when(), kind, arguments))
        return tuple(sorted(events, key=lambda event: event.at))

    def _when(self) -> float:
        return round(self._rng.uniform(0, self._seconds), 2)

    def _long(self) -> float:
        """Of a fault: most are over before anybody can tell, or last until they are found."""
        return round(self._rng.choice((self._rng.uniform(0.2, 12), self._rng.uniform(22, 35))), 2)

    def _announce(self, at: float) -> Event:
        rng = self._rng
        client = rng.randrange(CLIENTS)
        home = self._names[client % len(self._names)] if rng.random() < 0.8 else rng.choice(self._names)
        event = rng.choice(("none", "none", "started", "stopped", "completed", "paused"))
        family = 6 if rng.random() < 0.2 else 4
        variant = rng.choice(("", "", "", "", "", "", "other id", "other port", "no key"))
        return Event(
            at, "announce", (home, client, rng.randrange(TORRENTS), event, rng.choice((0, 1)), family, variant)
        )

    def _arguments(self, kind: Kind) -> tuple[Argument, ...] | None:
        """What a fault of some kind needs to be told; None if this mesh cannot have it."""
        rng = self._rng
        edge = "~".join(rng.choice(self._edges))
        way = rng.choice(("up", "down"))
        match kind:
            case "cut":
                return edge, rng.choice((0, 3, 20, 200, 1000))
            case "outage":
                return edge, self._long()
            case "stall":
                return edge, way, self._long()
            case "half-open":
                return edge, way
            case "black hole":
                return edge, way, rng.choice((60, 150, 300, 600)), self._long()
            case "slow":
                return edge, way, rng.choice((5, 1000, 5000)), self._long()
            case "pause":
                return rng.choice(self._names), self._long()
            case "crash":
                memory = rng.choice(("with its snapshot", "with nothing", "saved"))
                return rng.choice(self._names), memory, rng.choice(("told", "told", "silent")), self._long() / 2
            case "clock":
                by = rng.choice((-300.0, 300.0)) if self._long_lived and rng.random() < 0.5 else rng.choice((-3.0, 3.0))
                return rng.choice(self._names), by, self._long()
            case "password":
                return rng.choice(self._names), self._long()
            case "hubs":
                return (rng.choice(self._many_hubs).name,) if self._many_hubs else None
            case "access":
                name = rng.choice(self._leaves)
                allowed = sorted(rng.sample(range(TORRENTS), rng.randint(1, TORRENTS)))
                return name, ",".join(map(str, allowed))
            case "swallow":
                return edge, way, self._long()
            case "duplicate" | "reorder":
                return edge, way
            case "forge":
                return edge, way, rng.choice(FORGERIES)
            case "stuck applier":
                return edge, way, self._long()
            case "command":
                return edge, way, rng.choice(COMMANDS), round(rng.uniform(1, 10), 2)
            case "announce" | "save":
                raise ValueError(f"{kind} is no fault")
