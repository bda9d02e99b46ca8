"""What a node does by the clock, each a service of its nursery."""

from __future__ import annotations

import time

import structlog
import trio

from meshtracker.node.node import Node

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


async def flush(node: Node, interval_seconds: float) -> None:
    """Seal what the clients changed, again and again."""
    while True:
        node.mesh.flush(trio.current_time())
        await trio.sleep(interval_seconds)


async def expire(node: Node) -> None:
    """Walk all peers in small steps, a round in `_SWEEP_SECONDS` or less."""
    round_seconds = min(_SWEEP_SECONDS, node.policy.peer_ttl_seconds / _SWEEPS_PER_TTL)
    while True:
        await trio.sleep(max(_MIN_PAUSE_SECONDS, round_seconds / node.sweep.steps_per_round()))
        node.expire(trio.current_time())


async def watch_clock(node: Node) -> None:
    """Follow the system's clock when it is set: stamps and the age of peers are in wall time."""
    while True:
        now = trio.current_time()
        step_seconds = time.time() - node.clock.wall_seconds(now)
        if abs(step_seconds) > _CLOCK_STEP_SECONDS:
            node.clock.wall_offset_seconds += step_seconds
            if abs(step_seconds) > _CLOCK_WARN_SECONDS:
                log.warning("the system's clock was set", by_seconds=round(step_seconds, 1))
        await trio.sleep(_CLOCK_CHECK_SECONDS)
