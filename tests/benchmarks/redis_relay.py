"""The same job done chihaya's way: two trackers that share their swarms in Redis, beside two that are linked.

    python -m tests.benchmarks.fan_out redis

``redis-server`` of the system is started on a free loopback port, keeps nothing on disk, and is ended by its pid.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import attrs
import trio

from tests.benchmarks import fan_out_hub, fan_out_mesh, fan_out_visible
from tests.benchmarks.fan_out_hub import Subject
from tests.benchmarks.fan_out_visible import percentile
from tests.benchmarks.members import BenchmarkError
from tests.benchmarks.redis_relay_resp import Redis, command
from tests.benchmarks.results import Part, Table
from tests.benchmarks.rounds import Effort, interleaved, say, spread
from tests.benchmarks.servers import HOST, LOAD_CORE, SERVER_CORE, Running
from tests.real.processes import free_port

ROUNDS, SECONDS = 5, 6.0
PROBES, QUICK_PROBES = 200, 20
START_SECONDS = 60.0
"""For Redis, and for a node to make its changes."""
ANSWERS = {
    "none": "Redis: written, never read",
    "HRANDFIELD": "Redis: written, and 50 peers read for each change (HRANDFIELD)",
    "HKEYS": "Redis as chihaya does it: written, and the whole swarm read for each change (HKEYS)",
}
COLUMNS = (
    "way",
    "changes a second",
    "CPU a change of all processes, us",
    "of it the second tracker or Redis, us",
    "bytes a change",
    "visible, idle: median / p99, ms",
    "under half load",
)
NOTES = (
    (
        "The changes are those that the hub is measured with, sent as fast as they are read. Redis, and in the linked"
        " mesh the second tracker, has a core for itself; all else shares the other. Redis: no TLS, no persistence,"
        " 200 changes or answers in one go; what its trackers do besides is left out. The linked trackers: TLS, the"
        " leaf encodes its batches, the second tracker holds the swarms in its own memory, so the peers of an answer"
        " cost no further exchange."
    ),
    (
        "Visible: from the write's reply, or the announce's answer, until another connection finds the peer. Redis is"
        " asked each millisecond; linked trackers wait for the next flush, at most 0.1 s, which is a setting. Half"
        " load is half of the changes a second of the row, or half of the announces a second that the leaf can serve."
    ),
)


@attrs.frozen
class Found:
    """By one run."""

    changes_per_second: float
    cpu_us_per_change: float
    """Of all processes."""
    store_cpu_us_per_change: float
    """Of Redis, or of the second tracker."""
    bytes_per_change: float


@contextlib.contextmanager
def redis_server() -> Iterator[tuple[int, int]]:
    """Its port and its pid."""
    port = free_port(HOST)
    with tempfile.TemporaryDirectory(prefix="mt-") as directory:
        words = ["--bind", HOST, "--port", str(port), "--save", "", "--appendonly", "no", "--dir", directory]
        command_line = ["taskset", "-c", SERVER_CORE, "redis-server", *words]
        with subprocess.Popen(command_line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
            try:
                _wait_until_it_answers(port)
                yield port, server.pid
            finally:
                server.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    server.wait(10)
                server.kill()


def _wait_until_it_answers(port: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            if Redis(HOST, port).ask(b"PING") == b"PONG":
                return
        # It says nowhere that it is ready.
        time.sleep(0.05)
    raise BenchmarkError("redis-server does not answer")


class Nodes:
    """The two trackers at Redis."""

    def __init__(self, port: int, answer: str, *, seconds: float, rate: float = 0.0) -> None:
        roles = ("write",) if answer == "none" else ("write", "read")
        line = [
            *("taskset", "-c", LOAD_CORE, sys.executable, "-m", "tests.benchmarks.redis_relay_node"),
            *("{role}", f"{HOST}:{port}", "--answer", answer, "--seconds", str(seconds), "--rate", str(rate)),
        ]
        self._limit_seconds = seconds + START_SECONDS
        self._processes = [
            subprocess.Popen(
                [word.format(role=role) for word in line], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            for role in roles
        ]
        # Nobody waits longer than that for a line of theirs: it ends when they do.
        limit = threading.Timer(START_SECONDS, self._end)
        limit.start()
        said = [process.stdout.readline() for process in self._processes if process.stdout]
        limit.cancel()
        if said != ["ready\n"] * len(roles):
            self._end()
            raise BenchmarkError("a node at Redis could not start")

    def run(self) -> list[dict[str, float]]:
        """What each of them did."""
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        try:
            return [json.loads(process.communicate(timeout=self._limit_seconds)[0]) for process in self._processes]
        finally:
            self._end()

    def _end(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()


def shared(port: int, pid: int, answer: str, *, seconds: float) -> Found:
    """One run of two trackers at Redis."""
    nodes = Nodes(port, answer, seconds=seconds)
    redis = Redis(HOST, port)
    cpu, passed = Running(pid, Path()).cpu_seconds(), _passed_bytes(redis)
    did = nodes.run()
    redis_seconds, passed = Running(pid, Path()).cpu_seconds() - cpu, _passed_bytes(redis) - passed
    changes = min(node["changes"] for node in did)
    cpu_seconds = redis_seconds + sum(node["cpu_seconds"] for node in did)
    return Found(
        changes / max(node["seconds"] for node in did),
        cpu_seconds / changes * 1e6,
        redis_seconds / changes * 1e6,
        passed / changes,
    )


def _passed_bytes(redis: Redis) -> int:
    info = redis.ask(b"INFO", b"stats")
    assert isinstance(info, bytes)
    stats = dict(line.split(":", 1) for line in info.decode().splitlines() if ":" in line)
    return int(stats["total_net_input_bytes"]) + int(stats["total_net_output_bytes"])


def linked(seconds: float, *, compiled: bool) -> Found:
    """One run of a leaf and a hub."""
    figures = trio.run(lambda: fan_out_hub.run(Subject(1, compiled), seconds=seconds, encode=True))
    updates = figures["updates_per_second"]
    hub_us = figures["hub_cpu_us_per_update"]
    own_us = figures["own_cpu_share"] / updates * 1e6
    return Found(updates, hub_us + own_us, hub_us, figures["bytes_per_update"])


def probe(port: int, count: int) -> list[float]:
    """Seconds until each of so many peers that one connection writes is found by another."""
    os.sched_setaffinity(0, {int(LOAD_CORE)})
    rng = random.Random()
    one, other = Redis(HOST, port), Redis(HOST, port)
    took = []
    for _ in range(count):
        # Of no fixed length, as where linked trackers are looked at.
        time.sleep(rng.uniform(0.0, 0.02))
        swarm, peer = b"IPv4_L_" + rng.randbytes(20).hex().encode(), rng.randbytes(26)
        one.send([command(b"HSET", swarm, peer, b"%d" % time.time_ns()), command(b"HSET", b"IPv4", swarm, b"0")])
        _ = one.reply(), one.reply()
        answered = time.monotonic()
        while peer not in other.ask(b"HKEYS", swarm):  # type: ignore[operator]
            if time.monotonic() > answered + fan_out_visible.VISIBLE_SECONDS:
                raise BenchmarkError("a peer was not visible in Redis")
            time.sleep(fan_out_visible.LOOK_SECONDS)
        took.append(time.monotonic() - answered)
    return took


def _probe_under_load(port: int, count: int, rate: float) -> list[float]:
    nodes = Nodes(port, "HRANDFIELD", seconds=count * 0.015 + 1.0, rate=rate)
    working = threading.Thread(target=nodes.run)
    working.start()
    try:
        return probe(port, count)
    finally:
        working.join()


def measure(effort: Effort, *, compiled: bool = False) -> Part:
    """Both ways, in turn."""
    if not shutil.which("redis-server"):
        raise SystemExit("redis-server is not installed; on Debian: apt install redis-server")
    kind = fan_out_mesh.KINDS[compiled].name
    ours = f"linked: {kind}"
    seconds = effort.length(SECONDS)
    probes = QUICK_PROBES if effort.quick else PROBES
    with redis_server() as (port, pid):
        shared(port, pid, "none", seconds=seconds)  # every peer is there when the first round begins

        def once(way: str) -> Found:
            return linked(seconds, compiled=compiled) if way == ours else shared(port, pid, way, seconds=seconds)

        found = interleaved(effort.count(ROUNDS), (ours, *ANSWERS), once, what="redis")
        say("redis: visible")
        half = sorted(one.changes_per_second for one in found["HRANDFIELD"])[0] / 2
        in_redis = _times(probe(port, probes), _probe_under_load(port, probes, half))
    mesh = trio.run(lambda: fan_out_visible.run(probes, compiled=compiled))
    times = {ours: _times(mesh.idle, mesh.loaded), "HRANDFIELD": in_redis}
    rows = [[ANSWERS.get(way, way), *_figures(several), *times.get(way, ["", ""])] for way, several in found.items()]
    table = Table(
        title=f"Two trackers with the same swarms: linked, and by Redis 7 ({kind})",
        columns=COLUMNS,
        rows=rows,
        notes=NOTES,
    )
    return Part(tables=[table], raw={way: [attrs.asdict(one) for one in several] for way, several in found.items()})


def _figures(several: list[Found]) -> list[str]:
    return [
        spread([one.changes_per_second for one in several]),
        spread([one.cpu_us_per_change for one in several], 1),
        spread([one.store_cpu_us_per_change for one in several], 1),
        spread([one.bytes_per_change for one in several]),
    ]


def _times(idle: list[float], loaded: list[float]) -> list[str]:
    return [
        f"{percentile(seconds, 0.5) * 1000:.1f} / {percentile(seconds, 0.99) * 1000:.1f}" for seconds in (idle, loaded)
    ]
