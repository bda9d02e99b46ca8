"""The sweep lets go what is old, nothing that is young, in small steps, whatever changes meanwhile."""

from __future__ import annotations

import random

from meshtracker.model import STAMP_COUNTER_BITS, PeerState
from meshtracker.swarm.expiry import COMPLETED_TTL_MS, STEP_ROWS, Sweep
from meshtracker.swarm.peers import Row
from meshtracker.swarm.registry import Registry
from meshtracker.swarm.streams import OWN
from meshtracker.wire.vector import StreamId
from tests.swarm.support import check_counts, index_of, registry_of

TTL_SECONDS = 100
WALL_MS = 1_000_000
OLD = (WALL_MS - TTL_SECONDS * 1000 - 1) << STAMP_COUNTER_BITS
YOUNG = (WALL_MS - TTL_SECONDS * 1000) << STAMP_COUNTER_BITS


def put(registry: Registry, swarm: int, client: int, stamp: int, state: PeerState = PeerState.LEECHER) -> None:
    row = Row(client.to_bytes(24, "big"), stamp, 0, state)
    family = 6 if client % 3 else 18
    held = registry.swarm(swarm.to_bytes(20, "big"))
    pack = held.pack(family)
    registry.write(held, pack, pack.find(row.identity), row, client.to_bytes(family, "big"))


def stamps(registry: Registry) -> list[int]:
    return [row.stamp for swarm in registry.swarms.values() for pack in swarm.packs() for row, _ in pack.entries()]


def test_one_round_lets_go_exactly_what_is_old() -> None:
    registry = registry_of()
    rng = random.Random(1)
    young = 0
    for client in range(9000):
        is_young = rng.random() < 0.5
        young += is_young
        # One swarm of many steps and many small ones.
        put(
            registry, 0 if client < 6000 else client % 700, client, YOUNG if is_young else OLD, rng.choice([*PeerState])
        )
    sweep = Sweep(registry, peer_ttl_seconds=TTL_SECONDS)
    steps = sweep.steps_per_round()
    gone = sum(sweep.step(WALL_MS) for _ in range(steps + 2))
    assert gone == 9000 - young == registry.expired
    assert stamps(registry) == [YOUNG] * young
    check_counts(registry)
    assert registry.peers + registry.tombstones == young


def test_a_step_is_bounded() -> None:
    registry = registry_of()
    for client in range(20_000):
        put(registry, client % 2, client, OLD)
    sweep = Sweep(registry, peer_ttl_seconds=TTL_SECONDS)
    assert sweep.steps_per_round() >= 10
    while registry.swarms:
        assert sweep.step(WALL_MS) <= 2 * STEP_ROWS


def test_many_empty_swarms_are_steps_too() -> None:
    registry = registry_of()
    for swarm in range(3 * STEP_ROWS):
        registry.swarm(swarm.to_bytes(20, "big"))
    sweep = Sweep(registry, peer_ttl_seconds=TTL_SECONDS)
    sweep.step(WALL_MS)
    assert len(registry.swarms) >= STEP_ROWS
    for _ in range(sweep.steps_per_round() + 1):
        sweep.step(WALL_MS)
    assert not registry.swarms


def test_an_empty_registry_is_swept_in_peace() -> None:
    sweep = Sweep(registry_of(), peer_ttl_seconds=TTL_SECONDS)
    assert [sweep.step(WALL_MS) for _ in range(3)] == [0, 0, 0]


def test_rows_move_and_swarms_come_meanwhile() -> None:
    rng = random.Random(2)
    registry = registry_of()
    for client in range(8000):
        put(registry, client % 5, client, YOUNG if client % 2 else OLD)
    sweep = Sweep(registry, peer_ttl_seconds=TTL_SECONDS)
    for turn in range(200):
        sweep.step(WALL_MS)
        for _ in range(50):
            client = rng.randrange(8000)
            # Only the young change, so what is old must go.
            put(registry, client % 5, client | 1, YOUNG + turn, rng.choice([*PeerState]))
        put(registry, 100 + turn, 10_000 + turn, OLD)
    for _ in range(2 * sweep.steps_per_round() + 2):
        sweep.step(WALL_MS)
    assert all(stamp >= YOUNG for stamp in stamps(registry))
    held = {row.identity for swarm in registry.swarms.values() for pack in swarm.packs() for row, _ in pack.entries()}
    assert held >= {client.to_bytes(24, "big") for client in range(1, 8000, 2)}
    assert set(registry.swarms) >= {n.to_bytes(20, "big") for n in range(5)}
    assert not any((100 + turn).to_bytes(20, "big") in registry.swarms for turn in range(200))
    assert registry.peers + registry.tombstones == len(stamps(registry))


def test_time_passes_within_a_round() -> None:
    registry = registry_of()
    put(registry, 0, 1, YOUNG)
    sweep = Sweep(registry, peer_ttl_seconds=TTL_SECONDS)
    for _ in range(3):
        sweep.step(WALL_MS)
    assert len(stamps(registry)) == 1
    for _ in range(3):
        sweep.step(WALL_MS + 1)
    assert not registry.swarms


# ---------------------------------------------------------------- figures of completed downloads


def sweep_all(registry: Registry, wall_ms: int, *, ttl_seconds: float = TTL_SECONDS) -> int:
    """One round and a bit; returns how many rows were let go."""
    sweep = Sweep(registry, peer_ttl_seconds=ttl_seconds)
    return sum(sweep.step(wall_ms) for _ in range(sweep.steps_per_round() + 2))


def test_a_figure_of_completed_downloads_outlives_the_peers_by_far() -> None:
    registry = registry_of()
    wall_ms = COMPLETED_TTL_MS + WALL_MS
    other = index_of(registry, StreamId("a", 1))
    kept, aged, mixed = (bytes([number]) * 20 for number in range(3))
    registry.merge_completed(kept, "self", (5, WALL_MS, OWN))
    registry.merge_completed(aged, "self", (6, WALL_MS - 1, OWN))
    registry.merge_completed(mixed, "self", (7, WALL_MS - 1, OWN))
    registry.merge_completed(mixed, "a", (8, WALL_MS, other))
    put(registry, 0, 1, OLD)

    assert sweep_all(registry, wall_ms) == 1
    assert {key: swarm.completed for key, swarm in registry.swarms.items()} == {
        kept: {"self": (5, WALL_MS, OWN)},
        mixed: {"a": (8, WALL_MS, other)},
    }
    assert registry.swarms[mixed].counts()[2] == 8
    check_counts(registry)

    # Figures are no peers: they are not counted among those that aged out.
    assert sweep_all(registry, wall_ms + 1) == 0
    assert registry.expired == 1
    assert not registry.swarms
    check_counts(registry)


def test_a_stream_whose_last_figure_aged_out_can_be_forgotten() -> None:
    registry = registry_of()
    stream = StreamId("a", 1)
    registry.merge_completed(bytes(20), "a", (1, 0, index_of(registry, stream)))
    assert registry.streams.rows(stream) == 1
    sweep_all(registry, COMPLETED_TTL_MS + 1)
    registry.streams.forget(stream)


def test_a_figure_is_kept_as_long_as_peers_are_if_that_is_longer() -> None:
    registry = registry_of()
    registry.merge_completed(bytes(20), "self", (1, 0, OWN))
    ttl_seconds = 2 * COMPLETED_TTL_MS / 1000
    sweep_all(registry, 2 * COMPLETED_TTL_MS, ttl_seconds=ttl_seconds)
    assert registry.swarms
    sweep_all(registry, 2 * COMPLETED_TTL_MS + 1, ttl_seconds=ttl_seconds)
    assert not registry.swarms
