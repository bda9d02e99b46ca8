from __future__ import annotations

import os
import signal
import threading
import time

import pytest
import structlog
import trio

from meshtracker.demo import main, run
from meshtracker.demo.clients import Crowd
from meshtracker.demo.mesh import DemoMesh
from meshtracker.demo.verdict import Verdict, reach_verdict
from meshtracker.errors import StartError


def test_the_demo_ends_by_itself_and_all_nodes_agree(capsys: pytest.CaptureFixture[str]) -> None:
    before = structlog.get_config()
    assert main(seconds=3, plain=True) == 0
    out, err = capsys.readouterr()
    assert "The mesh agrees" in out
    assert "3/3 links synced" in out
    assert "\x1b" not in out, "no terminal, no escapes"
    assert err == ""
    assert structlog.get_config() == before


def test_ctrl_c_ends_it_with_a_verdict(capsys: pytest.CaptureFixture[str]) -> None:
    started = time.monotonic()
    timer = threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    assert main(seconds=None) == 0
    assert time.monotonic() - started < run.UNWATCHED_SECONDS / 2
    assert "The mesh agrees" in capsys.readouterr().out


def test_a_node_that_lacks_a_peer_fails_the_demo(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def forget_one_and_judge(mesh: DemoMesh, crowd: Crowd) -> Verdict:
        assert (await reach_verdict(mesh, crowd)).agrees
        registry = mesh.hub.node.registry
        swarm = next(swarm for swarm in registry.swarms.values() if swarm.live)
        registry.drop(swarm, swarm.v4, 0)
        return await reach_verdict(mesh, crowd, patience_seconds=0)

    monkeypatch.setattr(run, "reach_verdict", forget_one_and_judge)
    assert main(seconds=0.7, plain=True) == run.DIFFERENT
    out = " ".join(capsys.readouterr().out.split())
    assert "The mesh does not agree. 2 differences" in out
    assert "hub (UDP), " in out
    assert "is missing" in out


def test_what_goes_wrong_is_told_in_a_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    async def start_mesh(*_: object) -> DemoMesh:
        raise StartError("udp.listen 127.0.0.1:6969: address in use")

    monkeypatch.setattr(run, "start_mesh", start_mesh)
    assert main(seconds=1, plain=True) == run.DIFFERENT
    assert capsys.readouterr().err == "The demo broke off: udp.listen 127.0.0.1:6969: address in use\n"


async def test_a_second_signal_does_not_wait() -> None:
    ending = trio.Event()
    async with trio.open_nursery() as everything:
        await everything.start(run._end_on_signal, ending, everything.cancel_scope)
        os.kill(os.getpid(), signal.SIGINT)
        await ending.wait()
        os.kill(os.getpid(), signal.SIGINT)
        await trio.sleep(5)
    assert everything.cancel_scope.cancelled_caught


def test_warnings_are_kept_and_the_rest_is_dropped(capsys: pytest.CaptureFixture[str]) -> None:
    log = structlog.get_logger()
    with run._warnings_kept() as warnings:
        log.info("linked")
        log.warning("link of leaf-a ended", peer="127.0.0.1:1")
    assert list(warnings) == ["link of leaf-a ended"]
    assert capsys.readouterr().out == ""
