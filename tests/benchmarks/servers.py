"""The servers that are measured side by side: each started anew for a measurement, on a core of its own."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

import attrs

from meshtracker.errors import WireError
from meshtracker.model import Event
from tests.benchmarks.announcer import Client
from tests.benchmarks.asking import asking
from tests.benchmarks.members import BenchmarkError
from tests.real.mesh import Table, write_config

REPOSITORY = Path(__file__).parents[2]
COMPILED_PACKAGE = REPOSITORY / "build" / "compiled"
"""What ``make compiled`` fills: the package with its extension modules."""
LOAD = Path(__file__).parent / "load"
SERVER_CORE, LOAD_CORE = "0", "1"
HOST, PORT = "127.0.0.1", 7969
START_SECONDS = 120.0
"""A list of half a million torrents takes a while to read."""
END_SECONDS = 10.0
ASK_SECONDS = 0.2
MAX_PEERS = 10_000_000
"""Twice as many as the largest measurement has."""

Transport = Literal["udp", "http"]


@attrs.frozen(kw_only=True)
class Task:
    """What a server is started for."""

    torrents: Sequence[str] = ()
    """Info-hashes to serve, in hex; without any a node serves all. Debian's opentracker serves none unless listed."""
    transport: Transport = "udp"
    null_peers: int = 10
    """In each answer of the null server."""
    snapshot_seconds: float | None = None
    """Between snapshots of a node; None: it writes none."""
    program: tuple[str, ...] = ("-m", "meshtracker")
    """What Python runs as the node, and arguments before the node's own."""


@attrs.frozen(kw_only=True, eq=False)
class Server:
    """One of the programs; compared by identity, it is a key of results."""

    name: str
    command: Callable[[Task, Path], list[str]]
    environment: Mapping[str, str] = attrs.field(factory=dict)
    speaks_both: bool = True
    """UDP and HTTP at once."""
    missing: Callable[[], str] = str
    """Why it cannot be measured here; empty if it can."""
    ask_version: tuple[str, ...] = ()
    """A command that prints its version."""


@attrs.frozen(eq=False)
class Running:
    """A server that answers."""

    pid: int
    folder: Path
    """Its working directory, with all that it keeps."""

    def rss_bytes(self) -> int:
        """Resident memory."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def cpu_seconds(self) -> float:
        """CPU time used so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _node_command(task: Task, folder: Path) -> list[str]:
    """A node of its own with everything on: the access list too, for opentracker has one as well."""
    tracker: dict[str, str | int] = {"max_peers": MAX_PEERS}
    if task.torrents:
        (folder / "torrents").write_text("\n".join(task.torrents) + "\n")
        tracker |= {"access": "allow", "access_file": str(folder / "torrents")}
    table: Table = {
        "node": {"name": "bench", "state_dir": str(folder / "state") if task.snapshot_seconds else ""},
        "tracker": tracker,
        "udp": {"listen": [f"{HOST}:{PORT}"]},
        "http": {"listen": [f"{HOST}:{PORT}"]},
        "admin": {"listen": []},
        "snapshot": {"interval_seconds": task.snapshot_seconds or 60.0},
        "log": {"level": "error"},
    }
    config = write_config(folder / "node.toml", table)
    return [sys.executable, *task.program, "run", "-c", str(config)]


def _opentracker_command(task: Task, folder: Path) -> list[str]:
    (folder / "whitelist").write_text("\n".join(task.torrents) + "\n")
    return ["opentracker", "-i", HOST, "-p", str(PORT), "-P", str(PORT), "-d", str(folder), "-w", "whitelist"]


def _null_command(task: Task, _: Path) -> list[str]:
    return [str(LOAD / "nulltracker"), task.transport, str(PORT), str(task.null_peers)]


def _compiled_missing() -> str:
    if any((COMPILED_PACKAGE / "meshtracker").rglob("*.so")):
        return ""
    return "there are no compiled modules; `make compiled` makes them"


def _plain_missing() -> str:
    if any((REPOSITORY / "meshtracker").rglob("*.so")):
        return "there are compiled modules beside the sources, which Python would take"
    return ""


def _opentracker_missing() -> str:
    return "" if shutil.which("opentracker") else "it is not installed; on Debian: apt install opentracker"


_NODE_VERSION = (sys.executable, "-m", "meshtracker", "--version")

COMPILED = Server(
    name="meshtracker compiled",
    command=_node_command,
    environment={"PYTHONPATH": f"{COMPILED_PACKAGE}:{REPOSITORY}"},
    missing=_compiled_missing,
    ask_version=_NODE_VERSION,
)
PLAIN = Server(
    name="meshtracker plain",
    command=_node_command,
    environment={"PYTHONPATH": str(REPOSITORY)},
    missing=_plain_missing,
    ask_version=_NODE_VERSION,
)
OPENTRACKER = Server(
    name="opentracker",
    command=_opentracker_command,
    missing=_opentracker_missing,
    ask_version=("dpkg-query", "--show", "--showformat=${Version}", "opentracker"),
)
NULL = Server(name="null server", command=_null_command, speaks_both=False)
NODES = (COMPILED, PLAIN)


def present(servers: Sequence[Server]) -> list[Server]:
    """Those that can be measured here; says of each other one why not."""
    there = []
    for server in servers:
        if why := server.missing():
            print(f"Left out: {server.name}: {why}.", file=sys.stderr)
        else:
            there.append(server)
    return there


def versions(servers: Sequence[Server]) -> str:
    """What each says of itself, where it says anything."""
    said = []
    for server in servers:
        if server.ask_version:
            environment = {**os.environ, **server.environment}
            # In a directory without modules, as `running` does.
            done = subprocess.run(
                server.ask_version, check=False, capture_output=True, text=True, env=environment, cwd=LOAD
            )
            said.append(f"{server.name} is {done.stdout.strip() or 'of an unknown version'}")
    return "; ".join(said) + "."


@contextmanager
def running(server: Server, task: Task) -> Iterator[Running]:
    """Run a server as long as the block lasts; it answers once the block begins."""
    with tempfile.TemporaryDirectory(prefix="mt-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # opentracker gives up its rights before it reads its list
        log = folder / "log"
        with (
            log.open("wb") as output,
            subprocess.Popen(
                ["taskset", "-c", SERVER_CORE, *server.command(task, folder)],
                cwd=folder,  # not the checkout: what is there would be imported in place of the compiled package
                env={**os.environ, **server.environment},
                stdout=output,
                stderr=subprocess.STDOUT,
            ) as process,
        ):
            try:
                _wait_until_it_answers(process, server, task, log)
                yield Running(process.pid, folder)
            finally:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(END_SECONDS)
                except subprocess.TimeoutExpired:
                    process.kill()


def _wait_until_it_answers(process: subprocess.Popen[bytes], server: Server, task: Task, log: Path) -> None:
    info_hash = bytes.fromhex(task.torrents[-1]) if task.torrents else bytes(20)
    over_udp = server.speaks_both or task.transport == "udp"
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        with suppress(OSError, WireError):
            if _serves(info_hash) if over_udp else _listens():
                return
        with suppress(subprocess.TimeoutExpired):
            code = process.wait(0.05)
            raise BenchmarkError(f"{server.name} ended with {code}: {log.read_text(errors='replace')[-2000:]}")
    raise BenchmarkError(f"{server.name} did not start")


def _listens() -> bool:
    with socket.create_connection((HOST, PORT), ASK_SECONDS):
        return True


def _serves(info_hash: bytes) -> bool:
    """Somebody comes to a swarm and goes again: opentracker answers before it has read its list."""
    client = Client(info_hash, b"-BM0001-000000000000", 1, bytes(4), 1)
    with asking((HOST, PORT), timeout_seconds=ASK_SECONDS) as somebody:
        for event in (Event.STARTED, Event.STOPPED):
            somebody.announce(0, client.announce(event, left=1, numwant=0))
            _, is_good = somebody.receive()
            if not is_good:
                return False
    return True
