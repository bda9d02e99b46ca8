"""A whole node in this process: what it serves, how it stops, and how it fails."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import pytest
import trio

from meshtracker.admin.client import fetch
from meshtracker.admin.tokens import read_control_token
from meshtracker.app import RunningNode, serve
from meshtracker.app.run import SNAPSHOT_FILE, STOP_SIGNALS, prepare, run
from meshtracker.cli import main
from meshtracker.client.udp import UdpTracker
from meshtracker.errors import StartError
from meshtracker.link.statistics import SessionStatistics
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
            assert set(figures["services"]) == {"udp", "udp_socket", "http", "http_socket", "link"}
            assert figures["services"]["link"]["attempts"] == 1
            stop.set()


async def test_a_revoked_leaf_is_out_within_two_seconds(tmp_path: Path) -> None:
    """The whole way: the command changes the file of a hub that runs."""
    file, stop = tmp_path / "credentials", trio.Event()
    for name in ("a", "b"):
        assert main(["credential", "add", str(file), name, "--password-file", str(tmp_path / name)]) == 0

    def links() -> dict[str, SessionStatistics]:
        figures = hub.node.links.statistics(trio.current_time())
        return {link.peer: link for link in reversed(figures) if link.state == "synced"}

    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            # It has no password for strangers at all.
            listens = settings(node__name="hub", link__listen=ANY_PORT, link__credentials_file=str(file))
            hub = await nursery.start(partial(serve, listens, stop=stop))
            for name in ("a", "b"):
                dials = settings(
                    node__name=name,
                    link__hubs=f'["127.0.0.1:{hub.link[0][1]}"]',
                    link__password_file=str(tmp_path / name),
                )
                await nursery.start(partial(serve, dials, stop=stop))
            while set(links()) != {"a", "b"}:
                await trio.sleep(0.02)
            of_b = links()["b"]
            assert main(["credential", "revoke", str(file), "a"]) == 0
            with trio.fail_after(2):
                while set(links()) != {"b"}:
                    await trio.sleep(0.02)
            ended = [link for link in hub.node.links.statistics(trio.current_time()) if link.state == "closed"]
            assert [link.reason for link in ended if link.peer] == ["the credential of a was revoked or replaced"]
            assert links()["b"].peer_address == of_b.peer_address
            assert links()["b"].since_seconds > of_b.since_seconds
            stop.set()


async def test_what_was_known_is_there_after_a_restart(tmp_path: Path) -> None:
    kept = settings(node__name="a", node__state_dir=str(tmp_path))
    streams = []
    for count in (1, 2):
        stop = trio.Event()
        async with trio.open_nursery() as nursery:
            running = await nursery.start(partial(serve, kept, stop=stop))
            streams.append(running.node.mesh.own)
            answer = await announce(running, 1000 + count)
            assert answer.incomplete == count
            vector = running.node.mesh.vector()
            stop.set()
        assert (tmp_path / SNAPSHOT_FILE).exists()
    before, now = streams
    assert before.incarnation != now.incarnation
    # What it wrote then is a stream like any other, from which it goes on.
    assert vector[before].sequence >= 1


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


@pytest.mark.parametrize("number", STOP_SIGNALS)
def test_a_signal_ends_a_node_that_saves_what_it_knows(number: signal.Signals, tmp_path: Path) -> None:
    timer = threading.Timer(1.0, os.kill, (os.getpid(), number))
    timer.start()
    try:
        run(settings(node__state_dir=str(tmp_path), log__level="error"))
    finally:
        timer.cancel()
        timer.join()
    assert (tmp_path / SNAPSHOT_FILE).is_file()


async def test_a_second_start_by_mistake_leaves_the_token_of_the_node_that_runs(tmp_path: Path) -> None:
    with prepare(settings(node__state_dir=str(tmp_path))) as services:
        token = read_control_token(tmp_path)
        assert services.tokens.own_control == token is not None
        port = services.sockets.udp[0].getsockname()[1]
        with pytest.raises(StartError, match="address already in use"):
            with prepare(settings(node__state_dir=str(tmp_path), udp__listen=f'["127.0.0.1:{port}"]')):
                pass
        assert read_control_token(tmp_path) == token
