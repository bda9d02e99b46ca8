"""When a hub is dialled again, and which of several: waits, the order of hubs, and what the end of a link means."""

from __future__ import annotations

import itertools
import random

import pytest

from meshtracker.errors import CloseCode
from meshtracker.link.dialing import Backoff, Failover, Redial

SPLIT, RESET, LOST = CloseCode.SOFT_SPLIT, CloseCode.RESET, CloseCode.UNREACHABLE

# ---------------------------------------------------------------- waits before dialling again


def backoff_of(seed: int) -> Backoff:
    return Backoff(min_seconds=1, max_seconds=60, steady_seconds=15, rng=random.Random(seed))


def waits_of(seed: int, count: int = 30) -> list[float]:
    backoff = backoff_of(seed)
    return [backoff.next_seconds() for _ in range(count)]


def test_waits_grow_to_the_maximum_and_no_further() -> None:
    drawn = [waits_of(seed) for seed in range(300)]
    for attempt in range(30):
        column = [line[attempt] for line in drawn]
        bound = min(60, 2**attempt)
        assert all(0 <= wait <= bound for wait in column)
        assert max(column) > 0.9 * bound


def test_dialers_that_lost_a_hub_together_do_not_return_together() -> None:
    # Full jitter: of 300 that wait for up to 8 s, each second gets its share.
    column = [waits_of(seed)[3] for seed in range(300)]
    shares = [sum(second <= wait < second + 1 for wait in column) for second in range(8)]
    assert sum(shares) == 300
    assert max(shares) < 2 * 300 / 8
    assert min(shares) > 300 / 8 / 2


def test_reset_starts_again() -> None:
    backoff = backoff_of(1)
    for _ in range(1000):
        backoff.next_seconds()
    assert backoff.failures == 1000
    backoff.reset()
    assert backoff.failures == 0
    assert backoff.next_seconds() <= 1


@pytest.mark.parametrize(
    ("up_seconds", "was_split", "starts_again"),
    [(0.1, False, False), (14.9, False, False), (15, False, True), (3600, False, True), (3600, True, False)],
)
def test_only_a_link_that_held_starts_again(up_seconds: float, *, was_split: bool, starts_again: bool) -> None:
    backoff = backoff_of(1)
    for _ in range(5):
        backoff.next_seconds()
    backoff.link_ended(up_seconds, was_split=was_split)
    assert backoff.failures == (0 if starts_again else 5)


def test_a_path_that_is_broken_for_data_is_no_fast_loop_of_resets() -> None:
    """Each link lives until its soft-split is found; the waits between them grow all the same."""
    backoff = backoff_of(1)
    drawn = []
    for _ in range(40):
        backoff.link_ended(15.2, was_split=True)
        drawn.append(backoff.next_seconds())
    assert sum(drawn[20:]) / 20 > 20


def test_a_maximum_below_the_minimum_is_a_maximum() -> None:
    backoff = Backoff(min_seconds=10, max_seconds=2, steady_seconds=15, rng=random.Random(1))
    assert all(0 <= backoff.next_seconds() <= 2 for _ in range(50))


# ---------------------------------------------------------------- which hub is dialled and which link is closed

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
def test_what_each_event_means_for_dialling(events: list[Event], dialled: list[int], closed: list[int]) -> None:
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


# ---------------------------------------------------------------- ends of links to the first of two hubs


def redial_of(seed: int = 1) -> Redial:
    return Redial(0, Failover(2), backoff_of(seed))


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
        ([(LOST, 0.0), (LOST, 0.0), (RESET, 2.0), (RESET, 0.5)], False, 1),
        ([(RESET, 2.0), (RESET, 0.5), (RESET, 1.0)], False, 1),
        # Never reached.
        ([(LOST, 0.0)], True, 1),
    ],
)
def test_when_the_next_is_dialled(
    ends: list[tuple[CloseCode, float]], failures: int, *, second_is_dialled: bool
) -> None:
    redial = redial_of()
    for code, up_seconds in ends:
        if up_seconds:
            redial.failover.note_synced(0)
        redial.wait_seconds(code, up_seconds)
    assert redial.failover.may_dial(1) is second_is_dialled
    assert redial.backoff.failures == failures


@pytest.mark.parametrize(("code", "up_seconds"), [(LOST, 0.0), (LOST, 14.9), (SPLIT, 3600.0)])
def test_waits_grow_while_no_link_holds(code: CloseCode, up_seconds: float) -> None:
    longest = [0.0] * 6
    for seed in range(200):
        redial = redial_of(seed)
        longest = [max(wait, redial.wait_seconds(code, up_seconds)) for wait in longest]
    assert all(0.8 * 2**attempt < wait <= 2**attempt for attempt, wait in enumerate(longest))


@pytest.mark.parametrize("code", [code for code in CloseCode if code not in (CloseCode.RESET, CloseCode.SOFT_SPLIT)])
def test_every_other_code_is_a_lost_link(code: CloseCode) -> None:
    """Whatever the two ends said of it: the next hub is tried if it did not hold, and only then."""
    short, long = redial_of(), redial_of()
    for redial, up_seconds in ((short, 1.0), (long, 3600.0)):
        redial.wait_seconds(LOST, 0.0)
        redial.failover.note_synced(0)
        redial.wait_seconds(code, up_seconds)
    assert (short.failover.may_dial(1), short.backoff.failures) == (True, 2)
    assert (long.failover.may_dial(1), long.backoff.failures) == (False, 1)


def test_a_link_that_held_is_dialled_again_soon() -> None:
    redial = redial_of()
    for _ in range(5):
        redial.wait_seconds(LOST, 0.0)
    assert redial.wait_seconds(LOST, 15.0) <= 1
