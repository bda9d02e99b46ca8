"""Counts of a swarm in two address families, and its completed downloads."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtracker.model import PeerState, ScrapeAnswer
from meshtracker.swarm.peers import Row
from meshtracker.swarm.swarm import Swarm

STATES = st.sampled_from(PeerState)


def identity_of(number: int) -> bytes:
    return number.to_bytes(24, "big")


@given(
    st.lists(
        st.tuples(st.sampled_from([6, 18]), st.integers(0, 8), STATES, st.booleans()),
        max_size=60,
    )
)
def test_a_client_in_both_families_is_counted_once(steps: list[tuple[int, int, PeerState, bool]]) -> None:
    swarm = Swarm()
    known: dict[tuple[int, int], PeerState] = {}
    for size, number, state, drops in steps:
        pack = swarm.pack(size)
        position = pack.find(identity_of(number))
        if drops:
            if position >= 0:
                swarm.drop(pack, position)
                del known[size, number]
        else:
            swarm.put(pack, position, Row(identity_of(number), 0, 0, state), bytes([number]) * size)
            known[size, number] = state
        clients: dict[int, PeerState] = {}
        # With a different state in each family the client counts as what it is over IPv4.
        for (_, client), found in sorted(known.items(), reverse=True):
            if found is not PeerState.REMOVED:
                clients[client] = found
        states = list(clients.values())
        seeders = states.count(PeerState.SEEDER)
        partials = states.count(PeerState.PARTIAL)
        incomplete = len(states) - seeders
        assert swarm.counts() == ScrapeAnswer(seeders, incomplete, 0, incomplete - partials)
        assert len(swarm) == len(known)
        assert swarm.live == sum(found is not PeerState.REMOVED for found in known.values())


def test_there_is_no_ipv6_pack_until_there_is_an_ipv6_peer() -> None:
    swarm = Swarm()
    assert swarm.packs() == (swarm.v4,)
    six = swarm.pack(18)
    assert swarm.packs() == (swarm.v4, six)


@pytest.mark.parametrize("totals", [[(0, 3), (1, 4)], [(1, 4), (0, 3)], [(0, 1), (1, 4), (0, 3), (0, 2)]])
def test_completed_downloads_add_up_over_origins_and_never_go_back(totals: list[tuple[int, int]]) -> None:
    swarm = Swarm()
    for origin, total in totals:
        swarm.count_completed(origin, total)
    _, _, downloaded, _ = swarm.counts()
    assert downloaded == 7


def test_count_completed_says_what_is_new() -> None:
    swarm = Swarm()
    assert [swarm.count_completed(0, total) for total in (2, 2, 1, 3)] == [True, False, False, True]
