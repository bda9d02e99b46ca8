"""Swarms are lacked until a hub that knew enough has sent them."""

from __future__ import annotations

import pytest

from meshtracker.node.lacked_swarms import LackedSwarms
from meshtracker.wire.vector import Position, StreamId, Vector

X, OWN = StreamId("x", 1), StreamId("n", 2)
KNOWN = {X: Position(3, 8), OWN: Position(9, 8)}


def test_nothing_is_lacked_at_first() -> None:
    assert LackedSwarms().latest() == 0


@pytest.mark.parametrize(
    ("theirs", "mine", "has"),
    [
        ({X: Position(3, 8)}, KNOWN, True),
        ({X: Position(2, 8)}, KNOWN, False),
        ({}, KNOWN, False),
        # It has gone here, or was set back in a conflict.
        ({}, {OWN: Position(9, 8)}, True),
        ({X: Position(2, 8)}, {X: Position(2, 8), OWN: Position(9, 8)}, True),
    ],
)
def test_a_hub_makes_good_if_it_knew_as_much(theirs: Vector, mine: Vector, *, has: bool) -> None:
    swarms = LackedSwarms()
    lacked = swarms.lack(dict(KNOWN))
    assert swarms.latest() == lacked
    swarms.have(lacked, theirs, mine, own_name="n")
    assert (swarms.latest() == 0) is has


def test_an_answer_to_an_earlier_time_does_not_make_good_for_a_later_one() -> None:
    swarms = LackedSwarms()
    first, second = swarms.lack({}), swarms.lack({})
    swarms.have(first, {}, {}, own_name="n")
    assert swarms.latest() == second
    swarms.have(second, {}, {}, own_name="n")
    swarms.have(first, {}, {}, own_name="n")
    assert swarms.latest() == 0
