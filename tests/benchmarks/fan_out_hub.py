"""Updates a second that a hub on one core takes in from one leaf and fans out to many others."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import trio

from tests.benchmarks import fan_out_mesh
from tests.benchmarks.fan_out_mesh import pinned, wait_until_it_answers
from tests.benchmarks.fan_out_stream import TORRENTS
from tests.benchmarks.members import BenchmarkError
from tests.benchmarks.results import Chart, Part, Table
from tests.benchmarks.rounds import Effort, interleaved, spread
from tests.benchmarks.servers import LOAD_CORE, SERVER_CORE
from tests.benchmarks.traffic import told

LEAVES = (1, 2, 3, 4, 8, 16, 64)
QUICK_LEAVES = (1, 3, 16)
ROUNDS, SECONDS = 5, 6.0
CLIENTS = 100_000
RUN_LIMIT_SECONDS = 300.0
MAX_STALE_SHARE = 0.02
GOAL_LEAVES, GOAL_UPDATES = 3, 100_000
COLUMNS = (
    "leaves",
    "updates a second, each to every leaf",
    "the hub's core",
    "updates a CPU second of the hub",
    "hub CPU an update, us",
    "bytes an update and leaf",
    "the crowd's core",
)
NOTES = (
    (
        "The hub is alone on one core, TLS on. On the other core one light process holds the ends of all links: one"
        " leaf that sends full batches as fast as the slowest of the others follows, and leaves that take them without"
        " storing or uncompressing them. Where the hub's core is not near 100 %, the crowd or other work of the machine"
        " was the limit: then the updates a CPU second count."
    ),
    (
        f"Updates are those of {CLIENTS:,} clients of {TORRENTS:,} torrents of Zipf popularity: refreshes, stops (one"
        " in six) and clients that come back; the hub applies each to its own swarms. Bytes are those of TCP, TLS"
        " included."
    ),
)
Figures = dict[str, float]


@attrs.frozen
class Subject:
    """What is measured."""

    leaves: int
    compiled: bool = False


async def run(subject: Subject, *, seconds: float, encode: bool = False) -> Figures:
    """A fresh hub, and a crowd around it; ``encode``: see `fan_out_crowd`."""
    with fan_out_mesh.plan() as plan:
        hub = plan.hub(max_attempts_per_minute=10_000)
        async with contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(pinned(hub, SERVER_CORE, compiled=subject.compiled))
            await wait_until_it_answers(hub)
            command: Sequence[Any] = [
                *("taskset", "-c", LOAD_CORE, sys.executable, "-m", "tests.benchmarks.fan_out_crowd"),
                "{}:{}".format(*hub.link),
                *("--pid", hub.pid, "--password-file", plan.directory / "mesh-password"),
                *("--leaves", subject.leaves, "--clients", CLIENTS, "--seconds", seconds),
                *(("--encode",) if encode else ()),
            ]
            with trio.move_on_after(RUN_LIMIT_SECONDS):
                done = await trio.run_process(
                    [str(word) for word in command], capture_stdout=True, capture_stderr=True, check=False
                )
                if done.returncode:
                    raise BenchmarkError(f"the crowd ended: {done.stderr.decode(errors='replace')[-2000:]}")
                figures: Figures = json.loads(done.stdout)
                _check(await told(hub))
                return figures
    raise BenchmarkError(f"not done within {RUN_LIMIT_SECONDS:.0f} s")


def _check(hub: Mapping[str, Any]) -> None:
    """A hub that finds the updates out of date does not do the work that is measured."""
    mesh = hub["mesh"]
    if mesh["stale_records"] > mesh["applied_records"] * MAX_STALE_SHARE:
        raise BenchmarkError(f"{mesh['stale_records']:,} updates were stale and {mesh['applied_records']:,} were not")


def measure(effort: Effort, *, compiled: bool = False) -> Part:
    """All numbers of leaves, in turn."""
    subjects = [Subject(leaves, compiled) for leaves in (effort.sizes or (QUICK_LEAVES if effort.quick else LEAVES))]

    def once(subject: Subject) -> Figures:
        return trio.run(lambda: run(subject, seconds=effort.length(SECONDS)))

    found = interleaved(effort.count(ROUNDS), subjects, once, what="hub")
    kind = fan_out_mesh.KINDS[compiled].name
    return Part(tables=[_table(found, kind)], charts=[_chart(found, kind)], raw=_raw(found))


def _table(found: dict[Subject, list[Figures]], kind: str) -> Table:
    notes = list(NOTES)
    slope, offset = _line_through(found)
    notes.append(f"Hub CPU an update: {offset:.2f} us to take it in, and {slope:.3f} us for each leaf (least squares).")
    for subject, rounds in found.items():
        if subject.leaves == GOAL_LEAVES:
            rates = [figures["updates_per_second"] for figures in rounds]
            notes.append(f"Goal: {GOAL_UPDATES:,} a second to {GOAL_LEAVES} leaves; reached {spread(rates)}.")
    return Table(
        title=f"What a hub takes in and fans out ({kind})",
        columns=COLUMNS,
        rows=[_row(subject, rounds) for subject, rounds in found.items()],
        notes=notes,
    )


def _row(subject: Subject, rounds: list[Figures]) -> list[str]:
    def of(key: str) -> list[float]:
        return [figures[key] for figures in rounds]

    return [
        str(subject.leaves),
        spread(of("updates_per_second")),
        spread([share * 100 for share in of("hub_cpu_share")]) + " %",
        spread([1e6 / cost for cost in of("hub_cpu_us_per_update")]),
        spread(of("hub_cpu_us_per_update"), 2),
        spread(of("bytes_per_update"), 1),
        spread([share * 100 for share in of("own_cpu_share")]) + " %",
    ]


def _line_through(found: dict[Subject, list[Figures]]) -> tuple[float, float]:
    """Slope and offset of the hub's CPU time an update over the number of leaves."""
    points = [
        (subject.leaves, figures["hub_cpu_us_per_update"]) for subject, rounds in found.items() for figures in rounds
    ]
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    spread_x = sum((x - mean_x) ** 2 for x, _ in points)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in points) / spread_x if spread_x else 0.0
    return slope, mean_y - slope * mean_x


def _chart(found: dict[Subject, list[Figures]], kind: str) -> Chart:
    def median(rounds: list[Figures]) -> float:
        return sorted(figures["hub_cpu_us_per_update"] for figures in rounds)[len(rounds) // 2]

    return Chart(
        name="hub-cpu-a-leaf",
        title="Hub CPU an update, by the number of leaves",
        x_label="leaves",
        y_label="CPU microseconds an update",
        series={kind: [(subject.leaves, median(rounds)) for subject, rounds in found.items()]},
    )


def _raw(found: dict[Subject, list[Figures]]) -> list[Figures]:
    return [figures for rounds in found.values() for figures in rounds]
