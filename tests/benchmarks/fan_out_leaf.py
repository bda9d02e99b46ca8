"""What relaying costs a leaf: its announces, with and without a hub that is told of all changes.

The leaf is alone on one core; the hub and the load generator share the other, for there are but two. What the hub takes
from the generator is no cost of the leaf, so two figures are given: announces a second as they come, and announces a
second of the leaf's CPU time while a busy loop keeps its core from ever being idle, so that the leaf always finds
a full queue, whatever the generator is left with.
"""

from __future__ import annotations

import contextlib
import math
from typing import Literal

import attrs
import trio

from tests.benchmarks import fan_out_mesh, load_run
from tests.benchmarks.fan_out_mesh import pinned, wait_until_it_answers
from tests.benchmarks.load_run import Swarms, busy_core
from tests.benchmarks.members import Member, wait_counts, wait_synced
from tests.benchmarks.results import Part, Table
from tests.benchmarks.rounds import Effort, interleaved, ratios, spread, verdict
from tests.benchmarks.servers import HOST, LOAD_CORE, PORT, SERVER_CORE
from tests.benchmarks.traffic import told

SWARMS = Swarms(10_000, 10)
ROUNDS, SECONDS = 5, 6.0
GOAL_RATIO = 0.85
MIXES = {"5 % started, 2 % completed, 3 % stopped": "5,90,2,3", "45 % started, 45 % stopped": "45,8,2,45"}
"""The default of the load generator, and one in which nearly every announce is a change."""
QUICK_MIXES = 1
NOTES = (
    (
        f"The leaf has core {SERVER_CORE} for itself, core {LOAD_CORE} is shared by the hub and the load generator; TLS"
        " is on, all changes are relayed and have reached the hub when a run ends."
    ),
    (
        "Where the leaf's own core is not busy, the hub has taken the time that the load generator lacked, which is no"
        " cost of the leaf. So there is the figure a CPU second: a busy loop shares the leaf's core, and takes half of"
        " it, so that the leaf always finds a full queue."
    ),
)
Role = Literal["standalone", "leaf"]


@attrs.frozen(kw_only=True)
class Subject:
    """What is measured."""

    mix: str
    role: Role
    is_saturated: bool
    """With the busy loop; see the module's docstring."""
    compiled: bool = False


@attrs.frozen
class Found:
    """By one run."""

    per_second: float
    per_cpu_second: float
    relayed_per_second: float


async def run(subject: Subject, *, seconds: float) -> Found:
    """A fresh leaf, filled, and a fresh hub that has heard of all."""
    with fan_out_mesh.plan() as plan:
        async with contextlib.AsyncExitStack() as stack:
            hub = plan.hub()
            hubs: dict[str, list[str]] = {} if subject.role == "leaf" else {"hubs": []}
            members = [listen_for_load(plan.leaf("leaf", "{}:{}".format(*hub.link), **hubs))]
            await stack.enter_async_context(pinned(members[0], SERVER_CORE, compiled=subject.compiled))
            if subject.role == "leaf":
                await stack.enter_async_context(pinned(hub, LOAD_CORE, compiled=subject.compiled))
                members.append(hub)
                await wait_synced(*members)
            await wait_until_it_answers(members[0])
            await trio.to_thread.run_sync(load_run.fill, SWARMS)
            await wait_counts(members)
            before = (await told(members[-1]))["mesh"]["applied_records"]
            with busy_core() if subject.is_saturated else contextlib.nullcontext():
                answers = await trio.to_thread.run_sync(_ask, subject, members[0].pid, seconds)
            # What is still on its way was served within these seconds as well.
            await wait_counts(members)
            relayed = (await told(members[-1]))["mesh"]["applied_records"] - before
    return Found(answers.per_second, answers.per_cpu_second, relayed / seconds)


def listen_for_load(leaf: Member) -> Member:
    """The same, at the port that `load_run` sends to."""
    tracker = f"{HOST}:{PORT}"
    leaf.config.write_text(leaf.config.read_text().replace(leaf.tracker, tracker))
    leaf.tracker = tracker
    return leaf


def _ask(subject: Subject, pid: int, seconds: float) -> load_run.Answers:
    return load_run.ask(SWARMS, pid=pid, seconds=seconds, arguments=("-e", MIXES[subject.mix]))


def measure(effort: Effort, *, compiled: bool = False) -> Part:
    """Standalone and leaf in turn."""
    mixes = list(MIXES)[: QUICK_MIXES if effort.quick else None]
    roles: tuple[Role, ...] = ("standalone", "leaf")
    subjects = [
        Subject(mix=mix, role=role, is_saturated=is_saturated, compiled=compiled)
        for mix in mixes
        for is_saturated in (False, True)
        for role in roles
    ]

    def once(subject: Subject) -> Found:
        return trio.run(lambda: run(subject, seconds=effort.length(SECONDS)))

    found = interleaved(effort.count(ROUNDS), subjects, once, what="leaf")
    kind = fan_out_mesh.KINDS[compiled].name
    rows = [_row(found, mix, is_saturated) for mix in mixes for is_saturated in (False, True)]
    table = Table(
        title=f"What relaying costs a leaf ({kind}, UDP, 10,000 hashes x 10 peers)",
        columns=(
            "announces",
            "figure",
            "standalone",
            "leaf",
            "ratio",
            "the leaf's share of its core, %",
            "updates relayed a second",
            "at least 0.85",
        ),
        rows=rows,
        notes=NOTES,
    )
    raw = [{**attrs.asdict(subject), **attrs.asdict(one)} for subject, several in found.items() for one in several]
    return Part(tables=[table], raw=raw)


def _row(found: dict[Subject, list[Found]], mix: str, is_saturated: bool) -> list[str]:
    def of(role: Role) -> list[Found]:
        return next(
            several
            for subject, several in found.items()
            if (subject.mix, subject.is_saturated, subject.role) == (mix, is_saturated, role)
        )

    def figure(one: Found) -> float:
        return one.per_cpu_second if is_saturated else one.per_second

    alone, linked = [figure(one) for one in of("standalone")], [figure(one) for one in of("leaf")]
    each = ratios(linked, alone)
    middle = sorted(each)[len(each) // 2] if each else math.nan
    return [
        mix,
        "a CPU second" if is_saturated else "a second",
        spread(alone),
        spread(linked),
        spread(each, 2),
        spread([100 * one.per_second / one.per_cpu_second for one in of("leaf")]),
        spread([one.relayed_per_second for one in of("leaf")]),
        verdict(middle >= GOAL_RATIO),
    ]
