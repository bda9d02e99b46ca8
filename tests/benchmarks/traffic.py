"""Bytes on the wire for each update that reaches a node, TLS included, at several rates.

Clients come to one leaf, or to two; every sixth update is a client that stops, the rest are new clients, which cost
what a refresh costs. Counted is what passes both ways through the link of the leaf that they came to, and through the
link of one that is only told.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence

import attrs
import trio

from tests.benchmarks.members import BenchmarkError, Figures, Member, Options, Plan, clients, wait_synced
from tests.benchmarks.wiretap import Wiretap, wiretap

TORRENTS = 10_000
ZIPF = 1.0
IDLE_SECONDS = 30.0
WARM_UP_SECONDS = 4.0


@attrs.frozen
class Load:
    """One line of the table."""

    rate: int
    seconds: float
    leaves: int = 1


LOADS = (Load(1, 90.0), Load(100, 30.0), Load(10_000, 20.0), Load(10_000, 20.0, leaves=2))

HEAD = (
    "| updates a second: wanted | reached | come to | records a batch | leaf to hub: bytes an update | hub to leaf |"
    " the same without what an idle link costs | |\n"
    "|---|---|---|---|---|---|---|---|"
)


@attrs.frozen
class Moment:
    """What had passed at one time."""

    at: float
    updates: int
    batches: int
    up_bytes: int
    down_bytes: int

    @classmethod
    async def now(cls, up: Wiretap, down: Wiretap, reader: Member) -> Moment:
        """``up`` is the wire of a leaf with clients, ``down`` that of ``reader``."""
        figures = await told(reader)
        mesh = figures["mesh"]
        at = trio.current_time()
        return cls(at, mesh["applied_records"], mesh["applied_batches"], up.total_bytes, down.total_bytes)


async def told(member: Member) -> Figures:
    """Figures of a node that must answer."""
    figures = await member.figures()
    if figures is None:
        raise BenchmarkError(f"{member.name} does not answer")
    return figures


def row(load: Load, before: Moment, after: Moment, idle: tuple[float, float]) -> str:
    """``idle``: bytes a second of both wires without any update."""
    seconds = after.at - before.at
    updates = after.updates - before.updates
    batches = after.batches - before.batches
    if not updates:
        raise BenchmarkError(f"nothing was relayed at {load.rate} updates a second")
    up, down = after.up_bytes - before.up_bytes, after.down_bytes - before.down_bytes
    cells = [
        f"{load.rate:,}",
        f"{updates / seconds:,.1f}",
        "one leaf" if load.leaves == 1 else f"{load.leaves} leaves",
        f"{updates / batches:.0f}",
        f"{up / updates:.1f}",
        f"{down / updates:.1f}",
        f"{(up - idle[0] * seconds) / updates:.1f}",
        f"{(down - idle[1] * seconds) / updates:.1f}",
    ]
    return f"| {' | '.join(cells)} |"


async def run(plan: Plan, say: Callable[[str], None], *, loads: Sequence[Load] = LOADS) -> None:
    """The whole series."""
    hub = plan.hub()
    async with contextlib.AsyncExitStack() as stack:
        taps = {name: await stack.enter_async_context(wiretap(hub.link)) for name in ("a", "b", "c")}
        leaves = {name: plan.leaf(name, tap.at) for name, tap in taps.items()}
        for member in (hub, *leaves.values()):
            await stack.enter_async_context(member.run())
        for leaf in leaves.values():
            await wait_synced(hub, leaf)
        wires = taps["a"], taps["c"], leaves["c"]
        await trio.sleep(WARM_UP_SECONDS)
        before = await Moment.now(*wires)
        await trio.sleep(IDLE_SECONDS)
        after = await Moment.now(*wires)
        seconds = after.at - before.at
        idle = (after.up_bytes - before.up_bytes) / seconds, (after.down_bytes - before.down_bytes) / seconds
        say(f"An idle link: {idle[0]:.0f} bytes a second between a leaf and the hub of a mesh of {len(leaves) + 1}.\n")
        say(HEAD)
        for load in loads:
            async with contextlib.AsyncExitStack() as crowds:
                for leaf in [leaves["a"], leaves["b"]][: load.leaves]:
                    options: Options = {"kind": "new", "torrents": TORRENTS, "zipf": ZIPF, "numwant": 0}
                    seed = int.from_bytes(os.urandom(4))
                    await crowds.enter_async_context(clients(leaf, rate=load.rate / load.leaves, seed=seed, **options))
                await trio.sleep(WARM_UP_SECONDS)
                before = await Moment.now(*wires)
                await trio.sleep(load.seconds)
                after = await Moment.now(*wires)
            say(row(load, before, after, idle))
