"""How long a link takes to bring two nodes to the same peers, and what their clients feel of it.

A hub and two leaves hold the peers; the cable of one leaf is cut and restored, a third leaf joins with nothing, a leaf
comes back without its memory, and an operator has a link resynced in full. At both ends of the link clients announce at
a steady rate all the while.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial

import attrs
import trio

from tests.benchmarks.filled import Filling
from tests.benchmarks.members import (
    Announcing,
    Member,
    Options,
    Plan,
    clients,
    wait_counts,
    wait_for,
    wait_quiet,
    wait_synced,
)
from tests.benchmarks.wiretap import Wiretap, wiretap
from tests.real.mesh import MESHTRACKER

PROBE_RATE = 1000
"""Announces a second at each end."""
PROBERS = 1000
CHANGE_RATE = 1000
LINGER_SECONDS = 1.0
"""Announces are judged for so long at least: a thousand make a 99th percentile."""


@attrs.frozen(kw_only=True)
class Sizes:
    """How large everything is."""

    peers: int
    torrents: int
    outage_seconds: float
    changes: int
    """New clients at each of two leaves during the outage."""


@attrs.frozen(kw_only=True)
class Result:
    """One line of the table."""

    title: str
    synced_seconds: float
    """From the new connection until both ends say that the link is synced."""
    equal_seconds: float
    """Until both count as many peers."""
    wire_bytes: int
    hub: list[float]
    """Seconds to the answers of the announces of that time, in order of size."""
    leaf: list[float]

    def row(self) -> str:
        """As Markdown."""
        cells = [
            self.title,
            f"{self.synced_seconds:.2f}",
            f"{self.equal_seconds:.2f}",
            f"{self.wire_bytes / 1e6:.1f}",
            latencies(self.hub),
            latencies(self.leaf),
        ]
        return f"| {' | '.join(cells)} |"


HEAD = (
    "| resync | synced, s | equal, s | MB on the wire | announces at the hub: p50 / p99 / max, ms | at the leaf |\n"
    "|---|---|---|---|---|---|"
)


def latencies(sorted_seconds: list[float]) -> str:
    """Median, 99 % and maximum in milliseconds."""
    if not sorted_seconds:
        return "-"
    count = len(sorted_seconds)
    picked = (sorted_seconds[count // 2], sorted_seconds[count * 99 // 100], sorted_seconds[-1])
    return " / ".join(f"{seconds * 1000:.1f}" for seconds in picked)


@attrs.define
class Stage:
    """The mesh, and who is at work on it."""

    plan: Plan
    sizes: Sizes
    hub: Member
    peers: int = 0
    """That every node should hold."""
    seeds: Iterator[int] = attrs.field(factory=lambda: iter(range(1, 1_000_000)))

    def leaf(self, name: str, tap: Wiretap) -> Member:
        """A leaf that dials the hub through a wiretap."""
        return self.plan.leaf(name, tap.at)

    @contextlib.asynccontextmanager
    async def probed(self, leaf: Member) -> AsyncIterator[list[Announcing]]:
        """Clients announce at the hub and at a leaf; what they saw is there at the end."""
        seen: list[Announcing] = []
        options: Options = {"rate": PROBE_RATE, "clients": PROBERS, "torrents": 100}
        async with (
            clients(self.hub, **options, seed=next(self.seeds)) as at_hub,
            clients(leaf, **options, seed=next(self.seeds)) as at_leaf,
        ):
            self.peers += 2 * PROBERS
            yield seen
        assert at_hub.result is not None
        assert at_leaf.result is not None
        seen += [at_hub.result, at_leaf.result]

    async def measure(self, title: str, leaf: Member, tap: Wiretap, since: float, seen: list[Announcing]) -> _Measured:
        """Wait until the link that was made after ``since`` has done its work."""

        async def is_new() -> bool:
            return tap.connected_at > since

        await wait_for(is_new, f"a new connection of {leaf.name}")
        synced = await wait_synced(self.hub, leaf)
        equal = await wait_counts((self.hub, leaf), self.peers)
        return _Measured(title, tap.connected_at, synced, equal, tap.total_bytes, seen)


@attrs.frozen
class _Measured:
    """A result whose latencies are not known yet."""

    title: str
    connected: float
    synced: float
    equal: float
    wire_bytes: int
    seen: list[Announcing]

    def result(self, bytes_before: int) -> Result:
        until = max(self.synced, self.equal, self.connected + LINGER_SECONDS)
        hub, leaf = (announcing.latencies(self.connected, until) for announcing in self.seen)
        return Result(
            title=self.title,
            synced_seconds=self.synced - self.connected,
            equal_seconds=self.equal - self.connected,
            wire_bytes=self.wire_bytes - bytes_before,
            hub=hub,
            leaf=leaf,
        )


async def after_outage(stage: Stage, a: Member, b: Member, tap: Wiretap) -> Result:
    """The cable of a leaf is cut for a while; clients come to it and to another leaf meanwhile."""
    async with stage.probed(a) as seen:
        await wait_counts((stage.hub, a, b), stage.peers)
        since, before = time.time(), tap.total_bytes
        tap.cut()
        over = trio.current_time() + stage.sizes.outage_seconds
        async with trio.open_nursery() as nursery:
            for leaf in (a, b):
                nursery.start_soon(_come, stage, leaf)
        await trio.sleep_until(over)
        tap.restore()
        sizes = stage.sizes
        title = f"partial: {sizes.outage_seconds:.0f} s outage, {sizes.changes:,} new peers at each of two leaves"
        measured = await stage.measure(title, a, tap, since, seen)
        await trio.sleep(LINGER_SECONDS)
    return measured.result(before)


async def _come(stage: Stage, leaf: Member) -> None:
    """New clients come to a leaf."""
    changes = stage.sizes.changes
    options: Options = {"kind": "same", "clients": changes, "torrents": 1000, "seed": next(stage.seeds)}
    # Each says so twice: a datagram may be lost, and who is known already is no change.
    async with clients(leaf, rate=CHANGE_RATE, seconds=2 * changes / CHANGE_RATE, **options):
        stage.peers += changes


async def after_start(stage: Stage, leaf: Member, tap: Wiretap, title: str) -> Result:
    """A leaf starts with nothing; the caller ends it."""
    since, before = time.time(), tap.total_bytes
    async with stage.probed(leaf) as seen:
        measured = await stage.measure(title, leaf, tap, since, seen)
        await trio.sleep(LINGER_SECONDS)
    return measured.result(before)


async def after_reset(stage: Stage, leaf: Member, tap: Wiretap) -> Result | None:
    """An operator resets a link at the hub and asks for everything anew; None if that cannot be done."""
    async with stage.probed(leaf) as seen:
        await wait_counts((stage.hub, leaf), stage.peers)
        await wait_quiet((stage.hub, leaf))
        since, before = time.time(), tap.total_bytes
        command = [*MESHTRACKER, "link", "reset", leaf.name, "--full", "-c", str(stage.hub.config)]
        done = await trio.run_process(command, check=False, capture_stderr=True, capture_stdout=True)
        if done.returncode:
            return None
        measured = await stage.measure("full: `link reset --full` of a leaf that has all", leaf, tap, since, seen)
        await trio.sleep(LINGER_SECONDS)
    return measured.result(before)


async def where_time_goes(stage: Stage, leaf: Member) -> list[str]:
    """A leaf that is sampled from its start joins with nothing: shares of the CPU time at both ends, as Markdown."""
    stage.hub.toggle_samples()
    used = {stage.hub: -stage.hub.cpu_seconds(), leaf: 0.0}
    await wait_synced(stage.hub, leaf)
    await wait_counts((stage.hub, leaf))
    lines = []
    for member in used:
        used[member] += member.cpu_seconds()
        member.toggle_samples()

        async def is_written(member: Member = member) -> bool:
            return member.samples.exists()

        await wait_for(is_written, f"samples of {member.name}")
        counts: dict[str, int] = json.loads(member.samples.read_text())
        total = sum(counts.values())
        shares = [
            f"{part} {count / total:.0%}" for part, count in Counter(counts).most_common() if count * 100 >= total
        ]
        lines.append(f"- {'hub' if member is stage.hub else 'leaf'}, {used[member]:.1f} s of CPU: {', '.join(shares)}")
    return lines


async def run(plan: Plan, say: Callable[[str], None], *, sizes: Sizes) -> None:
    """The whole series."""
    hub = plan.hub()
    filling = Filling(leaves=("a", "b"), peers=sizes.peers, torrents=sizes.torrents)
    stage = Stage(plan, sizes, hub, peers=sizes.peers)
    async with contextlib.AsyncExitStack() as stack:
        taps = {name: await stack.enter_async_context(wiretap(hub.link)) for name in ("a", "b", "c")}
        a, b, c = (plan.leaf(name, tap.at) for name, tap in taps.items())
        for member in (hub, a, b):
            plan.give_snapshot(member, partial(filling.write, name=member.name, hub="hub"))
        for member in (hub, a, b):
            await stack.enter_async_context(member.run())
        for leaf in (a, b):
            await wait_synced(hub, leaf)
        await wait_counts((hub, a, b), sizes.peers)
        await wait_quiet((hub, a, b))
        say(HEAD)
        say((await after_outage(stage, a, b, taps["a"])).row())
        async with c.run():
            say((await after_start(stage, c, taps["c"], "full: a new leaf joins")).row())
            reset = await after_reset(stage, c, taps["c"])
            say(reset.row() if reset else "| full: `link reset --full` | not there yet | | | | |")
            await c.kill()
        c.forget()
        async with c.run(sample=True):
            lines = await where_time_goes(stage, c)
        await b.kill()
        b.forget()
        async with b.run():
            title = "full: a leaf comes back without its memory; half of the peers are its own"
            say((await after_start(stage, b, taps["b"], title)).row())
        say("\nWhere the time goes while a new leaf joins (shares of each node's CPU time):\n\n" + "\n".join(lines))
