"""Runs of the load generators in ``load/``, on a core of their own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import attrs

from tests.benchmarks.members import BenchmarkError
from tests.benchmarks.servers import HOST, LOAD, LOAD_CORE, PORT, SERVER_CORE

FILL_LIMIT_SECONDS = 900.0
RUN_MARGIN_SECONDS = 60.0
"""On top of the time that a run is asked to last."""
MISSING_SHARE = 0.001
"""Announces of a filling that may go lost: no figure would show them."""

Tool = Literal["udpload", "httpload"]


@attrs.frozen
class Swarms:
    """The workload: so many swarms of so many peers each; both generators make the same of them."""

    torrents: int
    peers_each: int

    @property
    def peers(self) -> int:
        """In all swarms."""
        return self.torrents * self.peers_each

    @property
    def arguments(self) -> tuple[str, ...]:
        """For either generator."""
        return ("-n", str(self.torrents), "-p", str(self.peers_each))

    def info_hashes(self) -> list[str]:
        """In hex."""
        return _run([str(LOAD / "udpload"), "--dump", *self.arguments], RUN_MARGIN_SECONDS).split()


@attrs.frozen(kw_only=True)
class Answers:
    """What one run saw."""

    per_second: float
    p50_us: float
    p99_us: float
    server_cpu_share: float
    """CPU time of the server a second of the run."""

    @property
    def per_cpu_second(self) -> float:
        """Answers a second of the server's CPU time."""
        return self.per_second / self.server_cpu_share


def build() -> None:
    """Compile the generators, if their sources are newer."""
    _run(["make", "-s", "-C", str(LOAD)], RUN_MARGIN_SECONDS)


def fill(swarms: Swarms) -> None:
    """Have every peer of every swarm announce once, over UDP."""
    result = _load("udpload", (*swarms.arguments, "-f", "-d", "0"), FILL_LIMIT_SECONDS)
    if (answered := result["fill"]["answered"]) < swarms.peers * (1 - MISSING_SHARE):
        raise BenchmarkError(f"only {answered:,} of {swarms.peers:,} peers were taken: {result}")


def ask(
    swarms: Swarms, *, pid: int, seconds: float, tool: Tool = "udpload", arguments: tuple[str, ...] = ()
) -> Answers:
    """Announce for a while."""
    words = (*swarms.arguments, *arguments, "-d", str(seconds), "-P", str(pid))
    result = _load(tool, words, seconds + RUN_MARGIN_SECONDS)
    return Answers(
        per_second=result["answered_per_s"],
        p50_us=result["p50_us"],
        p99_us=result["p99_us"],
        server_cpu_share=result["server"]["cpu_pct"] / 100,
    )


@contextmanager
def busy_core() -> Iterator[None]:
    """A loop that shares the server's core, so that the server is never idle there."""
    with subprocess.Popen(["taskset", "-c", SERVER_CORE, sys.executable, "-c", "while True: pass"]) as spinning:
        try:
            yield
        finally:
            spinning.kill()


def _load(tool: Tool, arguments: tuple[str, ...], limit_seconds: float) -> dict[str, Any]:
    command = ["taskset", "-c", LOAD_CORE, str(LOAD / tool), "-t", f"{HOST}:{PORT}", *arguments]
    result: dict[str, Any] = json.loads(_run(command, limit_seconds))
    return result


def _run(command: list[str], limit_seconds: float) -> str:
    try:
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=limit_seconds)
    except subprocess.CalledProcessError as error:
        raise BenchmarkError(f"{' '.join(command)}: {error.stderr}") from None
    return done.stdout
