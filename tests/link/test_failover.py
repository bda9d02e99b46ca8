"""Which hub is dialled and which link closed, event by event."""

from __future__ import annotations

import itertools
import random

import pytest

from meshtracker.link.failover import Failover

Event = tuple[str, int]


def told(failover: Failover, *events: Event) -> Failover:
    """``("synced", 0)`` and the like; "disabled" and "enabled" are of one hub at a time."""
    for kind, index in events:
        match kind:
            case "synced":
                failover.note_synced(index)
            case "failed":
                failover.note_failed(index)
            case "given up":
                failover.give_up(index)
            case "disabled":
                failover.set_disabled([index])
            case "enabled":
                failover.set_disabled([])
    return failover


def wanted(failover: Failover, count: int = 3) -> list[int]:
    return [index for index in range(count) if failover.may_dial(index)]


@pytest.mark.parametrize(
    ("events", "dialled", "closed"),
    [
        ([], [0], []),
        # Never reached.
        ([("failed", 0)], [0, 1], []),
        ([("failed", 0), ("failed", 1)], [0, 1, 2], []),
        ([("failed", 0), ("failed", 1), ("failed", 2)], [0, 1, 2], []),
        # Linked: those before it go on being dialled.
        ([("synced", 0)], [0], [1, 2]),
        ([("failed", 0), ("synced", 1)], [0, 1], [2]),
        # Lost: only a redial that comes to nothing makes it failed.
        ([("synced", 0), ("failed", 0)], [0], []),
        ([("synced", 0), ("failed", 0), ("synced", 0)], [0], [1, 2]),
        ([("synced", 0), ("failed", 0), ("failed", 0)], [0, 1], []),
        ([("failed", 0), ("synced", 1), ("failed", 1)], [0, 1], []),
        ([("failed", 0), ("synced", 1), ("failed", 1), ("failed", 1)], [0, 1, 2], []),
        # Lost, and no redial is worth waiting for.
        ([("synced", 0), ("given up", 0)], [0, 1], []),
        # One before it is back: the link is closed, and how that ends says nothing.
        ([("failed", 0), ("synced", 1), ("synced", 0)], [0], [1, 2]),
        ([("failed", 0), ("synced", 1), ("synced", 0), ("failed", 1)], [0], [1, 2]),
        ([("failed", 0), ("synced", 1), ("synced", 0), ("failed", 1), ("failed", 0), ("failed", 0)], [0, 1], []),
        ([("failed", 0), ("failed", 1), ("synced", 2), ("synced", 1)], [0, 1], [2]),
        ([("failed", 0), ("failed", 1), ("synced", 2), ("synced", 0)], [0], [1, 2]),
        # One that synced although it was no longer wanted is closed as well, and stands in nobody's way later.
        ([("failed", 0), ("synced", 0), ("synced", 1)], [0], [1, 2]),
        ([("failed", 0), ("synced", 0), ("synced", 1), ("failed", 0), ("failed", 0), ("failed", 1)], [0, 1, 2], []),
        # Disabled: as good as failed, for as long as it is.
        ([("disabled", 0)], [1], []),
        ([("disabled", 1)], [0], []),
        ([("disabled", 1), ("failed", 0)], [0, 2], []),
        ([("synced", 0), ("disabled", 0)], [1], []),
        ([("disabled", 0), ("synced", 1), ("synced", 0)], [1], [2]),
        ([("disabled", 0), ("synced", 1), ("enabled", 0)], [0, 1], [2]),
        ([("disabled", 0), ("synced", 1), ("enabled", 0), ("synced", 0)], [0], [1, 2]),
        ([("disabled", 1), ("failed", 0), ("synced", 0), ("failed", 0), ("failed", 0)], [0, 2], []),
    ],
)
def test_events(events: list[Event], dialled: list[int], closed: list[int]) -> None:
    failover = told(Failover(3), *events)
    assert wanted(failover) == dialled
    assert list(failover.to_close()) == closed


def test_one_hub_alone_is_always_dialled() -> None:
    failover = Failover(1)
    for event in ("failed", "failed", "synced", "failed", "given up", "synced"):
        told(failover, (event, 0))
        assert failover.may_dial(0)
        assert not failover.to_close()


@pytest.mark.parametrize("seed", range(50))
def test_whatever_happens_some_hub_is_wanted_and_none_that_is_to_be_closed(seed: int) -> None:
    rng = random.Random(seed)
    count = rng.randint(1, 5)
    failover = Failover(count)
    for _ in range(300):
        told(failover, (rng.choice(("synced", "failed", "given up")), rng.randrange(count)))
        dialled, closed = wanted(failover, count), set(failover.to_close())
        assert dialled[0] == 0
        assert dialled == list(range(len(dialled)))
        assert not closed & set(dialled)


@pytest.mark.parametrize("events", list(itertools.permutations([("failed", 0), ("failed", 1), ("failed", 2)])))
def test_hubs_that_all_fail_are_all_dialled_in_the_end(events: tuple[Event, ...]) -> None:
    failover = Failover(3)
    for _ in range(3):
        told(failover, *events)
    assert wanted(failover) == [0, 1, 2]
