"""Programs that run beside a test: started, waited for, ended by their own process id."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path

import attrs
import trio

END_SECONDS = 10.0
"""More than any of the programs needs to say goodbye to its tracker."""
LOG_TAIL_BYTES = 2000


@attrs.frozen
class Program:
    """One running program."""

    process: trio.Process
    log: Path
    """All that it wrote."""
    end_signal: signal.Signals
    """What makes it end in good order."""

    async def end(self) -> int:
        """Tell it to end and wait; the exit code. A program that does not listen is killed: -9."""
        self.process.send_signal(self.end_signal)
        with trio.move_on_after(END_SECONDS):
            return await self.process.wait()
        self.process.kill()
        return await self.process.wait()

    def tail(self) -> str:
        """The last of what it wrote, for the message of a failing test."""
        return self.log.read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace")


@contextlib.asynccontextmanager
async def running(
    command: Sequence[str],
    *,
    log: Path,
    environment: Mapping[str, str] | None = None,
    end_signal: signal.Signals = signal.SIGTERM,
) -> AsyncIterator[Program]:
    """Run a program as long as the block lasts, with ``environment`` on top of the test's own."""
    with log.open("wb") as output:
        process = await trio.lowlevel.open_process(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
        )
    program = Program(process, log, end_signal)
    try:
        yield program
    finally:
        with trio.CancelScope(shield=True):
            if process.returncode is None:
                await program.end()


async def wait_until(
    condition: Callable[[], Awaitable[bool]], *, within_seconds: float, otherwise: Callable[[], str]
) -> None:
    """Ask again and again; fail with the text of ``otherwise`` once the time is up."""
    with trio.move_on_after(within_seconds):
        while not await condition():
            await trio.sleep(0.05)
        return
    raise AssertionError(f"not within {within_seconds} s: {otherwise()}")


_PORTS = iter(random.SystemRandom().sample(range(20_000, 32_000), 12_000))
"""Each is given once: what was free for one program is not yet taken when the next one asks."""


def free_port(host: str) -> int:
    """A port that is free for TCP and UDP, below those that the system gives to outgoing connections."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for port in _PORTS:
        with socket.socket(family, socket.SOCK_STREAM) as tcp, socket.socket(family, socket.SOCK_DGRAM) as udp:
            try:
                tcp.bind((host, port))
                udp.bind((host, port))
            except OSError:
                continue
            return port
    raise AssertionError("no port is free")
