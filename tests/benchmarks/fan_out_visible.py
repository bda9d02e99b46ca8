"""Announce to visible: from the answer to an announce at one leaf until the peer is in an answer at another leaf."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import socket
import time
from collections.abc import Callable, Sequence

import attrs
import trio

from meshtracker.model import Event
from meshtracker.wire import udp
from tests.benchmarks import fan_out_mesh, load_run
from tests.benchmarks.announcer import Client, draw_peer_id
from tests.benchmarks.fan_out_leaf import SWARMS, listen_for_load
from tests.benchmarks.fan_out_mesh import pinned
from tests.benchmarks.members import BenchmarkError, wait_counts, wait_synced
from tests.benchmarks.results import Part, Table
from tests.benchmarks.rounds import Effort, say, verdict
from tests.benchmarks.servers import LOAD_CORE, SERVER_CORE

PROBES, QUICK_PROBES = 500, 40
FLUSH_SECONDS = 0.1
"""`link.flush_interval_seconds` by default."""
PAUSE_SECONDS = (0.0, 2 * FLUSH_SECONDS)
"""Between two probes, so that they fall anywhere between two flushes."""
LOOK_SECONDS = 0.001
"""Between two looks at the other leaf: what is found may have been there for so long."""
VISIBLE_SECONDS = 5.0
ANSWER_SECONDS = 2.0
FULL_SECONDS = 4.0
"""To find out what half load is."""
GOAL_MEDIAN_SECONDS, GOAL_P99_SECONDS = FLUSH_SECONDS + 0.01, FLUSH_SECONDS + 0.1


class Tracker:
    """A client's view of one tracker: it asks, and waits for the answer."""

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.settimeout(ANSWER_SECONDS)
        self._socket.connect((host, int(port)))
        self._transactions = itertools.count(1)
        self._connection_id = b""
        self._connected_at = float("-inf")

    def announce(self, client: Client, *, event: Event, left: int) -> bytes:
        """The answer, a whole packet."""
        if time.monotonic() - self._connected_at > 30.0:  # an id is good for a minute
            self._connected_at = time.monotonic()
            self._connection_id = udp.parse_connect_answer(self._ask(udp.pack_connect_request))
        body = client.announce(event, left=left, numwant=50)
        return self._ask(lambda transaction: self._connection_id + udp.ANNOUNCE + transaction + body)

    def _ask(self, request: Callable[[bytes], bytes]) -> bytes:
        transaction = next(self._transactions).to_bytes(4)
        self._socket.send(request(transaction))
        while (answer := self._socket.recv(udp.MAX_DATAGRAM_BYTES))[4:8] != transaction:
            pass
        if answer[:4] == udp.ERROR:
            raise BenchmarkError(f"a tracker refuses an announce: {answer[8:].decode(errors='replace')}")
        return answer


def probe(here: str, there: str, count: int) -> list[float]:
    """Seconds until each of so many peers that announce at one tracker is in an answer of the other."""
    os.sched_setaffinity(0, {int(LOAD_CORE)})  # of this thread: the core of the leaf under test is its own
    rng = random.Random()  # no torrent may be there from an earlier call
    one, other = Tracker(here), Tracker(there)
    took = []
    for number in range(count):
        # Of no fixed length, or all announces would meet the flush at the same point.
        time.sleep(rng.uniform(*PAUSE_SECONDS))
        info_hash = rng.randbytes(20)
        new, looking = (
            Client(info_hash, draw_peer_id(rng), rng.getrandbits(31), bytes(4), port)
            for port in (10_000 + number % 20_000, 40_000)
        )
        one.announce(new, event=Event.STARTED, left=1)
        answered = time.monotonic()
        wanted = socket.inet_aton("127.0.0.1") + new.port.to_bytes(2)
        while wanted not in _peers(other.announce(looking, event=Event.NONE, left=1)):
            if time.monotonic() > answered + VISIBLE_SECONDS:
                raise BenchmarkError(f"peer {number} was not visible within {VISIBLE_SECONDS:g} s")
            # To ask without a pause would take the core from the nodes that share it.
            time.sleep(LOOK_SECONDS)
        took.append(time.monotonic() - answered)
    return took


def _peers(answer: bytes) -> set[bytes]:
    return {answer[at : at + 6] for at in range(20, len(answer) - 5, 6)}


@attrs.frozen
class Found:
    """Seconds, idle and under half load."""

    idle: list[float]
    loaded: list[float]
    announces_per_second: float
    """Of the half load."""


async def run(probes: int, *, compiled: bool) -> Found:
    """A hub and two leaves."""
    with fan_out_mesh.plan() as plan:
        hub = plan.hub()
        at = "{}:{}".format(*hub.link)
        a, b = listen_for_load(plan.leaf("a", at)), plan.leaf("b", at)
        async with contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(pinned(a, SERVER_CORE, compiled=compiled))
            for member in (hub, b):
                await stack.enter_async_context(pinned(member, LOAD_CORE, compiled=compiled))
            for member in (a, b):
                await wait_synced(hub, member)
            say("visible: idle")
            idle = await trio.to_thread.run_sync(probe, a.tracker, b.tracker, probes)
            await trio.to_thread.run_sync(load_run.fill, SWARMS)
            await wait_counts((hub, a, b))
            full = await trio.to_thread.run_sync(_load, a.pid, FULL_SECONDS, ())
            await wait_counts((hub, a, b))
            say("visible: under half load")
            half = full.per_second / 2
            loaded: list[float] = []
            async with trio.open_nursery() as nursery:
                seconds = probes * (sum(PAUSE_SECONDS) / 2 + FLUSH_SECONDS)
                options = ("-r", f"{half:.0f}", "-b")
                nursery.start_soon(trio.to_thread.run_sync, _load, a.pid, seconds, options)
                loaded += await trio.to_thread.run_sync(probe, a.tracker, b.tracker, probes)
    return Found(idle, loaded, half)


def _load(pid: int, seconds: float, options: Sequence[str]) -> load_run.Answers:
    return load_run.ask(SWARMS, pid=pid, seconds=seconds, arguments=tuple(options))


def measure(effort: Effort, *, compiled: bool = False) -> Part:
    """Idle, then under half load."""
    found = trio.run(lambda: run(QUICK_PROBES if effort.quick else PROBES, compiled=compiled))
    kind = fan_out_mesh.KINDS[compiled].name
    table = Table(
        title=f"From an announce's answer at one leaf to the peer in an answer at another ({kind})",
        columns=("leaf", "median, ms", "p99, ms", "most, ms", "goal, ms", "met"),
        rows=[
            _row("idle", found.idle),
            _row(f"half load: {found.announces_per_second:,.0f} announces a second", found.loaded),
        ],
        notes=[_note(len(found.idle))],
    )
    return Part(tables=[table], raw=attrs.asdict(found))


def _note(probes: int) -> str:
    return (
        f"{probes} peers, one after the other, each of a torrent of its own; the flush interval is {FLUSH_SECONDS:g} s."
        f" The leaf that is announced to has core {SERVER_CORE} for itself; the hub, the other leaf, the load generator"
        f" and who looks, each millisecond, share core {LOAD_CORE}."
    )


def _row(title: str, seconds: list[float]) -> list[str]:
    median, p99 = percentile(seconds, 0.5), percentile(seconds, 0.99)
    return [
        title,
        *(f"{value * 1000:.1f}" for value in (median, p99, max(seconds))),
        f"{GOAL_MEDIAN_SECONDS * 1000:.0f} / {GOAL_P99_SECONDS * 1000:.0f}",
        verdict(median <= GOAL_MEDIAN_SECONDS and p99 <= GOAL_P99_SECONDS),
    ]


def percentile(values: Sequence[float], share: float) -> float:
    """By rank."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]
