from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
import trio

from meshtracker.demo.mesh import LEAVES, PROTOCOLS, DemoMesh, start_mesh
from meshtracker.demo.swarms import question


async def test_a_hub_and_three_leaves_are_linked_over_tls(mesh: DemoMesh) -> None:
    now = trio.current_time()
    assert [member.node.statistics(now).role for member in mesh.members] == ["hub", "leaf", "leaf", "leaf"]
    assert {link.peer for link in mesh.hub.node.statistics(now).links} == set(LEAVES)
    assert mesh.synced_links() == len(LEAVES)


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_every_node_answers_its_clients(mesh: DemoMesh, protocol: str) -> None:
    for member in mesh.members:
        with closing(member.tracker(protocol, local_address="127.4.5.6")) as tracker:
            answer = await tracker.announce(question(bytes(20)))
            assert answer.complete == answer.incomplete == 0


def test_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def start_and_stop() -> None:
        stop = trio.Event()
        async with trio.open_nursery() as nodes:
            await (await start_mesh(nodes, stop)).wait_synced()
            stop.set()

    monkeypatch.chdir(tmp_path)
    trio.run(start_and_stop)
    assert list(tmp_path.iterdir()) == []
