"""How long the garbage collector keeps a large node from its work."""

from __future__ import annotations

import json
import os
import signal
import tempfile
import time
from pathlib import Path

from tests.benchmarks import collected, load_run
from tests.benchmarks.collected import Pauses
from tests.benchmarks.growth import PEERS_EACH
from tests.benchmarks.load_run import Swarms
from tests.benchmarks.members import BenchmarkError
from tests.benchmarks.results import Part, Table
from tests.benchmarks.rounds import Effort, interleaved, spread
from tests.benchmarks.servers import NODES, Server, Task, present, running

ROUNDS = 3
SECONDS = 20.0
SIZES = (1_000_000,)
WAIT_SECONDS = 60.0

Generations = tuple[Pauses, Pauses, Pauses]


def measure_one(server: Server, peers: int, seconds: float) -> Generations:
    """All peers come to a fresh process, then full load; the last generation is one collection of everything."""
    swarms = Swarms(peers // PEERS_EACH, PEERS_EACH)
    with tempfile.TemporaryDirectory(prefix="mt-") as folder:
        file = Path(folder) / "pauses.json"
        task = Task(torrents=swarms.info_hashes(), program=(collected.__file__, str(file)))
        with running(server, task) as there:
            os.kill(there.pid, signal.SIGUSR1)
            load_run.fill(swarms)
            load_run.ask(swarms, pid=there.pid, seconds=seconds)
            os.kill(there.pid, signal.SIGUSR2)
            deadline = time.monotonic() + WAIT_SECONDS
            while not file.exists():
                if time.monotonic() > deadline:
                    raise BenchmarkError(f"{server.name} does not say how long its collections took")
                # The server writes it, once it gets to the signal.
                time.sleep(0.05)
        young, middle, full = (Pauses(**generation) for generation in json.loads(file.read_text()))
        return young, middle, full


def measure(effort: Effort) -> Part:
    """All nodes."""
    servers, sizes, seconds = present(NODES), effort.sizes or SIZES, effort.length(SECONDS)
    subjects = [(server, peers) for peers in sizes for server in servers]
    rounds = effort.count(ROUNDS)
    found = interleaved(rounds, subjects, lambda pair: measure_one(*pair, seconds), what="pauses")
    rows = []
    for (server, peers), runs in found.items():
        cells = [f"{peers:,}", server.name]
        for generation in range(2):
            cells.append(spread([run[generation].count for run in runs]))
            cells.append(spread([1000 * run[generation].longest_seconds for run in runs], 2))
        rows.append([*cells, spread([1000 * run[2].longest_seconds for run in runs], 1)])
    table = Table(
        title=f"The garbage collector while peers come and in {seconds:g} s of load, median (range) of {rounds} rounds",
        columns=("peers", "server", "young", "longest, ms", "middle", "longest, ms", "all (once an hour), ms"),
        rows=rows,
    )
    raw = {
        f"{server.name}: {peers}": [[pauses.longest_seconds for pauses in run] for run in runs]
        for (server, peers), runs in found.items()
    }
    return Part(tables=[table], raw=raw)
