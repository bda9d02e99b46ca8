"""How long from an announce at one leaf until every other node hands the peer out, measured over sockets.

The clock runs from before the announce is sent until an answer with the peer in it has come from the other node; each
is asked every few milliseconds. So a figure holds everything a client would wait for, and a little asking too.
"""

from __future__ import annotations

import bisect
import math
import random
from collections.abc import Sequence
from contextlib import ExitStack, closing

import attrs
import trio

from meshtracker.demo.mesh import PROTOCOLS, DemoMesh, Tracker
from meshtracker.demo.swarms import TORRENTS, compact_peers, new_peer_id, question
from meshtracker.model import AnnounceRequest, Event
from meshtracker.wire.compact import pack_peer, packed_address

ADDRESS = "127.9.9.9"
ASK_SECONDS = 0.005
PATIENCE_SECONDS = 5.0
"""A peer not handed out after this time counts as lost."""
_PAUSE_SECONDS = (0.02, 0.12)
"""At random and longer than a flush interval, so that announces fall anywhere into it."""
_FIRST_PORT = 40_000
_PORTS = 20_000


@attrs.frozen
class Delays:
    """Announce → visible elsewhere, over all measurements."""

    measured: int
    lost: int
    median_seconds: float
    """NaN before the first measurement, as `p99_seconds`."""
    p99_seconds: float


class Probe:
    """One client after the other that starts at a leaf, is looked for everywhere else, and stops."""

    def __init__(self, mesh: DemoMesh, *, rng: random.Random) -> None:
        self._mesh = mesh
        self._rng = rng
        self._seconds: list[float] = []
        """In ascending order."""
        self._lost = 0
        self._probes = 0

    async def run(self, ending: trio.Event) -> None:
        """Measure from when all links are synced until ``ending`` is set; leaves nobody behind in the swarms."""
        await self._mesh.wait_synced()
        with ExitStack() as stack:
            trackers = {
                (member.name, protocol): stack.enter_context(closing(member.tracker(protocol, local_address=ADDRESS)))
                for member in self._mesh.members
                for protocol in PROTOCOLS
            }
            while not ending.is_set():
                entry = self._rng.choice(self._mesh.leaves)
                others = [trackers[member.name, "udp"] for member in self._mesh.members if member is not entry]
                await self._measure(trackers[entry.name, self._rng.choice(PROTOCOLS)], others)
                with trio.move_on_after(self._rng.uniform(*_PAUSE_SECONDS)):
                    await ending.wait()

    def delays(self) -> Delays:
        """What has been measured so far."""
        ordered = self._seconds
        return Delays(len(ordered), self._lost, percentile(ordered, 0.5), percentile(ordered, 0.99))

    async def _measure(self, entry: Tracker, others: Sequence[Tracker]) -> None:
        request = AnnounceRequest(
            info_hash=self._rng.choice(list(TORRENTS)),
            peer_id=new_peer_id(),
            key=1 + self._probes,
            address=bytes(4),
            port=_FIRST_PORT + self._probes % _PORTS,
            event=Event.STARTED,
            left=1,
            numwant=0,
        )
        self._probes += 1
        started = trio.current_time()
        await entry.announce(request)
        async with trio.open_nursery() as nursery:
            for other in others:
                nursery.start_soon(self._await_peer, other, request, started)
        request.event = Event.STOPPED
        await entry.announce(request)

    async def _await_peer(self, tracker: Tracker, request: AnnounceRequest, started: float) -> None:
        peer = pack_peer(packed_address(ADDRESS), request.port)
        while peer not in compact_peers((await tracker.announce(question(request.info_hash))).peers):
            if trio.current_time() - started > PATIENCE_SECONDS:
                self._lost += 1
                return
            await trio.sleep(ASK_SECONDS)
        bisect.insort(self._seconds, trio.current_time() - started)


def percentile(ordered: Sequence[float], share: float) -> float:
    """The smallest of ``ordered`` that at least ``share`` of them do not exceed (nearest rank); NaN of none."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else math.nan
