"""Clients that keep coming, one after the other, to several nodes at once."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Sequence

import attrs
import trio

from meshtracker.errors import ClientError
from tests.real.mesh import Node
from tests.real.plan import announce

PAUSE_SECONDS = 0.05
FIRST_PORT = 10_000
PORTS_OF_A_NODE = 15_000


@attrs.define
class Crowd:
    """How the clients fared so far."""

    answered_at: Counter[str] = attrs.field(factory=Counter)
    """By the name of the node."""
    refused: int = 0
    """Told why, as when the node's clock has stepped since it gave them a connection id; each asks once more."""
    unanswered: int = 0
    slowest_seconds: float = 0.0
    """Of those that were answered, from its first datagram on: two round trips."""
    is_leaving: bool = False

    @property
    def answered(self) -> int:
        return self.answered_at.total()

    async def come(self, node: Node, first_port: int) -> None:
        """A new client at one node now and then, until the crowd leaves."""
        port = first_port
        while not self.is_leaving:
            began = trio.current_time()
            try:
                await self._ask(node, port)
            except (trio.TooSlowError, OSError, ClientError):
                self.unanswered += 1
            else:
                self.answered_at[node.name] += 1
                self.slowest_seconds = max(self.slowest_seconds, trio.current_time() - began)
            port += 1
            await trio.sleep(PAUSE_SECONDS)

    async def _ask(self, node: Node, port: int) -> None:
        try:
            await announce(node, [port])
        except ClientError:
            self.refused += 1
            await announce(node, [port])


@contextlib.asynccontextmanager
async def crowd_at(nodes: Sequence[Node]) -> AsyncIterator[Crowd]:
    """A crowd at these nodes as long as the block lasts; each of its clients waits for its answer."""
    crowd = Crowd()
    async with trio.open_nursery() as nursery:
        for number, node in enumerate(nodes):
            nursery.start_soon(crowd.come, node, FIRST_PORT + number * PORTS_OF_A_NODE)
        yield crowd
        crowd.is_leaving = True
