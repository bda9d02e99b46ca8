"""A whole node in this process: what it serves, how it stops, and how it fails."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import pytest
import trio

from meshtracker.admin.client import fetch
from meshtracker.app import RunningNode, serve
from meshtracker.app.run import SNAPSHOT_FILE, prepare
from meshtracker.client.udp import UdpTracker
from meshtracker.errors import StartError
from meshtracker.model import AnnounceAnswer, AnnounceRequest, Event
from meshtracker.settings import Settings, load

ANY_PORT = '["127.0.0.1:0"]'


def settings(**keys: str) -> Settings:
    """Settings on ports that the system chooses; ``section__key="value"``."""
    base = {"udp__listen": ANY_PORT, "http__listen": ANY_PORT, "admin__listen": ANY_PORT}
    given: Mapping[str, str] = {**base, **keys}
    return load(None, {f"MESHTRACKER__{key.upper()}": value for key, value in given.items()})


async def announce(running: RunningNode, port: int, *, event: Event = Event.STARTED) -> AnnounceAnswer:
    """One client announces over UDP."""
    request = AnnounceRequest(
        info_hash=b"R" * 20, peer_id=b"-XX0001-%012d" % port, key=port, address=bytes(4), port=port, event=event, left=1
    )
    async with UdpTracker(*running.udp[0], first_timeout_seconds=1) as tracker:
        return await tracker.announce(request)


async def test_a_hub_and_a_leaf_answer_as_one() -> None:
    stop = trio.Event()
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            password = {"link__password": "of this test only"}
            hub = await nursery.start(
                partial(serve, settings(node__name="hub", link__listen=ANY_PORT, **password), stop=stop)
            )
            hubs = f'["127.0.0.1:{hub.link[0][1]}"]'
            leaf = await nursery.start(
                partial(serve, settings(node__name="leaf", link__hubs=hubs, **password), stop=stop)
            )
            await announce(leaf, 1001)
            while len((await announce(hub, 1002)).peers) < 6:
                await trio.sleep(0.02)
            figures = await trio.to_thread.run_sync(fetch, hub.admin[0], "/api/status")
            assert figures["node"]["role"] == "hub"
            assert [link["peer"] for link in figures["node"]["links"]] == ["leaf"]
            assert set(figures["services"]) == {"udp", "udp_socket", "http", "http_socket"}
            stop.set()


async def test_what_was_known_is_there_after_a_restart(tmp_path: Path) -> None:
    kept = settings(node__name="a", node__state_dir=str(tmp_path))
    incarnations = []
    for count in (1, 2):
        stop = trio.Event()
        async with trio.open_nursery() as nursery:
            running = await nursery.start(partial(serve, kept, stop=stop))
            incarnations.append(running.node.incarnation)
            answer = await announce(running, 1000 + count)
            assert answer.incomplete == count
            stop.set()
        assert (tmp_path / SNAPSHOT_FILE).exists()
    assert incarnations[1] > incarnations[0]


async def test_a_port_in_use_is_named_and_nothing_stays_bound() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StartError, match=rf"admin\.listen 127\.0\.0\.1:{port}: address already in use"):
            with prepare(settings(admin__listen=f'["127.0.0.1:{port}"]', udp__listen='["127.0.0.1:28761"]')):
                pass
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as again:
        again.bind(("127.0.0.1", 28761))


async def test_a_service_that_crashes_ends_the_node_with_its_cause() -> None:
    with prepare(settings(link__password="of this test only", link__listen=ANY_PORT)) as services:

        def crash() -> None:
            raise RuntimeError("a fault of the program")

        services.node.mesh.on_new_batch = crash
        with trio.fail_after(10), pytest.raises(ExceptionGroup) as caught:
            await services.run(trio.Event())
    assert caught.group_contains(RuntimeError, match="a fault of the program")
