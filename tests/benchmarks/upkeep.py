"""What a node does beside its answers, as it grows: expiry and snapshots, and how long clients wait meanwhile."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import attrs

from meshtracker.app.run import SNAPSHOT_FILE
from tests.benchmarks import load_run
from tests.benchmarks.growth import PEERS_EACH, SIZES
from tests.benchmarks.load_run import Swarms
from tests.benchmarks.members import BenchmarkError
from tests.benchmarks.results import Chart, Part, Table
from tests.benchmarks.rounds import Effort, interleaved, spread, verdict
from tests.benchmarks.servers import NODES, NULL, Server, Task, present, running
from tests.benchmarks.steady import RATE, steady, watch

ROUNDS = 2
SNAPSHOT_SECONDS = 15.0
IDLE_SECONDS = 5.0
AFTER_SECONDS = 1.0
POLL_SECONDS = 0.005
"""Between two looks at the snapshot file: it costs the node nothing, as asking it would."""
WAIT_SECONDS = 180.0
STALL_GOAL_MS = 20


@attrs.frozen(kw_only=True)
class Kept:
    """One node with so many peers."""

    idle_cpu_percent: float
    """Of a core without any client: what is left is expiry."""
    longest_ms: float
    """The longest answer while nothing but expiry went on."""
    snapshot_seconds: float
    snapshot_mb: float
    snapshot_longest_ms: float
    """The longest answer while a snapshot was written."""


def measure_one(server: Server, peers: int) -> Kept:
    """Fill a fresh process, then let it alone but for a few clients."""
    with running(server, Task(snapshot_seconds=SNAPSHOT_SECONDS)) as there:
        load_run.fill(Swarms(peers // PEERS_EACH, PEERS_EACH))
        file = there.folder / "state" / SNAPSHOT_FILE
        _written(file)  # the most time until the next one
        used = -there.cpu_seconds()
        # What is measured is a node that nobody asks, for a real while.
        time.sleep(IDLE_SECONDS)
        used += there.cpu_seconds()
        with steady() as seen:
            since = time.time()
            begun, done = _written(file)
            time.sleep(AFTER_SECONDS)
        return Kept(
            idle_cpu_percent=100 * used / IDLE_SECONDS,
            longest_ms=seen.longest_ms(since, begun - 2 * POLL_SECONDS),
            snapshot_seconds=done - begun,
            snapshot_mb=file.stat().st_size / 1e6,
            snapshot_longest_ms=seen.longest_ms(begun - 2 * POLL_SECONDS, done + 2 * POLL_SECONDS),
        )


def _written(file: Path) -> tuple[float, float]:
    """Wait until the next snapshot is written; when it was begun and done, in Unix time."""
    new = file.with_name(f"{file.name}.new")
    # One that is under way was begun before anybody looked.
    _wait(lambda: not new.exists())
    _wait(new.exists)
    begun = time.time()
    _wait(lambda: not new.exists())
    return begun, time.time()


def _wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise BenchmarkError(f"no snapshot was written within {WAIT_SECONDS:.0f} s")
        time.sleep(POLL_SECONDS)


def machine_longest_ms() -> float:
    """The longest answer of a server that does nothing else: what the machine adds."""
    with running(NULL, Task()), steady() as seen:
        since, until = watch(SNAPSHOT_SECONDS)
    return seen.longest_ms(since, until)


def measure(effort: Effort) -> Part:
    """All nodes, all sizes."""
    servers, sizes = present(NODES), effort.sizes or SIZES
    subjects = [(server, peers) for peers in sizes for server in servers]
    rounds = effort.count(ROUNDS)
    found = interleaved(rounds, subjects, lambda pair: measure_one(*pair), what="upkeep")
    null = [machine_longest_ms() for _ in range(rounds)]
    rows = [_row(server, peers, runs) for (server, peers), runs in found.items()]
    rows.append(["-", "null server", "-", spread(null, 1), "-", "-", "-", "-"])
    table = Table(
        title=f"Expiry and snapshots, median (range) of {rounds} rounds",
        columns=(
            "peers",
            "server",
            "CPU without clients, %",
            "longest answer, ms",
            "snapshot, s",
            "MB",
            "longest answer meanwhile, ms",
            f"at most {STALL_GOAL_MS} ms",
        ),
        rows=rows,
        notes=(
            f"Answers are those to {RATE:,} announces a second.",
            "The longest of the null server is what the machine itself adds.",
        ),
    )
    charts = [
        _chart("snapshot-time", "Time to write a snapshot", "seconds", found, lambda kept: kept.snapshot_seconds),
        _chart(
            "snapshot-stall",
            "Longest answer while a snapshot is written",
            "milliseconds",
            found,
            lambda kept: kept.snapshot_longest_ms,
        ),
    ]
    raw = {f"{server.name}: {peers}": [attrs.asdict(run) for run in runs] for (server, peers), runs in found.items()}
    return Part(tables=[table], charts=charts, raw=raw)


def _row(server: Server, peers: int, runs: list[Kept]) -> list[str]:
    stalls = [run.snapshot_longest_ms for run in runs]
    return [
        f"{peers:,}",
        server.name,
        spread([run.idle_cpu_percent for run in runs], 1),
        spread([run.longest_ms for run in runs], 1),
        spread([run.snapshot_seconds for run in runs], 2),
        f"{runs[0].snapshot_mb:,.1f}",
        spread(stalls, 1),
        verdict(statistics.median(stalls) <= STALL_GOAL_MS),
    ]


def _chart(
    name: str,
    title: str,
    label: str,
    found: dict[tuple[Server, int], list[Kept]],
    figure: Callable[[Kept], float],
) -> Chart:
    series: dict[str, list[tuple[float, float]]] = {}
    for (server, peers), runs in found.items():
        series.setdefault(server.name, []).append((peers, statistics.median(map(figure, runs))))
    return Chart(name=name, title=title, x_label="peers", y_label=label, series=series)
