from __future__ import annotations

import random

import trio
from trio.testing import MockClock

from meshtracker.demo.clients import EVENTS, Crowd
from meshtracker.demo.mesh import LEAVES, DemoMesh, start_mesh
from meshtracker.demo.verdict import reach_verdict


async def test_clients_start_complete_move_and_stop_and_all_nodes_know(
    mock_clock: MockClock, nursery: trio.Nursery
) -> None:
    mock_clock.rate = 8
    stop, ending = trio.Event(), trio.Event()
    mesh = await start_mesh(nursery, stop)
    crowd = Crowd(mesh, rng=random.Random(4), ending=ending, clients=40)
    async with trio.open_nursery() as simulation:
        simulation.start_soon(crowd.run)
        await trio.sleep(16)
        ending.set()
    assert all(crowd.events[event] for event in EVENTS), crowd.events
    assert set(crowd.announces) == set(LEAVES)
    verdict = await reach_verdict(mesh, crowd)
    assert verdict.differences == ()
    assert 0 < verdict.peers <= 40
    stop.set()


async def test_clients_differ_in_address_and_belong_to_leaves(mesh: DemoMesh) -> None:
    crowd = Crowd(mesh, rng=random.Random(1), ending=trio.Event(), clients=900)
    assert len({client.compact for client in crowd.clients}) == 900
    homes = [len(client.homes) for client in crowd.clients]
    assert set(homes) == {1, 2}
    assert homes.count(1) > homes.count(2)
    assert {home.name for client in crowd.clients for home in client.homes} == set(LEAVES)
    assert {client.protocol for client in crowd.clients} == {"udp", "http"}


async def test_an_end_before_the_first_announce_leaves_nobody(mesh: DemoMesh) -> None:
    ending = trio.Event()
    ending.set()
    crowd = Crowd(mesh, rng=random.Random(1), ending=ending, clients=5)
    with trio.fail_after(1):
        await crowd.run()
    assert not any(client.present for client in crowd.clients)
