"""Announces to one swarm, small to huge: who asks in a large one should not wait for the others."""

from __future__ import annotations

import statistics

from tests.benchmarks import load_run, newcomers
from tests.benchmarks.load_run import Swarms
from tests.benchmarks.results import Chart, Part, Table
from tests.benchmarks.rounds import Effort, interleaved, ratios, spread, verdict
from tests.benchmarks.servers import COMPILED, NODES, OPENTRACKER, PLAIN, Server, Task, present, running

ROUNDS = 5
SECONDS = 2.0
SIZES = (100, 1_000, 10_000, 50_000, 100_000)
ONE_SOURCE_PEERS = 60_000
"""The generator's peers differ by port; those beyond have another address, and announce once."""
LEAST_SHARE = 0.9
"""Of the pace of the smallest swarm."""


def measure_one(server: Server, size: int, seconds: float) -> float:
    """Answers a second, in a fresh process."""
    swarms = Swarms(1, min(size, ONE_SOURCE_PEERS))
    info_hashes = swarms.info_hashes()
    with running(server, Task(torrents=info_hashes)) as there:
        load_run.fill(swarms)
        if size > swarms.peers:
            newcomers.come(bytes.fromhex(info_hashes[0]), size - swarms.peers)
        return load_run.ask(swarms, pid=there.pid, seconds=seconds).per_second


def measure(effort: Effort) -> Part:
    """All servers that keep peers, all sizes."""
    servers, sizes, seconds = present((COMPILED, PLAIN, OPENTRACKER)), effort.sizes or SIZES, effort.length(SECONDS)
    subjects = [(server, size) for server in servers for size in sizes]
    found = interleaved(
        effort.count(ROUNDS), subjects, lambda pair: measure_one(*pair, seconds), what="answers in one swarm"
    )
    rows = []
    for (server, size), values in found.items():
        shares = ratios(values, found[server, sizes[0]])
        judged = server in NODES and size == sizes[-1] != sizes[0]
        goal = (f"{LEAST_SHARE}", verdict(statistics.median(shares) >= LEAST_SHARE)) if judged else ("-", "-")
        rows.append([server.name, f"{size:,}", spread(values), spread(shares, 2), *goal])
    table = Table(
        title=f"Answers a second in one swarm, median (range) of {effort.count(ROUNDS)} rounds of {seconds:g} s",
        columns=("server", "peers", "answers/s", f"to a swarm of {sizes[0]:,}", "goal", "met"),
        rows=rows,
    )
    chart = Chart(
        name="one-swarm",
        title="One swarm: answers a second",
        x_label="peers in the swarm",
        y_label="answers a second",
        series={server.name: [(size, statistics.median(found[server, size])) for size in sizes] for server in servers},
    )
    raw = {f"{server.name}: {size}": values for (server, size), values in found.items()}
    return Part(tables=[table], charts=[chart], raw=raw)
