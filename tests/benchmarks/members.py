"""Nodes of a mesh as processes, and what they say of themselves while they are measured."""

from __future__ import annotations

import array
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import trio

from meshtracker.admin.client import NodeUnreachableError, fetch
from meshtracker.app.run import SNAPSHOT_FILE
from tests.real.mesh import MESHTRACKER, Table, endpoint, write_config
from tests.real.processes import Program, free_port, running

HOST = "127.0.0.1"
WAIT_SECONDS = 180.0
"""For whatever a mesh is waited for; a million peers on a slow machine take a while."""
POLL_SECONDS = 0.05

Figures = Mapping[str, Any]
"""``node`` of the status of a node."""


class BenchmarkError(Exception):
    """Something that is measured does not happen; ``str()`` says what."""


@attrs.define(eq=False)
class Member:
    """A node that can be started more than once."""

    name: str
    config: Path
    state_dir: Path
    tracker: str
    """Where its clients announce: ``127.0.0.1:6969``."""
    admin: str
    link: tuple[str, int] = ("", 0)
    """Where it listens for leaves."""
    program: Program | None = None

    @property
    def pid(self) -> int:
        """Of the process that runs."""
        assert self.program is not None
        return self.program.process.pid

    @property
    def samples(self) -> Path:
        """Where `sampled` leaves its counts."""
        return self.config.with_suffix(".samples.json")

    @contextlib.asynccontextmanager
    async def run(self, *, sample: bool = False) -> AsyncIterator[None]:
        """Run it as long as the block lasts; with ``sample`` it notes from the start where its time goes."""
        when = "now" if sample else "later"
        command = [sys.executable, "-m", "tests.benchmarks.sampled", str(self.samples), when]
        command += ["run", "-c", str(self.config)]
        async with running(command, log=self.config.with_suffix(".log")) as self.program:
            yield

    def toggle_samples(self) -> None:
        """Begin to note where its time goes, or end that and write it down."""
        os.kill(self.pid, signal.SIGUSR1)

    async def kill(self) -> None:
        """As a power cut does."""
        assert self.program is not None
        self.program.process.kill()
        await self.program.process.wait()

    def forget(self) -> None:
        """It loses all that it kept on disk."""
        shutil.rmtree(self.state_dir)

    async def figures(self) -> Figures | None:
        """What it says of itself; None while it does not answer."""
        assert self.program is not None
        if self.program.process.returncode is not None:
            raise BenchmarkError(f"{self.name} ended: {self.program.tail()}")
        try:
            status = await trio.to_thread.run_sync(fetch, self.admin, "/api/status")
        except NodeUnreachableError:
            return None
        node: Figures = status["node"]
        return node

    def rss_bytes(self) -> int:
        """Resident memory."""
        return _status_kib(self.pid, "VmRSS") * 1024

    def cpu_seconds(self) -> float:
        """CPU time used so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / 100


def _status_kib(pid: int, key: str) -> int:
    [line] = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith(f"{key}:")]
    return int(line.split()[1])


@attrs.frozen
class Plan:
    """Where a mesh lives: configurations, logs and what the nodes keep."""

    directory: Path

    def hub(self, **link: Any) -> Member:
        """A hub called ``hub``; ``link`` are keys of that section."""
        port = free_port(HOST)
        member = self._member("hub", {"listen": [endpoint(HOST, port)], **link})
        member.link = (HOST, port)
        return member

    def leaf(self, name: str, hub: str, **link: Any) -> Member:
        """A leaf that dials ``hub`` (``host:port``)."""
        return self._member(name, {"hubs": [hub], **link})

    def _member(self, name: str, link: Mapping[str, Any]) -> Member:
        password = self.directory / "mesh-password"
        if not password.exists():
            subprocess.run([*MESHTRACKER, "password", str(password)], check=True, capture_output=True)
        state_dir, tracker = self.directory / f"{name}.state", endpoint(HOST, free_port(HOST))
        # Without a token a Unix socket is answered to whoever may open it, and no port is needed.
        admin = f"unix:{self.directory}/{name}.admin"
        table: Table = {
            "node": {"name": name, "state_dir": str(state_dir)},
            "udp": {"listen": [tracker]},
            "http": {"listen": []},
            "admin": {"listen": [admin]},
            "link": {"password_file": str(password), **link},
        }
        return Member(name, write_config(self.directory / f"{name}.toml", table), state_dir, tracker, admin)

    def give_snapshot(self, member: Member, write: Callable[[Path], None]) -> None:
        """Let a node begin with what ``write`` puts into its snapshot file."""
        member.state_dir.mkdir(mode=0o700)
        write(member.state_dir / SNAPSHOT_FILE)


# ---------------------------------------------------------------- waiting


async def wait_for(condition: Callable[[], Awaitable[bool]], what: str) -> float:
    """Ask until it holds; when it was found to hold, in Unix seconds."""
    with trio.move_on_after(WAIT_SECONDS):
        while not await condition():
            await trio.sleep(POLL_SECONDS)
        return time.time()
    raise BenchmarkError(f"not within {WAIT_SECONDS:.0f} s: {what}")


def is_synced(figures: Figures, peer: str) -> bool:
    """Is the link to a node of that name up?"""
    return any(link["state"] == "synced" and link["peer"] == peer for link in figures["links"])


async def all_figures(members: Sequence[Member]) -> list[Figures] | None:
    """Of each; None unless all answer."""
    found = [await member.figures() for member in members]
    return [figures for figures in found if figures is not None] if None not in found else None


async def wait_synced(one: Member, other: Member) -> float:
    """Until both ends say that their link is synced."""

    async def holds() -> bool:
        ends = await all_figures((one, other))
        return ends is not None and is_synced(ends[0], other.name) and is_synced(ends[1], one.name)

    return await wait_for(holds, f"{one.name} and {other.name} synced")


async def wait_counts(members: Sequence[Member], peers: int | None = None) -> float:
    """Until all count as many live peers, and that many if ``peers`` is given."""
    counts: list[int] = []

    async def holds() -> bool:
        ends = await all_figures(members)
        counts[:] = [figures["registry"]["peers"] for figures in ends or ()]
        return len(set(counts)) == 1 and peers in (None, counts[0])

    try:
        return await wait_for(holds, f"{peers} peers at {[member.name for member in members]}")
    except BenchmarkError as error:
        raise BenchmarkError(f"{error}; there are {counts}") from None


async def wait_quiet(members: Sequence[Member]) -> None:
    """Until all have rows of the same streams and nothing but empty batches flows."""
    before: list[int] = []

    async def holds() -> bool:
        ends = await all_figures(members)
        if ends is None:
            return False
        # Each forgets streams without rows in its own time.
        streams = [
            {(line["name"], line["incarnation"]) for line in figures["vector"] if line["rows"]} for figures in ends
        ]
        records = [figures["mesh"]["applied_records"] + figures["mesh"]["stale_records"] for figures in ends]
        is_quiet = records == before and all(known == streams[0] for known in streams)
        before[:] = records
        await trio.sleep(1.0)
        return is_quiet and len({figures["registry"]["peers"] for figures in ends}) == 1

    await wait_for(holds, "a quiet mesh")


# ---------------------------------------------------------------- clients


@attrs.frozen
class Announcing:
    """What the clients of one node saw."""

    sent: int
    seconds: float
    samples: array.array[float]

    def latencies(self, since: float, until: float) -> list[float]:
        """Seconds to the answers of announces sent between two Unix times, in order of size."""
        sent, took = self.samples[::2], self.samples[1::2]
        return sorted(seconds for at, seconds in zip(sent, took, strict=True) if since <= at <= until)


Options = dict[str, str | float]
"""Of `announcer`, with ``_`` for ``-``."""


@attrs.define
class Clients:
    """Clients at work; see `announcer`. Their figures are there once the block has ended."""

    result: Announcing | None = None


@contextlib.asynccontextmanager
async def clients(member: Member, **options: str | float) -> AsyncIterator[Clients]:
    """Clients of a node announce as long as the block lasts, or as long as ``seconds`` says."""
    with contextlib.ExitStack() as stack:
        samples = member.config.with_suffix(f".{time.time_ns()}.samples")
        stack.callback(samples.unlink, missing_ok=True)
        command = [sys.executable, "-m", "tests.benchmarks.announcer", member.tracker, "--samples", str(samples)]
        for key, value in options.items():
            command += [f"--{key.replace('_', '-')}", str(value)]
        process = await trio.lowlevel.open_process(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            if not await process.stdout.receive_some():  # the line that says that it has begun
                raise BenchmarkError(f"clients of {member.name} could not announce")
            at_work = Clients()
            yield at_work
            if "seconds" not in options:
                await process.stdin.aclose()
            output = b"".join([part async for part in process.stdout])
            said = json.loads(output)
            if said["errors"]:
                raise BenchmarkError(f"{member.name} refused {said['errors']} announces")
            taken = array.array("d", samples.read_bytes())
            at_work.result = Announcing(said["sent"], said["seconds"], taken)
        finally:
            with trio.CancelScope(shield=True):
                if process.returncode is None:
                    process.send_signal(signal.SIGKILL)
                await process.wait()
