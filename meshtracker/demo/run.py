"""The demo from start to exit code: the mesh, the clients, the probe and the view in one nursery, then the verdict."""

from __future__ import annotations

import logging
import math
import random
import signal
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import structlog
import trio
from rich.console import Console
from rich.live import Live

from meshtracker.demo.clients import Crowd
from meshtracker.demo.figures import Instruments
from meshtracker.demo.mesh import start_mesh
from meshtracker.demo.probe import Probe
from meshtracker.demo.summary import summary
from meshtracker.demo.verdict import reach_verdict
from meshtracker.demo.view import PLAIN_LEGEND, picture, plain_line
from meshtracker.errors import MeshtrackerError
from meshtracker.network.errors import plain_error

UNWATCHED_SECONDS = 10.0
"""How long the demo goes on when its output is no terminal and nobody said how long."""
DIFFERENT, INTERRUPTED = 1, 130
"""Exit codes: a node lacks a peer or has one too many (or the demo did not get so far); a second Ctrl-C."""
_PICTURE_SECONDS = 0.5
_LINE_SECONDS = 1.0
_KEPT_WARNINGS = 3


def main(*, seconds: float | None, plain: bool = False) -> int:
    """Run the demo for ``seconds``, or until Ctrl-C; returns the exit code: 0 if all nodes hand out the same peers."""
    console = Console(highlight=False)
    watched = console.file.isatty() and not console.is_dumb_terminal
    if seconds is None and not watched:
        seconds = UNWATCHED_SECONDS
    code = DIFFERENT
    with _warnings_kept() as warnings:
        try:
            code = trio.run(partial(_run, console, warnings, seconds=seconds, plain=plain or not watched))
        except* (MeshtrackerError, OSError, trio.TooSlowError) as trouble:
            Console(stderr=True).print(f"The demo broke off: {plain_error(trouble)}", markup=False)
    return code


async def _run(console: Console, warnings: deque[str], *, seconds: float | None, plain: bool) -> int:
    ending = trio.Event()
    code = INTERRUPTED
    async with trio.open_nursery() as everything:
        await everything.start(_end_on_signal, ending, everything.cancel_scope)
        agrees = await _demonstrate(console, warnings, ending, seconds=seconds, plain=plain)
        code = 0 if agrees else DIFFERENT
        everything.cancel_scope.cancel()
    return code


async def _demonstrate(
    console: Console, warnings: deque[str], ending: trio.Event, *, seconds: float | None, plain: bool
) -> bool:
    """Did every node hand out every peer, in time and at the end?"""
    stop, ended = trio.Event(), trio.Event()
    async with trio.open_nursery() as nodes:
        mesh = await start_mesh(nodes, stop)
        crowd = Crowd(mesh, rng=random.Random(), ending=ending)
        probe = Probe(mesh, rng=random.Random())
        instruments = Instruments(mesh, crowd, probe, warnings=warnings)
        async with trio.open_nursery() as watching:
            if plain:
                watching.start_soon(_print_lines, console, instruments, ended)
            else:
                watching.start_soon(partial(_draw, console, instruments, ending, ended, seconds=seconds))
            async with trio.open_nursery() as simulation:
                simulation.start_soon(crowd.run)
                simulation.start_soon(probe.run, ending)
                with trio.move_on_after(math.inf if seconds is None else seconds):
                    await ending.wait()
                ending.set()
            verdict = await reach_verdict(mesh, crowd)
            ended.set()
        console.print(summary(instruments.read(), verdict))
        stop.set()
    return verdict.agrees and not probe.delays().lost


async def _print_lines(console: Console, instruments: Instruments, ended: trio.Event) -> None:
    console.print(PLAIN_LEGEND, soft_wrap=True)
    while not await _is_set_within(_LINE_SECONDS, ended):
        console.print(plain_line(instruments.read()), soft_wrap=True)


async def _draw(
    console: Console, instruments: Instruments, ending: trio.Event, ended: trio.Event, *, seconds: float | None
) -> None:
    going_on = "(Ctrl-C ends the demo)" if seconds is None else f"of {seconds:g} s (Ctrl-C ends the demo)"

    def draw() -> None:
        status = "ended" if ended.is_set() else "asking every tracker for every peer" if ending.is_set() else going_on
        live.update(picture(instruments.read(), status=status, height=console.height), refresh=True)

    # Drawn by this task: a thread of rich's own would draw while figures change.
    with Live(console=console, auto_refresh=False) as live:
        draw()
        while not await _is_set_within(_PICTURE_SECONDS, ended):
            draw()
        draw()


async def _is_set_within(seconds: float, event: trio.Event) -> bool:
    with trio.move_on_after(seconds):
        await event.wait()
    return event.is_set()


async def _end_on_signal(
    ending: trio.Event,
    everything: trio.CancelScope,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """The first Ctrl-C ends the demo with its verdict, the second at once."""
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        task_status.started()
        async for _ in signals:
            if ending.is_set():
                everything.cancel()
            ending.set()


@contextmanager
def _warnings_kept() -> Iterator[deque[str]]:
    """Log lines must not be written into the picture: warnings are kept to be shown in it, the rest is dropped."""
    kept: deque[str] = deque(maxlen=_KEPT_WARNINGS)
    before = structlog.get_config()

    def keep(_logger: object, _method: str, event: structlog.typing.EventDict) -> str:
        text = str(event["event"])
        if text not in kept:  # four nodes of one machine have the same troubles
            kept.append(text)
        raise structlog.DropEvent

    structlog.configure(processors=[keep], wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    try:
        yield kept
    finally:
        structlog.configure(**before)
