"""Small meshes for tests of one thing each."""

from __future__ import annotations

from tests.simulation.events import Event
from tests.simulation.scenario import Plan, Scenario

HUB = Plan(name="hub-0", forwards=True, hubs=())
LEAF = Plan(name="leaf-0", forwards=False, hubs=("hub-0",))
OTHER_LEAF = Plan(name="leaf-1", forwards=False, hubs=("hub-0",))


def scenario(
    *events: Event, plans: tuple[Plan, ...] = (HUB, LEAF, OTHER_LEAF), seed: int = 1, peer_ttl_seconds: int = 4500
) -> Scenario:
    """A scenario in which all that is not told is harmless."""
    return Scenario(
        seed=seed,
        plans=plans,
        peer_ttl_seconds=peer_ttl_seconds,
        max_log_bytes=1_000_000,
        max_batch_bytes=2_000,
        auto_reset=True,
        by_turns=False,
        events=events,
    )


def clients(home: str, begin: float, seconds: float, *, count: int = 12) -> tuple[Event, ...]:
    """Clients come, complete and go at one node, one after the other."""
    kinds = ("started", "completed", "none", "stopped")
    return tuple(
        Event(
            round(begin + seconds * number / count, 2),
            "announce",
            (home, number % 6, number % 4, kinds[number % 4], number % 2, 4, ""),
        )
        for number in range(count)
    )
