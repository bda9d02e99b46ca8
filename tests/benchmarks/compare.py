"""Answers a second of each server, beside Debian's opentracker and beside a server that does nothing."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

import attrs

from tests.benchmarks import load_run
from tests.benchmarks.load_run import Swarms, Tool
from tests.benchmarks.results import Part, Table
from tests.benchmarks.rounds import Effort, interleaved, ratios, spread, verdict
from tests.benchmarks.servers import (
    COMPILED,
    NULL,
    OPENTRACKER,
    PLAIN,
    Server,
    Task,
    Transport,
    present,
    running,
    versions,
)

ROUNDS = 5
SECONDS = 3.0
MANY = Swarms(10_000, 10)
NUMWANT = 50
"""What the generators ask for."""


@attrs.frozen
class Goal:
    """At least so many times as fast as another server."""

    least: float
    other: Server

    def text(self) -> str:
        """As it is in the table."""
        return f"{self.least} x {self.other.name}"


@attrs.frozen(kw_only=True, eq=False)
class Workload:
    """One way to ask."""

    title: str
    swarms: Swarms
    goals: Mapping[Server, Goal]
    tool: Tool = "udpload"
    arguments: tuple[str, ...] = ()
    per_cpu_second: bool = False
    """The load generator is the limit: keep the server's core busy and count answers per second of server CPU."""

    @property
    def transport(self) -> Transport:
        """What is spoken."""
        return "udp" if self.tool == "udpload" else "http"


WORKLOADS = (
    Workload(
        title="UDP, 10,000 torrents x 10 peers",
        swarms=MANY,
        goals={COMPILED: Goal(1.2, OPENTRACKER), PLAIN: Goal(0.75, OPENTRACKER)},
    ),
    Workload(
        title="UDP, one swarm of 5,000",
        swarms=Swarms(1, 5000),
        goals={COMPILED: Goal(1.1, OPENTRACKER), PLAIN: Goal(0.75, OPENTRACKER)},
    ),
    Workload(
        title="HTTP keep-alive",
        swarms=MANY,
        tool="httpload",
        arguments=("-m", "keepalive"),
        goals={COMPILED: Goal(0.84, NULL), PLAIN: Goal(0.4, NULL)},
    ),
    Workload(
        title="HTTP close, a server CPU second",
        swarms=MANY,
        tool="httpload",
        arguments=("-m", "close"),
        per_cpu_second=True,
        goals={COMPILED: Goal(1.0, OPENTRACKER)},
    ),
)


def measure_one(server: Server, workload: Workload, seconds: float) -> float:
    """Answers a second of one server in a fresh process."""
    swarms = workload.swarms
    peers = min(NUMWANT, swarms.peers_each)
    task = Task(torrents=swarms.info_hashes(), transport=workload.transport, null_peers=peers)
    with running(server, task) as there:
        if server is not NULL:
            load_run.fill(swarms)
        if workload.per_cpu_second:
            with load_run.busy_core():
                answers = _ask(workload, there.pid, seconds)
            return answers.per_cpu_second
        return _ask(workload, there.pid, seconds).per_second


def _ask(workload: Workload, pid: int, seconds: float) -> load_run.Answers:
    return load_run.ask(workload.swarms, pid=pid, seconds=seconds, tool=workload.tool, arguments=workload.arguments)


def measure(effort: Effort) -> Part:
    """All servers, all workloads."""
    servers = present((COMPILED, PLAIN, OPENTRACKER, NULL))
    subjects = [(workload, server) for workload in WORKLOADS for server in servers]
    seconds = effort.length(SECONDS)
    found = interleaved(
        effort.count(ROUNDS), subjects, lambda pair: measure_one(pair[1], pair[0], seconds), what="answers a second"
    )
    rows = []
    for workload in WORKLOADS:
        figures = {server: found[workload, server] for server in servers}
        rows += [_row(workload, server, figures) for server in servers]
    table = Table(
        title=f"Answers a second on one core, median (range) of {effort.count(ROUNDS)} rounds of {seconds:g} s",
        columns=("workload", "server", "answers/s", "to opentracker", "to the null server", "goal", "met"),
        rows=rows,
        notes=(versions(servers),),
    )
    raw = {f"{workload.title}: {server.name}": values for (workload, server), values in found.items()}
    return Part(tables=[table], raw=raw)


def _row(workload: Workload, server: Server, figures: Mapping[Server, Sequence[float]]) -> list[str]:
    cells = [workload.title, server.name, spread(figures[server])]
    for other in (OPENTRACKER, NULL):
        known = other in figures and server not in (other, NULL)
        cells.append(spread(ratios(figures[server], figures[other]), 2) if known else "-")
    goal = workload.goals.get(server)
    if goal is None or goal.other not in figures:
        return [*cells, "-", "-"]
    ratio = statistics.median(ratios(figures[server], figures[goal.other]))
    return [*cells, goal.text(), verdict(ratio >= goal.least)]
