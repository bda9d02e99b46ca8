"""How long a leaf that has nothing takes to get everything from its hub, as the mesh grows."""

from __future__ import annotations

import os
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import attrs
import trio

from tests.benchmarks.filled import Filling
from tests.benchmarks.growth import PEERS_EACH, SIZES
from tests.benchmarks.members import Plan, wait_counts
from tests.benchmarks.results import Chart, Part, Table
from tests.benchmarks.resync import Result, Sizes, Stage, after_start, latencies
from tests.benchmarks.rounds import Effort, interleaved, spread
from tests.benchmarks.servers import MAX_PEERS, NODES, Server, present
from tests.benchmarks.wiretap import wiretap

ROUNDS = 2


async def _join(peers: int) -> Result:
    """A leaf joins a hub that holds the peers."""
    with tempfile.TemporaryDirectory(prefix="mt-") as directory:
        plan = Plan(Path(directory))
        hub = plan.hub()
        filling = Filling(leaves=("a", "b"), peers=peers, torrents=peers // PEERS_EACH, zipf=0.0)
        plan.give_snapshot(hub, partial(filling.write, name="hub", hub="hub"))
        sizes = Sizes(peers=peers, torrents=peers // PEERS_EACH, outage_seconds=0.0, changes=0)
        stage = Stage(plan, sizes, hub, peers=peers)
        async with wiretap(hub.link) as tap, hub.run():
            await wait_counts((hub,), peers)
            leaf = plan.leaf("c", tap.at)
            async with leaf.run():
                return await after_start(stage, leaf, tap, f"{peers:,}")


@contextmanager
def _nodes_of(server: Server) -> Iterator[None]:
    """Processes that are started meanwhile are such nodes, with room for all peers."""
    before = dict(os.environ)
    os.environ.update(server.environment)
    # Otherwise the checkout comes first on the path of a module that is run.
    os.environ["PYTHONSAFEPATH"] = "1"
    os.environ["MESHTRACKER__TRACKER__MAX_PEERS"] = str(MAX_PEERS)
    os.environ["MESHTRACKER__LINK__MAX_PEERS_PER_NODE"] = str(MAX_PEERS)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def measure_one(server: Server, peers: int) -> Result:
    """In fresh processes."""
    with _nodes_of(server):
        return trio.run(_join, peers)


def measure(effort: Effort) -> Part:
    """The faster of the nodes that are there, all sizes."""
    server, sizes, rounds = present(NODES)[0], effort.sizes or SIZES, effort.count(ROUNDS)
    found = interleaved(rounds, sizes, lambda peers: measure_one(server, peers), what="resync")
    rows = [
        [
            f"{peers:,}",
            spread([run.synced_seconds for run in runs], 2),
            spread([run.equal_seconds for run in runs], 2),
            f"{runs[0].wire_bytes / 1e6:,.1f}",
            latencies(runs[0].hub),
            latencies(runs[0].leaf),
        ]
        for peers, runs in found.items()
    ]
    table = Table(
        title=f"A new leaf joins its hub ({server.name}), median (range) of {rounds} rounds",
        columns=(
            "peers",
            "synced, s",
            "equal, s",
            "MB on the wire",
            "announces at the hub: p50 / p99 / max, ms",
            "at the leaf",
        ),
        rows=rows,
        notes=(
            "The announces are of the first round; the nodes share both cores with what measures them.",
            "Equal takes a second at least: so long clients come to either end that were not there before.",
        ),
    )
    chart = Chart(
        name="resync-time",
        title="A new leaf joins: time until it is equal",
        x_label="peers",
        y_label="seconds",
        series={
            server.name: [
                (peers, statistics.median(run.equal_seconds for run in runs)) for peers, runs in found.items()
            ]
        },
    )
    raw = {str(peers): [attrs.asdict(run, filter=_is_figure) for run in runs] for peers, runs in found.items()}
    return Part(tables=[table], charts=[chart], raw=raw)


def _is_figure(attribute: attrs.Attribute[object], _: object) -> bool:
    """Not every single latency."""
    return attribute.name not in ("hub", "leaf")
