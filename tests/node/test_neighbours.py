"""What is remembered of other nodes, and how they are found again."""

from __future__ import annotations

from meshtracker.link.split import Verdict
from meshtracker.node.commands import Disabled
from meshtracker.node.neighbours import MAX_NEIGHBOURS, Neighbours

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
