"""What is remembered of other nodes, and how they are found again."""

from __future__ import annotations

import pytest

from meshtracker.link.split import Verdict
from meshtracker.node.commands import Disabled
from meshtracker.node.neighbours import FORGIVEN_SECONDS, MAX_NEIGHBOURS, MAX_PENALTY_SECONDS, Neighbours, Penalty

WHY = Disabled(caller="alice", reason="repairs")
HUB = "hub.example.org:59100"


def test_a_hub_is_found_by_its_address_and_once_it_was_reached_by_its_name_too() -> None:
    known = Neighbours()
    known.dial(HUB)
    unnamed = known.find(HUB)
    assert unnamed is not None
    assert known.find("hub") is None
    assert [(one.name, one.address) for one in known.statistics(0)] == [("", HUB)]
    unnamed.resets, unnamed.wants_everything = 2, True
    hub = known.meet("hub", dialed=HUB)
    assert known.find(HUB) is known.find("hub") is hub
    assert (hub.resets, hub.wants_everything) == (2, True)
    assert [(one.name, one.address) for one in known.statistics(0)] == [("hub", HUB)]
    known.dial(HUB)
    assert known.all() == [hub]


def test_another_node_at_the_address_of_a_hub() -> None:
    known = Neighbours()
    known.dial(HUB)
    old, new = known.meet("old", dialed=HUB), known.meet("new", dialed=HUB)
    assert known.find(HUB) is new
    assert known.find("old") is old
    assert [(one.name, one.address) for one in known.statistics(0)] == [("new", HUB), ("old", "")]


def test_disabled_by_any_of_its_names_is_disabled_by_all() -> None:
    known = Neighbours()
    known.dial(HUB)
    known.meet("hub", dialed=HUB)
    known.set_disabled(known.find("hub"), WHY)
    assert known.disabled(HUB) is known.disabled("hub") is WHY
    assert known.disabled("leaf") is None
    known.set_disabled(known.find(HUB), None)
    assert known.disabled("hub") is None


def test_a_hub_disabled_before_it_was_reached_stays_so() -> None:
    known = Neighbours()
    known.dial(HUB)
    known.set_disabled(known.find(HUB), WHY)
    assert known.meet("hub", dialed=HUB).disabled is WHY


def test_all_means_those_to_come_as_well() -> None:
    known = Neighbours()
    known.meet("a")
    known.set_disabled(None, WHY)
    known.dial(HUB)
    assert known.disabled("a") is known.disabled("never met") is known.disabled(HUB) is WHY
    assert known.meet("b").disabled is WHY
    known.set_disabled(known.find("a"), None)
    assert known.disabled("a") is known.meet("a").disabled is None
    assert known.disabled("b") is WHY
    known.set_disabled(None, None)
    assert known.disabled("b") is known.disabled("never met") is known.disabled(HUB) is None


def test_no_more_than_so_many_are_remembered() -> None:
    known = Neighbours()
    known.dial(HUB)
    known.meet("hub", dialed=HUB)
    disabled = known.meet("disabled")
    known.set_disabled(disabled, WHY)
    known.meet("old")
    for number in range(2 * MAX_NEIGHBOURS):
        known.meet("often")
        known.meet(f"leaf-{number}")
    assert len(known.all()) == MAX_NEIGHBOURS
    assert known.find("old") is known.find("leaf-0") is None
    assert None not in [
        known.find(name) for name in ("hub", HUB, "disabled", "often", f"leaf-{2 * MAX_NEIGHBOURS - 1}")
    ]


def test_while_all_are_disabled_strangers_are_forgotten_before_one_that_was_let_in() -> None:
    known = Neighbours()
    friend = known.meet("friend")
    known.set_disabled(None, WHY)
    known.set_disabled(friend, None)
    for number in range(2 * MAX_NEIGHBOURS):
        known.meet(f"leaf-{number}")
    assert len(known.all()) == MAX_NEIGHBOURS
    assert known.disabled("friend") is None


def test_statistics() -> None:
    known = Neighbours()
    leaf = known.meet("leaf")
    leaf.soft_splits, leaf.resets, leaf.split_resets, leaf.wants_everything = 3, 1, 2, True
    [before] = known.statistics(100.0)
    assert (before.verdict, before.verdict_rule, before.verdict_seconds_ago, before.disabled) == ("", "", 0.0, None)
    leaf.verdict, leaf.verdict_at, leaf.disabled = Verdict("inbound", 15.0, "the peer is ahead by 3"), 40.0, WHY
    [after] = known.statistics(100.0)
    assert (after.name, after.soft_splits, after.resets, after.split_resets) == ("leaf", 3, 1, 2)
    assert (after.verdict, after.verdict_rule, after.verdict_seconds_ago) == ("the peer is ahead by 3", "inbound", 60.0)
    assert (after.disabled, after.wants_everything) == (WHY, True)
    assert (after.breaches, after.breach, after.refused_for_seconds) == (0, "", 0.0)
    leaf.penalty.breach("a batch that nobody can read", 99.0)
    leaf.penalty.breach("another one", 99.5)
    [refused] = known.statistics(100.0)
    assert (refused.breaches, refused.breach, refused.refused_for_seconds) == (2, "another one", 1.5)


def test_who_breaks_the_protocol_waits_twice_as_long_each_time_up_to_a_minute() -> None:
    penalty, now = Penalty(), 1000.0
    assert penalty.wait_seconds(now) == 0
    waits = []
    for _ in range(9):
        penalty.breach("again", now)
        waits.append(penalty.wait_seconds(now))
        assert penalty.wait_seconds(now + waits[-1] / 2) == waits[-1] / 2
        now += waits[-1]
        assert penalty.wait_seconds(now) == penalty.wait_seconds(now + 1) == 0
    assert waits == [1, 2, 4, 8, 16, 32, MAX_PENALTY_SECONDS, MAX_PENALTY_SECONDS, MAX_PENALTY_SECONDS]
    assert penalty.breaches == 9


@pytest.mark.parametrize(("later_seconds", "wait_seconds"), [(0.0, 8), (FORGIVEN_SECONDS, 8), (601.0, 1)])
def test_after_a_while_without_a_breach_the_next_counts_as_the_first(later_seconds: float, wait_seconds: float) -> None:
    penalty, now = Penalty(), 1000.0
    for _ in range(3):
        penalty.breach("again", now)
    now += 4 + later_seconds
    penalty.breach("again", now)
    assert penalty.wait_seconds(now) == wait_seconds


def test_forgetting_a_node_leaves_what_is_configured() -> None:
    known = Neighbours()
    known.dial(HUB)
    for name, dialed in (("leaf", ""), ("hub", HUB)):
        neighbour = known.meet(name, dialed=dialed)
        neighbour.soft_splits = 3
        neighbour.penalty.breach("it lied", 0.0)
        known.forget(neighbour)
        assert known.find(name) is None
    hub = known.find(HUB)
    assert hub is not None
    assert (hub.soft_splits, hub.penalty.breaches, known.all()) == (0, 0, [hub])
    # Once it is reached it has its name again.
    assert known.meet("hub", dialed=HUB) is known.find(HUB)


def test_a_hub_is_forgotten_before_it_was_ever_reached() -> None:
    known = Neighbours()
    known.dial(HUB)
    known.set_disabled(known.find(HUB), WHY)
    hub = known.find(HUB)
    assert hub is not None
    known.forget(hub)
    # That no link is wanted is a decision, not a memory.
    assert known.disabled(HUB) is WHY
    assert [(one.name, one.address) for one in known.statistics(0)] == [("", HUB)]


def test_what_holds_for_everybody_holds_for_one_that_was_forgotten() -> None:
    known = Neighbours()
    known.dial(HUB)
    known.set_disabled(None, WHY)
    for name in (HUB, "leaf"):
        neighbour = known.find(name) or known.meet(name)
        known.set_disabled(neighbour, None)
        assert known.disabled(name) is None
        known.forget(neighbour)
        assert known.disabled(name) is WHY
