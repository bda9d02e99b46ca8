"""Python's cyclic garbage collector, kept from stalling a node, and what is left over from its start.

A full collection looks at every object: a tenth of a second with a million peers, in which nobody is answered. Hardly
anything of a node is garbage in cycles, though: what a link leaves behind when it ends, and what a library drops.
"""

from __future__ import annotations

import ctypes
import gc
from contextlib import suppress

import trio

COLLECT_SECONDS = 3600.0
"""Between full collections."""
_YOUNG_OBJECTS = 10_000
"""Allocations between collections of the youngest, which take a fraction of a millisecond."""
_YOUNG_ROUNDS = 10
"""Of those, between collections of what has survived one."""
_NEVER = 1_000_000


def settle() -> None:
    """Call once a node is built: what is there now is there to stay, and is not looked at again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, _YOUNG_ROUNDS, _NEVER)
    with suppress(OSError, AttributeError):  # glibc alone keeps what was freed, here of lists and snapshots, for itself
        ctypes.CDLL(None).malloc_trim(0)


async def collect(interval_seconds: float = COLLECT_SECONDS) -> None:
    """Collect everything now and then."""
    while True:
        await trio.sleep(interval_seconds)
        gc.collect()
