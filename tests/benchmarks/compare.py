"""Announces a second and bytes of memory a peer, beside opentracker, interleaved in one run.

    python -m tests.benchmarks.compare [--rounds 5] [--seconds 6]

Builds the load generators of ``load/`` (C), pins the server to one core and the load to another, and runs in a network
namespace of its own where that is allowed. Prints a Markdown table: medians with their range, and ratios by pair.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import attrs

LOAD = Path(__file__).parent / "load"
SERVER_CORE, LOAD_CORE = "0", "1"
PORT = 7969
START_SECONDS = 15.0
ROUND_LIMIT_SECONDS = 600.0


@attrs.frozen
class Workload:
    """One row of the table."""

    title: str
    tool: str
    arguments: tuple[str, ...]
    per_cpu_second: bool = False
    """The load generator is the limit: keep the server's core busy and count answers per second of server CPU."""


WORKLOADS = (
    Workload("UDP, 10,000 hashes x 10 peers", "udpload", ()),
    Workload("UDP, one swarm of 5,000", "udpload", ("-n", "1", "-p", "5000")),
    Workload("HTTP keep-alive", "httpload", ("-m", "keepalive")),
    Workload("HTTP close, a server CPU second", "httpload", ("-m", "close"), per_cpu_second=True),
)
MEMORY = ("-n", "100000", "-p", "10", "-d", "0")
"""1,000,000 peers in 100,000 swarms."""


@contextmanager
def process(command: list[str], cwd: str) -> Iterator[int]:
    """A server pinned to its core, until it answers; ended by its pid."""
    with subprocess.Popen(
        ["taskset", "-c", SERVER_CORE, *command],
        cwd=cwd,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as server:
        try:
            wait_until_it_listens(server)
            yield server.pid
        finally:
            server.send_signal(signal.SIGTERM)
            try:
                server.wait(10)
            except subprocess.TimeoutExpired:
                server.kill()


def wait_until_it_listens(server: subprocess.Popen[bytes]) -> None:
    """Bounded wait for the TCP port: a process of another program tells that it has ended, not that it is ready."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection(("127.0.0.1", PORT), 0.2):
            return
        with suppress(subprocess.TimeoutExpired):
            raise SystemExit(f"the server ended: exit code {server.wait(0.05)}")
    raise SystemExit("the server did not start")


def opentracker(folder: str, hashes: list[str]) -> list[str]:
    """Debian's package is built to serve a whitelist only."""
    (Path(folder) / "whitelist").write_text("\n".join(hashes) + "\n")
    Path(folder).chmod(0o755)
    port = str(PORT)
    return ["opentracker", "-i", "127.0.0.1", "-p", port, "-P", port, "-d", folder, "-w", "whitelist"]


def meshtracker(folder: str, _: list[str]) -> list[str]:
    """A node of its own with everything on but the snapshot."""
    config = Path(folder) / "node.toml"
    listen = f'listen = ["127.0.0.1:{PORT}"]\n'
    config.write_text(f'[udp]\n{listen}[http]\n{listen}[admin]\nlisten = []\n[log]\nlevel = "error"\n')
    return [sys.executable, "-m", "meshtracker", "run", "-c", str(config)]


SERVERS = {"meshtracker": meshtracker, "opentracker": opentracker}


def load(tool: str, arguments: tuple[str, ...], pid: int | None = None) -> dict[str, object]:
    """One run of a load generator."""
    command = ["taskset", "-c", LOAD_CORE, str(LOAD / tool), "-t", f"127.0.0.1:{PORT}", *arguments]
    if pid is not None:
        command += ["-P", str(pid)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=ROUND_LIMIT_SECONDS)
    result: dict[str, object] = json.loads(done.stdout)
    return result


def hashes_of(arguments: tuple[str, ...]) -> list[str]:
    """The info-hashes that a workload will ask for."""
    command = [str(LOAD / "udpload"), "-t", f"127.0.0.1:{PORT}", "--dump", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()


@contextmanager
def busy_core(wanted: bool) -> Iterator[None]:
    """A loop that shares the server's core, so that the server is never idle there."""
    if not wanted:
        yield
        return
    loop = ["taskset", "-c", SERVER_CORE, sys.executable, "-c", "while True: pass"]
    with subprocess.Popen(loop) as spinning:
        try:
            yield
        finally:
            spinning.kill()


def measure(name: str, workload: Workload, seconds: str) -> float:
    """Answers a second of one server in a fresh process."""
    arguments = tuple(a for a in workload.arguments if a not in ("-m", "close", "keepalive"))
    with tempfile.TemporaryDirectory() as folder:
        command = SERVERS[name](folder, hashes_of(arguments))
        with process(command, folder) as pid:
            load(workload.tool, (*workload.arguments, "-f", "-d", "0"))
            with busy_core(workload.per_cpu_second):
                result = load(workload.tool, (*workload.arguments, "-d", seconds), pid)
    answered = float(str(result["answered_per_s"]))
    if workload.per_cpu_second:
        server = result["server"]
        assert isinstance(server, dict)
        return answered * 100 / float(server["cpu_pct"])
    return answered


def rss_bytes(pid: int) -> int:
    """Resident memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def measure_memory(name: str) -> float:
    """Bytes a peer: what a million of them add to the resident memory."""
    with tempfile.TemporaryDirectory() as folder:
        command = SERVERS[name](folder, hashes_of(MEMORY))
        with process(command, folder) as pid:
            before = rss_bytes(pid)
            load("udpload", (*MEMORY, "-f"))
            return (rss_bytes(pid) - before) / 1_000_000


def spread(values: list[float]) -> str:
    """Median and range."""
    return f"{statistics.median(values):,.0f} ({min(values):,.0f}-{max(values):,.0f})"


def row(title: str, ours: list[float], theirs: list[float]) -> str:
    """One line of the table."""
    ratios = [our / their for our, their in zip(ours, theirs, strict=True)]
    ratio = f"{statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"
    return f"| {title} | {spread(ours)} | {spread(theirs)} | {ratio} |"


def main() -> None:
    """Run everything and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", default="6")
    options = parser.parse_args()
    if shutil.which("opentracker") is None:
        raise SystemExit("opentracker is not installed; on Debian: apt install opentracker")
    subprocess.run(["make", "-s", "-C", str(LOAD)], check=True)
    print("| workload | meshtracker | opentracker | ratio |", "|---|---|---|---|", sep="\n", flush=True)
    for workload in WORKLOADS:
        results: dict[str, list[float]] = {name: [] for name in SERVERS}
        for _ in range(options.rounds):
            for name in SERVERS:
                results[name].append(measure(name, workload, options.seconds))
        print(row(workload.title, results["meshtracker"], results["opentracker"]), flush=True)
    memory = {name: [measure_memory(name)] for name in SERVERS}
    print(row("bytes a peer, 1,000,000 in 100,000 swarms", memory["meshtracker"], memory["opentracker"]), flush=True)


def in_own_network() -> None:
    """Start again in a private network namespace: the machine's packet filters would be measured as well."""
    inner = [sys.executable, "-m", "tests.benchmarks.compare", *sys.argv[1:]]
    script = 'ip link set lo up && exec "$@"'
    allowed = shutil.which("unshare") and subprocess.run(["unshare", "-n", "true"], check=False, capture_output=True)
    if allowed and allowed.returncode == 0 and "MESHTRACKER_BENCH_INSIDE" not in os.environ:
        os.environ["MESHTRACKER_BENCH_INSIDE"] = "1"
        os.execvp("unshare", ["unshare", "-n", "sh", "-c", script, "sh", *inner])  # noqa: S606 - no shell is wanted
    main()


if __name__ == "__main__":
    in_own_network()
