from __future__ import annotations

import random
from collections import deque

import pytest
import trio

from meshtracker.demo.clients import Crowd
from meshtracker.demo.figures import Gauge, Instruments, count_peers
from meshtracker.demo.mesh import DemoMesh
from meshtracker.demo.probe import Probe
from meshtracker.demo.swarms import new_peer_id
from meshtracker.model import AnnounceRequest, Event


def test_rates_are_means_over_two_seconds() -> None:
    gauge = Gauge(10.0)
    assert gauge.per_second(0, 10.0) == 0
    assert gauge.per_second(50, 11.0) == 50
    assert gauge.per_second(50, 12.0) == 25
    assert gauge.per_second(50, 13.0) == 0
    assert gauge.per_second(90, 14.0) == 20


def _join(mesh: DemoMesh, member: int, port: int) -> AnnounceRequest:
    request = AnnounceRequest(
        info_hash=bytes([port % 2]) * 20, peer_id=new_peer_id(), key=1, address=b"\x7f\0\0\1", port=port, left=1
    )
    mesh.members[member].node.announce(request, trio.current_time())
    return request


async def _wait_for_peers(mesh: DemoMesh, peers: int) -> None:
    with trio.fail_after(5):
        while {member.node.registry.peers for member in mesh.members} != {peers}:
            await trio.sleep(0.01)


async def test_peers_are_told_apart_by_who_told_them(mesh: DemoMesh) -> None:
    first = _join(mesh, 1, 1)
    _join(mesh, 1, 2)
    _join(mesh, 2, 3)
    await _wait_for_peers(mesh, 3)
    assert [count_peers(member.node.registry) for member in mesh.members] == [(0, 3), (2, 1), (1, 2), (0, 3)]
    first.event = Event.STOPPED
    mesh.members[1].node.announce(first, trio.current_time())
    await _wait_for_peers(mesh, 2)
    assert [count_peers(member.node.registry) for member in mesh.members] == [(0, 2), (1, 1), (1, 1), (0, 2)]


async def test_figures_are_read_off_a_mesh(mesh: DemoMesh) -> None:
    crowd = Crowd(mesh, rng=random.Random(1), ending=trio.Event(), clients=5)
    instruments = Instruments(mesh, crowd, Probe(mesh, rng=random.Random(1)), warnings=deque(["beware"]))
    _join(mesh, 1, 1)
    _join(mesh, 2, 2)
    await _wait_for_peers(mesh, 2)
    figures = instruments.read()
    assert [node.name for node in figures.nodes] == ["hub", "leaf-a", "leaf-b", "leaf-c"]
    assert [node.own_peers + node.link_peers for node in figures.nodes] == [2, 2, 2, 2]
    assert [node.swarms for node in figures.nodes] == [2, 2, 2, 2]
    assert [link.state for link in figures.links] == ["synced", "synced", "synced"]
    assert {link.resync for link in figures.links} == {"full (new node)"}
    assert {link.lag_batches for link in figures.links} == {0}
    assert figures.relayed == 6, "each update: to the hub, and to two leaves"
    hub, a, b, c = figures.nodes
    assert hub.sent_per_second == pytest.approx(a.received_per_second + b.received_per_second + c.received_per_second)
    assert hub.received_per_second == pytest.approx(a.sent_per_second + b.sent_per_second)
    assert a.sent_per_second > 0
    assert c.sent_per_second == 0
    assert figures.link_bytes > 0
    assert figures.warnings == ("beware",)
