"""The hub's memory while one leaf takes nothing of what it is sent, and the others go on.

Two ways to be stuck: a leaf that reads nothing and goes on sending heartbeats, on a hub that is told to leave it at an
alarm (``link.auto_reset = false``); and a leaf that is stopped (SIGSTOP), with default settings.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator, Callable

import attrs
import trio

from meshtracker.link.proof.authentication import Credential, channel_binding
from meshtracker.link.transitions import State
from meshtracker.network.tls import client_context
from meshtracker.wire.frame import DATA_FRAMES, MAX_PAYLOAD_BYTES, FrameDecoder
from meshtracker.wire.link import Heartbeat, encode_heartbeat
from tests import mouth_to_mouth
from tests.benchmarks.members import BenchmarkError, Member, Options, Plan, clients, wait_counts, wait_synced
from tests.benchmarks.traffic import told

RATE = 5000
CROWD = 50_000
TORRENTS = 10_000
SAMPLE_SECONDS = 10.0
HEARTBEAT_SECONDS = 5.0

VARIANTS = ("reads nothing", "stopped")
HEAD = (
    "| leaf | updates a second | log | hub's memory with all peers | log just full | end | slope after that |"
    " the healthy leaf at the end | the hub says of the stuck one |\n"
    "|---|---|---|---|---|---|---|---|---|"
)


@attrs.frozen
class Sample:
    """The hub at one time."""

    at: float
    rss_bytes: int
    log_bytes: int
    updates: int


@contextlib.asynccontextmanager
async def reads_nothing(plan: Plan, hub: Member) -> AsyncIterator[None]:
    """A leaf that links as it should; once it is synced it sends heartbeats and reads no more."""
    password = (plan.directory / "mesh-password").read_text().strip()
    offset_seconds = time.time() - trio.current_time()
    node = mouth_to_mouth.node(
        "stuck",
        incarnation=int(time.time() * 1000),
        clock_ahead_seconds=offset_seconds - mouth_to_mouth.WALL_OFFSET_SECONDS,
    )
    tcp = await trio.open_tcp_stream(*hub.link)
    async with (
        trio.SSLStream(tcp, client_context(None), https_compatible=True) as stream,
        trio.open_nursery() as nursery,
    ):
        await stream.do_handshake()
        binding = channel_binding(stream.getpeercert(binary_form=True))
        now = trio.current_time
        end = mouth_to_mouth.session(node, dials=True, now=now(), binding=binding, credential=Credential(password))
        sent, received = bytearray(), bytearray()
        while True:
            while data := end.data_to_send(now()):
                sent += data
                await stream.send_all(data)
            if end.state is State.CLOSED:
                raise BenchmarkError(f"the hub refuses the stuck leaf: {end.reason}")
            if end.state is State.SYNCED:
                break
            data = bytes(await stream.receive_some())
            received += data
            end.receive_data(data, now())
        last = Heartbeat(clock_ms=0, sent_frames=_data(sent), applied_frames=_data(received), vector=node.mesh.vector())
        nursery.start_soon(_beat, stream, last)
        yield
        nursery.cancel_scope.cancel()


def _data(stream: bytearray) -> int:
    """Frames of data in one direction of a link."""
    decoder = FrameDecoder()
    decoder.max_payload_bytes = MAX_PAYLOAD_BYTES
    return sum(kind in DATA_FRAMES for kind, _ in decoder.feed(bytes(stream)))


async def _beat(stream: trio.SSLStream[trio.SocketStream], last: Heartbeat) -> None:
    """Says the same again and again: nothing more was applied."""
    while True:
        await stream.send_all(encode_heartbeat(attrs.evolve(last, clock_ms=int(time.time() * 1000))))
        await trio.sleep(HEARTBEAT_SECONDS)


@contextlib.asynccontextmanager
async def stopped(plan: Plan, hub: Member) -> AsyncIterator[None]:
    """A leaf that is stopped once it is synced."""
    leaf = plan.leaf("stuck", "{}:{}".format(*hub.link))
    async with leaf.run():
        await wait_synced(hub, leaf)
        os.kill(leaf.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(leaf.pid, signal.SIGCONT)


async def run(plan: Plan, say: Callable[[str], None], *, variant: str, minutes: float, max_log_bytes: int) -> None:
    """One variant: "reads nothing" or "stopped"."""
    link = {"auto_reset": False} if variant == "reads nothing" else {}
    hub = plan.hub(max_log_bytes=max_log_bytes, **link)
    a, b = (plan.leaf(name, "{}:{}".format(*hub.link)) for name in ("a", "b"))
    stuck = {"reads nothing": reads_nothing, "stopped": stopped}[variant]
    async with contextlib.AsyncExitStack() as stack:
        for member in (hub, a, b):
            await stack.enter_async_context(member.run())
        for leaf in (a, b):
            await wait_synced(hub, leaf)
        # The crowd comes first: its rows are no growth.
        crowd: Options = {"kind": "flip", "clients": CROWD, "torrents": TORRENTS, "numwant": 0}
        await stack.enter_async_context(clients(a, rate=RATE, **crowd))
        await wait_counts((hub, a, b), CROWD)
        await stack.enter_async_context(stuck(plan, hub))
        samples = [await _sample(hub)]
        began = trio.current_time()
        while trio.current_time() < began + minutes * 60:
            await trio.sleep(SAMPLE_SECONDS)
            samples.append(await _sample(hub))
        if variant == VARIANTS[0]:
            say(HEAD)
        say(await _row(variant, hub, b, samples, max_log_bytes))


async def _sample(hub: Member) -> Sample:
    figures = await told(hub)
    return Sample(trio.current_time(), hub.rss_bytes(), figures["log"]["bytes"], figures["mesh"]["applied_records"])


async def _row(variant: str, hub: Member, healthy: Member, samples: list[Sample], max_log_bytes: int) -> str:
    full = [sample for sample in samples if sample.log_bytes > max_log_bytes * 0.98] or samples[-1:]
    first, last = samples[0], samples[-1]
    links = [link for link in (await told(hub))["links"] if link["peer"] == "stuck"]
    state = links[0]["state"] if links else "gone"
    reason = (links[0]["reason"] or links[0].get("verdict", "")) if links else ""
    lag = {link["peer"]: link["peer_lag_batches"] for link in (await told(hub))["links"] if link["state"] == "synced"}
    cells = [
        variant,
        f"{(last.updates - first.updates) / (last.at - first.at):,.0f}",
        f"{max_log_bytes >> 20} MiB, full after {full[0].at - first.at:.0f} s",
        *(f"{sample.rss_bytes / (1 << 20):.1f} MiB" for sample in (first, full[0], last)),
        f"{slope_kib(full):+.1f} KiB a minute",
        f"{lag.get(healthy.name, -1)} batches behind",
        f"{state}: {reason}",
    ]
    return f"| {' | '.join(cells)} |"


def slope_kib(samples: list[Sample]) -> float:
    """Growth of memory by least squares, KiB a minute."""
    if len(samples) < 3:
        return float("nan")
    mean_at = sum(sample.at for sample in samples) / len(samples)
    mean_rss = sum(sample.rss_bytes for sample in samples) / len(samples)
    rise = sum((sample.at - mean_at) * (sample.rss_bytes - mean_rss) for sample in samples)
    return rise / sum((sample.at - mean_at) ** 2 for sample in samples) * 60 / 1024
