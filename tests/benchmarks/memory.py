"""What peers and small swarms add to the resident memory."""

from __future__ import annotations

import statistics

import attrs

from tests.benchmarks import load_run
from tests.benchmarks.load_run import Swarms
from tests.benchmarks.results import Part, Table
from tests.benchmarks.rounds import Effort, interleaved, ratios, spread, verdict
from tests.benchmarks.servers import COMPILED, NODES, OPENTRACKER, PLAIN, Server, Task, present, running

ROUNDS = 3


@attrs.frozen
class Filling:
    """What is put in, and how the memory that it takes is shared out."""

    title: str
    swarms: Swarms
    units: int
    goal_bytes: int


FILLINGS = (
    Filling("a peer, 1,000,000 in 100,000 swarms", Swarms(100_000, 10), 1_000_000, 96),
    Filling("a swarm of one peer, 200,000 of them", Swarms(200_000, 1), 200_000, 600),
)


def measure_one(server: Server, filling: Filling) -> float:
    """Bytes a unit, in a fresh process."""
    with running(server, Task(torrents=filling.swarms.info_hashes())) as there:
        before = there.rss_bytes()
        load_run.fill(filling.swarms)
        return (there.rss_bytes() - before) / filling.units


def measure(effort: Effort) -> Part:
    """All servers that keep peers."""
    servers = present((COMPILED, PLAIN, OPENTRACKER))
    subjects = [(filling, server) for filling in FILLINGS for server in servers]
    found = interleaved(effort.count(ROUNDS), subjects, lambda pair: measure_one(pair[1], pair[0]), what="memory")
    rows = []
    for (filling, server), values in found.items():
        theirs = found.get((filling, OPENTRACKER))
        ratio = spread(ratios(values, theirs), 2) if theirs and server is not OPENTRACKER else "-"
        is_met = statistics.median(values) <= filling.goal_bytes
        goal = (f"at most {filling.goal_bytes}", verdict(is_met)) if server in NODES else ("-", "-")
        rows.append([filling.title, server.name, spread(values, 1), ratio, *goal])
    table = Table(
        title=f"Bytes of resident memory, median (range) of {effort.count(ROUNDS)} rounds",
        columns=("of", "server", "bytes", "to opentracker", "goal", "met"),
        rows=rows,
    )
    return Part(tables=[table], raw={f"{filling.title}: {server.name}": v for (filling, server), v in found.items()})
