"""The time to an answer over UDP at a fixed rate, well below what any of the servers can do."""

from __future__ import annotations

import statistics

from tests.benchmarks import load_run
from tests.benchmarks.compare import MANY
from tests.benchmarks.load_run import Answers
from tests.benchmarks.results import Part, Table
from tests.benchmarks.rounds import Effort, interleaved, spread, verdict
from tests.benchmarks.servers import COMPILED, NODES, NULL, OPENTRACKER, PLAIN, Server, Task, present, running

ROUNDS = 5
SECONDS = 5.0
RATE = 20_000
FIXED_RATE = ("-r", str(RATE))
P50_GOAL_US, P99_GOAL_US = 45, 90


def measure_one(server: Server, seconds: float) -> Answers:
    """One server in a fresh process."""
    with running(server, Task(torrents=MANY.info_hashes())) as there:
        if server is not NULL:
            load_run.fill(MANY)
        return load_run.ask(MANY, pid=there.pid, seconds=seconds, arguments=FIXED_RATE)


def measure(effort: Effort) -> Part:
    """All servers."""
    servers = present((COMPILED, PLAIN, OPENTRACKER, NULL))
    seconds = effort.length(SECONDS)
    found = interleaved(
        effort.count(ROUNDS), servers, lambda server: measure_one(server, seconds), what="time to an answer"
    )
    rows = []
    for server, runs in found.items():
        p50, p99 = [run.p50_us for run in runs], [run.p99_us for run in runs]
        is_met = statistics.median(p50) <= P50_GOAL_US and statistics.median(p99) <= P99_GOAL_US
        cpu = [100 * run.server_cpu_share for run in runs]
        goal = (f"{P50_GOAL_US} / {P99_GOAL_US}", verdict(is_met)) if server in NODES else ("-", "-")
        rows.append([server.name, spread(p50, 1), spread(p99, 1), spread(cpu), *goal])
    table = Table(
        title=f"Time to an answer at {RATE:,} announces/s over UDP, 10,000 torrents x 10 peers, median (range) of "
        f"{effort.count(ROUNDS)} rounds of {seconds:g} s",
        columns=("server", "p50, µs", "p99, µs", "server CPU, %", "goal: p50 / p99, µs", "met"),
        rows=rows,
    )
    raw = {
        server.name: [[run.p50_us, run.p99_us, run.server_cpu_share] for run in runs] for server, runs in found.items()
    }
    return Part(tables=[table], raw=raw)
