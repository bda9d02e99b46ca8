"""Who gets whom: never oneself, nobody twice, seeders not to seeders, everybody else with the same chance."""

from __future__ import annotations

import itertools
import random
from collections import Counter

import pytest

from meshtracker.model import PeerState
from meshtracker.swarm.peers import PeerPack, Row
from meshtracker.swarm.selection import choose, chosen_addresses


def pack_of(leechers: int, seeders: int, tombstones: int = 2) -> PeerPack:
    pack = PeerPack(6)
    states = [PeerState.LEECHER] * leechers + [PeerState.SEEDER] * seeders + [PeerState.REMOVED] * tombstones
    for number, state in enumerate(states):
        pack.put(-1, Row(number.to_bytes(24, "big"), 0, 0, state), number.to_bytes(6, "big"))
    return pack


def positions(pack: PeerPack, wanted: int, *, asker: int, seeding: bool, rng: random.Random) -> list[int]:
    ranges = choose(pack, wanted, asker=asker, seeding=seeding, random=rng.random)
    return [position for start, stop in ranges for position in range(start, stop)]


@pytest.mark.parametrize("seeding", [False, True])
def test_every_small_case(seeding: bool) -> None:
    rng = random.Random(1)
    for leechers, seeders in itertools.product(range(6), range(6)):
        pack = pack_of(leechers, seeders)
        candidates = set(range(leechers if seeding else leechers + seeders))
        for asker, wanted, _ in itertools.product(range(-1, len(pack)), range(9), range(6)):
            got = positions(pack, wanted, asker=asker, seeding=seeding, rng=rng)
            others = candidates - {asker}
            assert len(got) == len(set(got)) == min(wanted, len(others)), (leechers, seeders, asker, wanted)
            assert set(got) <= others


@pytest.mark.parametrize("seeding", [False, True])
def test_addresses_are_those_of_the_choice(seeding: bool) -> None:
    for leechers, seeders in itertools.product(range(6), range(6)):
        pack = pack_of(leechers, seeders)
        for asker, wanted in itertools.product(range(-1, len(pack)), range(14)):
            ranges = choose(pack, wanted, asker=asker, seeding=seeding, random=random.Random(wanted).random)
            addresses = chosen_addresses(
                pack, wanted, asker=asker, seeding=seeding, random=random.Random(wanted).random
            )
            assert addresses == pack.addresses_of(ranges), (leechers, seeders, asker, wanted)


LEECHERS, SEEDERS, WANTED, ROUNDS = 30, 20, 7, 20_000


@pytest.mark.parametrize(
    ("asker", "seeding"),
    [(-1, False), (0, False), (11, False), (29, False), (30, False), (49, False), (-1, True), (3, True), (35, True)],
)
def test_every_other_peer_has_the_same_chance(asker: int, seeding: bool) -> None:
    pack = pack_of(LEECHERS, SEEDERS)
    rng = random.Random(asker * 2 + seeding)
    counts: Counter[int] = Counter()
    for _ in range(ROUNDS):
        counts.update(positions(pack, WANTED, asker=asker, seeding=seeding, rng=rng))
    candidates = set(range(LEECHERS if seeding else LEECHERS + SEEDERS)) - {asker}
    assert set(counts) == candidates
    expected = ROUNDS * WANTED / len(candidates)
    chi_square = sum((count - expected) ** 2 / expected for count in counts.values())
    # Each peer of a run comes at most once, so the statistic is smaller than that of independent draws; for those, with
    # 49 degrees of freedom, 100 is passed once in 30,000 tests. A bias of 5 % for one peer in two would give > 140.
    assert chi_square < 100


def test_the_test_of_fairness_can_fail() -> None:
    rng = random.Random(1)
    counts = Counter(rng.choices(range(50), weights=[1.05, 0.95] * 25, k=ROUNDS * WANTED))
    expected = ROUNDS * WANTED / 50
    assert sum((count - expected) ** 2 / expected for count in counts.values()) > 140


def test_leechers_and_seeders_come_in_proportion() -> None:
    pack = pack_of(900, 100)
    rng = random.Random(3)
    shares = []
    for _ in range(300):
        got = positions(pack, 50, asker=-1, seeding=False, rng=rng)
        shares.append(sum(position >= 900 for position in got))
    assert set(shares) == {5}


def test_an_answer_is_a_few_slices() -> None:
    pack = pack_of(5000, 5000)
    rng = random.Random(4)
    for asker in range(-1, 10_000, 7):
        assert len(choose(pack, 200, asker=asker, seeding=False, random=rng.random)) <= 5
