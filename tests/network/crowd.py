"""A process of leaves that dial one hub at once: ``python -m tests.network.crowd PORT LEAVES``.

Prints a line ``PEERS SECONDS`` for each leaf once it is synced: what it holds, and how long it took since the start.
"""

from __future__ import annotations

import sys

import structlog
import trio

from tests.network.places import dialing, is_synced, one_clock, place


async def _join(name: str, port: int, started: float) -> None:
    async with dialing(place(name, ahead_seconds=one_clock()), port) as leaf:
        while not is_synced(leaf):
            await trio.sleep(0.01)
        print(leaf.node.registry.peers, trio.current_time() - started, flush=True)  # noqa: T201 - it is for that
        await trio.sleep_forever()


async def _main(port: int, leaves: int) -> None:
    started = trio.current_time()
    async with trio.open_nursery() as nursery:
        for number in range(leaves):
            nursery.start_soon(_join, f"leaf-{number}", port, started)


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    trio.run(_main, int(sys.argv[1]), int(sys.argv[2]))
