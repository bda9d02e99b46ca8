"""Ends of links to the first of two hubs: when it is dialled again, and whether the second is."""

from __future__ import annotations

import random

import pytest

from meshtracker.link.backoff import Backoff
from meshtracker.link.failover import Failover
from meshtracker.link.redial import Redial

SPLIT = "soft-split (outbound): 3 data frames sent and none confirmed for 15.0 s"
ORDERED = "reset on hub by root: to see it come back"
LOST = "connection lost: Connection reset by peer"


def redial_of(seed: int = 1) -> Redial:
    backoff = Backoff(min_seconds=1, max_seconds=60, steady_seconds=15, rng=random.Random(seed))
    return Redial(0, Failover(2), backoff)


@pytest.mark.parametrize(
    ("ends", "second_is_dialled", "failures"),
    [
        # Of a link that held, only a redial that comes to nothing lets the second in.
        ([(LOST, 3600.0)], False, 1),
        ([(LOST, 3600.0), (LOST, 0.0)], True, 2),
        ([(LOST, 3600.0), (LOST, 3600.0)], False, 1),
        # One that carried nothing, or was lost again and again, lets it in at once.
        ([(SPLIT, 3600.0)], True, 1),
        ([(LOST, 3600.0), (LOST, 1.0)], True, 2),
        ([(SPLIT, 3600.0), (SPLIT, 3600.0)], True, 2),
        ([(SPLIT, 3600.0), (LOST, 3600.0)], False, 1),
        # One that an operator reset is waited for, however often.
        ([(LOST, 0.0), (LOST, 0.0), (ORDERED, 2.0), (ORDERED, 0.5)], False, 1),
        ([(ORDERED, 2.0), (ORDERED, 0.5), (ORDERED, 1.0)], False, 1),
        # Never reached.
        ([(LOST, 0.0)], True, 1),
    ],
)
def test_the_next_hub_is_let_in(ends: list[tuple[str, float]], failures: int, *, second_is_dialled: bool) -> None:
    redial = redial_of()
    for reason, up_seconds in ends:
        if up_seconds:
            redial.failover.note_synced(0)
        redial.wait_seconds(reason, up_seconds)
    assert redial.failover.may_dial(1) is second_is_dialled
    assert redial.backoff.failures == failures


@pytest.mark.parametrize(("reason", "up_seconds"), [(LOST, 0.0), (LOST, 14.9), (SPLIT, 3600.0)])
def test_waits_grow_while_no_link_holds(reason: str, up_seconds: float) -> None:
    longest = [0.0] * 6
    for seed in range(200):
        redial = redial_of(seed)
        longest = [max(wait, redial.wait_seconds(reason, up_seconds)) for wait in longest]
    assert all(0.8 * 2**attempt < wait <= 2**attempt for attempt, wait in enumerate(longest))


def test_a_link_that_held_is_dialled_again_soon() -> None:
    redial = redial_of()
    for _ in range(5):
        redial.wait_seconds(LOST, 0.0)
    assert redial.wait_seconds(LOST, 15.0) <= 1
