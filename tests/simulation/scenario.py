"""A mesh and what befalls it, drawn from a seed up front."""

from __future__ import annotations

import random
from typing import Literal, TypeAlias

import attrs

from tests.simulation.events import Argument, Event, Kind

SETTLE_SECONDS = 3.0
"""The mesh is given this long to come up before anything happens."""
CLIENTS = 24
TORRENTS = 4
TTLS_SECONDS = (120, 4500, 4500)
FORGERIES = (
    "own name",
    "gap",
    "future",
    "oversized",
    "rubbish",
    "illegal",
    "unannounced",
    "second end",
    "cut short",
)
COMMANDS = ("reset", "reset full", "disable")
MEMORIES = ("with its snapshot", "with nothing", "saved")
"""What a process that is killed knows again once it is back."""
Release: TypeAlias = Literal["3", "4"]
"""4 is made up: it speaks protocol 4 besides 3, and has a table more, of notes."""
ROLES = ("own", "mesh", "hub")
"""What a liar is believed: what it says of itself; what it says of anybody; and it is a hub."""
NOTES = 6
"""Keys that notes are written under."""


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
    credential: Literal["mesh", "own"] = "mesh"
    """Does it link with the mesh's password, or with one of its own, by which it speaks of its own clients only?"""
    release: Release = "3"


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
            Plan(
                name=name,
                forwards=False,
                hubs=tuple(chosen),
                mode=mode,
                skew_seconds=_skew(rng),
                torrents=torrents,
                credential=rng.choice(("mesh", "mesh", "own")),
            )
        )
    if rng.random() < 1 / 3:
        plans = [attrs.evolve(plan, release=rng.choice(("3", "4"))) for plan in plans]
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
        self._hubs = [plan.name for plan in plans if plan.forwards]
        self._writers = [plan.name for plan in plans if plan.release == "4"]
        self._guests = 0
        """Names that were given out."""
        self._long_lived = long_lived
        self._seconds = rng.choice((15.0, 25.0, 40.0))

    def events(self) -> tuple[Event, ...]:
        rng = self._rng
        events = [self._announce(self._when()) for _ in range(rng.choice((30, 60, 100)))]
        events += [Event(self._when(), "save", (name,)) for name in self._names for _ in range(rng.randrange(3))]
        if self._writers:
            events += [self._note(number) for number in range(rng.choice((4, 10, 20)))]
        if rng.random() < 0.25:
            # More at once than a small log holds.
            begun = self._when()
            events += [self._announce(round(begun + number * 0.02, 2)) for number in range(150)]
        weights: dict[Kind, int] = {
            "cut": 3, "outage": 2, "stall": 2, "half-open": 2, "black hole": 2, "slow": 2, "pause": 2, "crash": 4,
            "clock": 1, "password": 1, "hubs": 1, "access": 1, "swallow": 2, "duplicate": 1, "reorder": 1, "forge": 2,
            "stuck applier": 2, "command": 2, "pair crash": 2, "namesake": 2, "churn": 1, "liar": 1,
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

    def _note(self, number: int) -> Event:
        return Event(
            self._when(), "note", (self._rng.choice(self._writers), self._rng.randrange(NOTES), f"text {number}")
        )

    def _clients(self, least: int, most: int) -> str:
        """Numbers of clients, as one argument."""
        return ",".join(str(self._rng.randrange(CLIENTS)) for _ in range(self._rng.randint(least, most))) or "none"

    def _guest(self, count: int = 1) -> int:
        """The number of a guest that nobody else has; of ``count`` guests, the first one's."""
        first, self._guests = self._guests, self._guests + count
        return first

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
                memory = rng.choice(MEMORIES)
                return rng.choice(self._names), memory, rng.choice(("told", "told", "silent")), self._long() / 2
            case "pair crash":
                memories, told = rng.choices(MEMORIES, k=2), rng.choice(("told", "told", "silent"))
                return edge, *memories, told, self._long() / 2, self._long() / 2
            case "namesake":
                name = rng.choice(self._edges)[0]
                return name, self._clients(0, 4), rng.choice(("told", "silent")), round(rng.uniform(1, 12), 2)
            case "churn":
                count = rng.randint(5, 30)
                clients = " ".join(self._clients(0, 2) for _ in range(count))
                return rng.choice(self._hubs), self._guest(count), clients, round(rng.uniform(0.3, 0.9), 2)
            case "liar":
                name = f"liar-{self._guest()}"
                return name, rng.choice(ROLES), rng.choice(self._hubs), round(rng.uniform(2, 15), 2)
            case "clock":
                by = rng.choice((-86_400.0, -300.0, 300.0, 86_400.0)) if rng.random() < 0.7 else rng.choice((-3.0, 3.0))
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
            case "announce" | "save" | "note":
                raise ValueError(f"{kind} is no fault")
