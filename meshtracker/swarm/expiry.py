"""Incremental expiry: a sweep that walks all swarms in small steps, so that no announce ever waits for it.

Stamps are the same on all nodes, so each node lets the same peers go at about the same time and nothing is relayed.
"""

from __future__ import annotations

from collections.abc import Iterator

from meshtracker.model import STAMP_COUNTER_BITS
from meshtracker.swarm.registry import Registry

COMPLETED_TTL_MS = 7 * 86_400_000
"""A node's figure of completed downloads is kept for this long after its last change."""
STEP_ROWS = 2000
"""Rows looked at in one step: well under a millisecond of work."""


class Sweep:
    """A cursor over all rows of a registry. A row may move past the cursor; the next round finds it."""

    def __init__(self, registry: Registry, *, peer_ttl_seconds: float) -> None:
        self._registry = registry
        self._peer_ttl_ms = int(peer_ttl_seconds * 1000)
        self._oldest = self._oldest_completed_ms = 0
        self._pieces = self._round()

    def steps_per_round(self) -> int:
        """Steps that one round over all rows takes at present, at least one."""
        return 1 + (self._registry.rows + len(self._registry.swarms)) // STEP_ROWS

    def step(self, wall_ms: int) -> int:
        """Look at about `STEP_ROWS` rows; returns how many of them were let go."""
        self._oldest = (wall_ms - self._peer_ttl_ms) << STAMP_COUNTER_BITS
        self._oldest_completed_ms = wall_ms - max(COMPLETED_TTL_MS, self._peer_ttl_ms)
        before = self._registry.expired
        looked = 0
        for rows in self._pieces:
            looked += rows
            if looked >= STEP_ROWS:
                return self._registry.expired - before
        self._pieces = self._round()
        return self._registry.expired - before

    def _round(self) -> Iterator[int]:
        """Expire piece by piece, yielding how many rows each piece cost to look at."""
        registry = self._registry
        for info_hash in list(registry.swarms):
            swarm = registry.get(info_hash)
            if swarm is None:
                continue
            yield 1 + len(swarm.completed or {})
            if swarm.completed:
                for name in [name for name, figure in swarm.completed.items() if figure[1] < self._oldest_completed_ms]:
                    registry.drop_completed(swarm, name)
            for pack in swarm.packs():
                stop = len(pack)
                while stop > 0:
                    # From the back: the rows that move up into a gap have been looked at already.
                    start = max(0, stop - STEP_ROWS)
                    old = pack.older_than(self._oldest, start, stop)
                    for position in reversed(old):
                        registry.drop(swarm, pack, position)
                    registry.expired += len(old)
                    yield stop - start
                    stop = min(start, len(pack))
            registry.forget_if_empty(info_hash)
