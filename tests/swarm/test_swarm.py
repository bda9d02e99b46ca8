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


def test_completed_downloads_add_up_over_nodes() -> None:
    swarm = Swarm()
    assert swarm.completed is None
    swarm.set_completed("a", (3, 100, 1))
    swarm.set_completed("b", (4, 100, 2))
    assert swarm.counts() == ScrapeAnswer(0, 0, 7, 0)
    # A figure takes the place of the one before, also if it is of another stream of that node.
    swarm.set_completed("a", (5, 90, 3))
    assert swarm.counts()[2] == swarm.downloaded == 9
    assert swarm.completed == {"a": (5, 90, 3), "b": (4, 100, 2)}


def test_a_figure_that_is_taken_out_counts_no_more() -> None:
    swarm = Swarm()
    swarm.set_completed("a", (3, 100, 1))
    swarm.set_completed("b", (4, 100, 2))
    assert swarm.take_completed("a") == (3, 100, 1)
    assert swarm.counts()[2] == 4
    for name in ("a", "c"):
        with pytest.raises(KeyError):
            swarm.take_completed(name)
    assert swarm.take_completed("b") == (4, 100, 2)
    # Most swarms never have one, and are smaller without a dictionary.
    assert swarm.completed is None
    with pytest.raises(KeyError):
        swarm.take_completed("b")
    assert swarm.counts()[2] == 0


def test_a_swarm_of_filled_packs_counts_clients_in_both_families_once() -> None:
    source = Swarm()
    for size in (6, 18):
        for number in range(3):
            source.put(source.pack(size), -1, Row(identity_of(number), 0, 0, PeerState.SEEDER), bytes([number]) * size)
    made = Swarm.from_packs(source.v4, source.v6)
    assert made.counts() == source.counts() == ScrapeAnswer(3, 0, 0, 0)
    assert Swarm.from_packs(source.v4, None).counts() == ScrapeAnswer(3, 0, 0, 0)
