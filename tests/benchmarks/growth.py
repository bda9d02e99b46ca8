"""Pace, latency and memory as the number of peers grows, with ten peers to a swarm."""

from __future__ import annotations

import statistics
from collections.abc import Callable

import attrs

from tests.benchmarks import load_run
from tests.benchmarks.latency import FIXED_RATE, RATE
from tests.benchmarks.load_run import Swarms
from tests.benchmarks.results import Chart, Part, Table
from tests.benchmarks.rounds import Effort, interleaved, spread
from tests.benchmarks.servers import COMPILED, OPENTRACKER, PLAIN, Server, Task, present, running

ROUNDS = 3
SECONDS = 3.0
SIZES = (1_000, 10_000, 100_000, 1_000_000, 5_000_000)
PEERS_EACH = 10


@attrs.frozen(kw_only=True)
class Grown:
    """One server with so many peers."""

    answers_per_second: float
    p99_us: float
    added_mb: float
    """Resident memory beyond that of the empty server, its list of torrents included there."""


def measure_one(server: Server, peers: int, seconds: float) -> Grown:
    """Fill a fresh process, then ask it."""
    swarms = Swarms(peers // PEERS_EACH, PEERS_EACH)
    with running(server, Task(torrents=swarms.info_hashes())) as there:
        empty = there.rss_bytes()
        load_run.fill(swarms)
        added = there.rss_bytes() - empty
        full_rate = load_run.ask(swarms, pid=there.pid, seconds=seconds)
        fixed_rate = load_run.ask(swarms, pid=there.pid, seconds=seconds, arguments=FIXED_RATE)
    return Grown(answers_per_second=full_rate.per_second, p99_us=fixed_rate.p99_us, added_mb=added / 1e6)


CURVES: tuple[tuple[str, str, str, Callable[[Grown], float]], ...] = (
    ("growth-answers", "Answers a second", "answers a second", lambda grown: grown.answers_per_second),
    ("growth-p99", f"Time to an answer at {RATE:,} announces a second", "p99, µs", lambda grown: grown.p99_us),
    ("growth-memory", "Resident memory added by the peers", "MB", lambda grown: grown.added_mb),
)
"""File name, title and label of each chart, and what it shows."""


def measure(effort: Effort) -> Part:
    """All servers that keep peers, all sizes."""
    servers, sizes, seconds = present((COMPILED, PLAIN, OPENTRACKER)), effort.sizes or SIZES, effort.length(SECONDS)
    subjects = [(server, peers) for peers in sizes for server in servers]
    found = interleaved(effort.count(ROUNDS), subjects, lambda pair: measure_one(*pair, seconds), what="growth")
    rows = [
        [
            f"{peers:,}",
            server.name,
            spread([run.answers_per_second for run in runs]),
            spread([run.p99_us for run in runs], 1),
            spread([run.added_mb for run in runs], 1),
            spread([run.added_mb * 1e6 / peers for run in runs]),
        ]
        for (server, peers), runs in found.items()
    ]
    table = Table(
        title=f"Growth over UDP, ten peers a swarm, median (range) of {effort.count(ROUNDS)} rounds of {seconds:g} s",
        columns=("peers", "server", "answers/s", f"p99 at {RATE:,}/s, µs", "memory added, MB", "bytes a peer"),
        rows=rows,
    )
    charts = [
        Chart(
            name=name,
            title=title,
            x_label="peers",
            y_label=label,
            series={
                server.name: [(peers, statistics.median(map(figure, found[server, peers]))) for peers in sizes]
                for server in servers
            },
        )
        for name, title, label, figure in CURVES
    ]
    raw = {f"{server.name}: {peers}": [attrs.asdict(run) for run in runs] for (server, peers), runs in found.items()}
    return Part(tables=[table], charts=charts, raw=raw)
