"""What a node does by the clock, each a service of its nursery."""

from __future__ import annotations

import time
from collections.abc import Callable

import structlog
import trio

from meshtracker.errors import StartError
from meshtracker.network.link import LinkService
from meshtracker.node.node import Node
from meshtracker.storage.credentials import CredentialsFile
from meshtracker.storage.watched import Watched
from meshtracker.swarm.access import Access

log = structlog.get_logger()

_SWEEP_SECONDS = 30.0
"""One round of expiry over all peers, at most."""
_SWEEPS_PER_TTL = 10
"""So that a short TTL is kept to a tenth."""
_MIN_PAUSE_SECONDS = 0.001
_CLOCK_CHECK_SECONDS = 1.0
_CLOCK_STEP_SECONDS = 0.2
"""Wall time may part from monotonic time by this much before it is taken over."""
_CLOCK_WARN_SECONDS = 1.0
_CLOCK_STANDS_SECONDS = 10.0
"""A step by more than clocks may be apart, which may be a mistake that somebody is about to mend, is believed then."""
_ACCESS_SECONDS = 1.0
"""A torrent that is newly allowed is served no later than this, with the peers that the mesh knows."""
_CREDENTIALS_SECONDS = 1.0
"""A revoked node is linked no longer than this and the last words of its link."""


async def flush(node: Node, interval_seconds: float) -> None:
    """Tell the mesh what the clients changed, again and again."""
    while True:
        node.flush(trio.current_time())
        await trio.sleep(interval_seconds)


async def expire(node: Node) -> None:
    """Walk all peers in small steps, a round in `_SWEEP_SECONDS` or less."""
    round_seconds = min(_SWEEP_SECONDS, node.policy.peer_ttl_seconds / _SWEEPS_PER_TTL)
    while True:
        await trio.sleep(max(_MIN_PAUSE_SECONDS, round_seconds / node.sweep.steps_per_round()))
        node.expire(trio.current_time())


async def watch_clock(node: Node) -> None:
    """Follow the system's clock when it is set: stamps and the age of peers are in wall time.

    A large step is believed once it has stood for a while: a clock that is a day off for some seconds harms nobody.
    """
    doubted_since = float("inf")
    while True:
        now = trio.current_time()
        step_seconds = time.time() - node.clock.wall_seconds(now)
        is_large = abs(step_seconds) > node.mesh.max_future_seconds
        doubted_since = min(doubted_since, now) if is_large else float("inf")
        is_doubted = is_large and now - doubted_since < _CLOCK_STANDS_SECONDS
        if is_doubted and now == doubted_since:
            log.warning("the system's clock leapt: waiting whether that stands", by_seconds=round(step_seconds, 1))
        if abs(step_seconds) > _CLOCK_STEP_SECONDS and not is_doubted:
            node.set_clock(step_seconds, now)
            if abs(step_seconds) > _CLOCK_WARN_SECONDS:
                log.warning("the system's clock was set", by_seconds=round(step_seconds, 1))
        await trio.sleep(_CLOCK_CHECK_SECONDS)


async def watch_access(
    node: Node, watched: Watched, read: Callable[[], Access], interval_seconds: float = _ACCESS_SECONDS
) -> None:
    """Follow the access list; while it is damaged or gone, what it said before stands."""
    while True:
        if await trio.to_thread.run_sync(watched.look):
            try:
                access = await trio.to_thread.run_sync(read)
            except StartError as error:
                log.error("access list not taken over: what it said before stands", reason=str(error))
            else:
                if access != node.access:
                    node.set_access(access, trio.current_time())
                    log.info("access list taken over", torrents=len(access.info_hashes))
        await trio.sleep(interval_seconds)


async def watch_credentials(
    file: CredentialsFile, links: LinkService, interval_seconds: float = _CREDENTIALS_SECONDS
) -> None:
    """Follow the file that says which nodes may link; while it is damaged or gone, what it said before stands."""
    while True:
        try:
            listed = await trio.to_thread.run_sync(file.read_if_changed)
        except StartError as error:
            log.error("link.credentials_file not taken over: what it said before stands", reason=str(error))
        else:
            if listed is not None and links.update_credentials(listed):
                revoked = sum(entry.role == "revoked" for entry in listed.entries.values())
                log.info("link.credentials_file taken over", nodes=len(listed.entries) - revoked, revoked=revoked)
        await trio.sleep(interval_seconds)
