"""What a node says of refreshes is what it does with them itself."""

from __future__ import annotations

import pytest

from meshtracker.model import STAMP_COUNTER_BITS, Event
from meshtracker.swarm.access import Access, AccessMode
from tests.udp_support import HASH, Caller, make_frontend, make_node


@pytest.mark.parametrize("age_seconds", [0.0, 1.0, 899.0, 899.9, 900.0, 901.0])
def test_what_is_due_is_written_again_and_nothing_else(age_seconds: float) -> None:
    node = make_node()
    caller = Caller(make_frontend(node))
    caller.announce()
    [(before, _)] = node.registry.swarms[HASH].v4.entries()
    caller.now = age_seconds
    due_stamp = node.refreshes(age_seconds).due_stamp
    caller.announce(caller.announce_packet(event=Event.NONE))
    [(after, _)] = node.registry.swarms[HASH].v4.entries()
    assert (before.stamp >= due_stamp) is (after == before) is (age_seconds < 900)
    assert after.stamp >> STAMP_COUNTER_BITS in {before.stamp >> STAMP_COUNTER_BITS, node.clock.wall_ms(age_seconds)}


@pytest.mark.parametrize("mode", ["open", "allow", "deny"])
def test_the_access_list_goes_with_it(mode: AccessMode) -> None:
    access = Access(mode, frozenset({HASH}))
    refreshes = make_node(access=access).refreshes(0.0)
    for info_hash in (HASH, bytes(20)):
        listed = refreshes.listed
        served = listed is None or (info_hash in listed) is refreshes.listed_are_served
        assert served is access.allows(info_hash)


def test_those_answered_elsewhere_are_counted() -> None:
    node = make_node()
    frontend = make_frontend(node)
    frontend.count_announces(3)
    assert node.statistics(0.0).tracker.announces == frontend.statistics().announces == 3
