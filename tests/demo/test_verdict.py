from __future__ import annotations

import random
from contextlib import closing

import pytest
import trio

from meshtracker.demo.clients import Client, Crowd
from meshtracker.demo.mesh import DemoMesh, Member
from meshtracker.demo.swarms import TORRENTS
from meshtracker.demo.verdict import Verdict, reach_verdict
from meshtracker.model import Event


async def announce(client: Client, event: Event) -> None:
    for home in client.homes:
        with closing(home.tracker(client.protocol, local_address=client.address)) as tracker:
            await tracker.announce(client.request(event))


@pytest.fixture
async def crowd(mesh: DemoMesh) -> Crowd:
    """A dozen clients that have started, known to every node."""
    crowd = Crowd(mesh, rng=random.Random(2), ending=trio.Event(), clients=12)
    for client in crowd.clients:
        client.left = 1
        await announce(client, Event.STARTED)
        client.present = True
    assert (await reach_verdict(mesh, crowd)).agrees
    return crowd


async def verdict_of(mesh: DemoMesh, crowd: Crowd) -> Verdict:
    return await reach_verdict(mesh, crowd, patience_seconds=0)


def forget(member: Member, client: Client) -> None:
    """Drop a client's row from a node behind everybody's back."""
    registry = member.node.registry
    swarm = registry.swarms[client.info_hash]
    registry.drop(swarm, swarm.v4, swarm.v4.find_address(client.compact))


async def test_agreement_counts_what_was_compared(mesh: DemoMesh, crowd: Crowd) -> None:
    verdict = await verdict_of(mesh, crowd)
    assert verdict.agrees
    assert (verdict.peers, verdict.torrents) == (12, len(TORRENTS))


@pytest.mark.parametrize("at", range(4))
async def test_a_missing_peer_is_named_with_its_node_and_torrent(mesh: DemoMesh, crowd: Crowd, at: int) -> None:
    member, client = mesh.members[at], crowd.clients[5]
    forget(member, client)
    verdict = await verdict_of(mesh, crowd)
    assert not verdict.agrees
    assert [str(difference) for difference in verdict.differences] == [
        f"{member.name} ({protocol}), {TORRENTS[client.info_hash]}: peer {client.address}:{client.port} is missing"
        for protocol in ("HTTP", "UDP")
    ]


async def test_a_peer_that_stopped_and_is_still_handed_out_is_named(mesh: DemoMesh, crowd: Crowd) -> None:
    crowd.clients[3].present = False
    verdict = await verdict_of(mesh, crowd)
    assert {difference.node for difference in verdict.differences} == {member.name for member in mesh.members}
    assert all(str(difference).endswith("is handed out, but is not there") for difference in verdict.differences)


async def test_a_completion_that_did_not_get_through_is_told(mesh: DemoMesh, crowd: Crowd) -> None:
    crowd.clients[3].left = 0
    verdict = await verdict_of(mesh, crowd)
    assert {difference.what for difference in verdict.differences} == {"0 seeders are counted where there are 1"}


async def test_time_is_given_to_changes_under_way(mesh: DemoMesh, crowd: Crowd) -> None:
    client = crowd.clients[0]
    await announce(client, Event.STOPPED)
    client.present = False
    verdict = await reach_verdict(mesh, crowd)
    assert verdict.agrees
    assert verdict.peers == 11
