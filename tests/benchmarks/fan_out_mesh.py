"""Nodes of a mesh, each on the core that it is told to run on, plain or compiled."""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path

from tests.benchmarks.members import Member, Plan, wait_for
from tests.benchmarks.servers import COMPILED, PLAIN, Server
from tests.real.processes import running

KINDS: Mapping[bool, Server] = {False: PLAIN, True: COMPILED}


def environment(*, compiled: bool) -> Mapping[str, str]:
    """For a node. Ends the program if there is no such package."""
    kind = KINDS[compiled]
    if why := kind.missing():
        raise SystemExit(f"{kind.name}: {why}")
    return kind.environment


@contextlib.contextmanager
def plan() -> Iterator[Plan]:
    """A mesh in a directory of its own."""
    # A short name: those of Unix sockets hold 107 bytes.
    with tempfile.TemporaryDirectory(prefix="mt-") as directory:
        yield Plan(Path(directory))


@contextlib.asynccontextmanager
async def pinned(member: Member, core: str, *, compiled: bool) -> AsyncIterator[Member]:
    """A node that runs on one core as long as the block lasts, and answers."""
    # -P: the directory that this program was started in would be imported before the compiled package.
    command = ["taskset", "-c", core, sys.executable, "-P", "-m", "meshtracker", "run", "-c", str(member.config)]
    log = member.config.with_suffix(".log")
    async with running(command, log=log, environment=environment(compiled=compiled)) as member.program:
        yield member


async def wait_until_it_answers(member: Member) -> None:
    """A node that has started."""

    async def answers() -> bool:
        return await member.figures() is not None

    await wait_for(answers, f"{member.name} answers")
