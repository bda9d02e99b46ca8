"""Who is in which swarm: what clients told their nodes, and what each node says of it."""

from __future__ import annotations

import functools
import random
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import trio

from meshtracker.admin.client import NodeUnreachableError, fetch
from meshtracker.client.udp import UdpTracker
from meshtracker.errors import ClientError
from meshtracker.model import AnnounceRequest, Event
from meshtracker.wire.compact import COMPACT_BYTES
from tests.real.mesh import Node
from tests.real.plan import HASH, announce

TORRENTS = tuple(random.Random(number).randbytes(20) for number in range(10))


@attrs.frozen
class Census:
    """What one node says; equal on all nodes that agree."""

    peers: Mapping[bytes, frozenset[int]]
    """Ports of all clients of each of `TORRENTS`, as an announce there is given them."""
    counts: Mapping[bytes, int]
    """By scrape over HTTP, of those torrents and of the crowd's."""
    swarms: int
    """By the admin API, as is the next."""
    rows: int
    """Of peers that are there."""

    def __str__(self) -> str:
        peers = sum(map(len, self.peers.values()))
        return f"{peers} peers and {self.counts[HASH]} of the crowd, {self.rows} rows in {self.swarms} swarms"


@attrs.define
class Clients:
    """Clients of all torrents at several nodes, and who of them is there at present."""

    there: dict[bytes, dict[int, Node]] = attrs.field(factory=lambda: {info_hash: {} for info_hash in TORRENTS})
    """By torrent and port."""
    _next_port: int = 1000

    async def come(self, nodes: Iterable[Node], count: int) -> None:
        """So many new ones at each node, in each torrent."""
        for node in nodes:
            for info_hash, there in self.there.items():
                ports = range(self._next_port, self._next_port + count)
                self._next_port += count
                assert await announce(node, ports, info_hash=info_hash) == count
                there.update(dict.fromkeys(ports, node))

    async def leave(self, nodes: Iterable[Node]) -> None:
        """One of each torrent leaves each node: the one that was there first."""
        for node in nodes:
            for info_hash, there in self.there.items():
                port = next(port for port, at in there.items() if at.name == node.name)
                await announce(node, [port], event=Event.STOPPED, info_hash=info_hash)
                del there[port]

    def __len__(self) -> int:
        return sum(map(len, self.there.values()))

    def ports(self) -> dict[bytes, frozenset[int]]:
        """As in a `Census`."""
        return {info_hash: frozenset(there) for info_hash, there in self.there.items()}


@attrs.frozen
class Agreement:
    """When all nodes said the same."""

    seconds: float
    crowd: int
    """Clients of the crowd that they all know."""


async def wait_agreed(
    nodes: Sequence[Node], clients: Clients, *, crowd: int, since: float, within_seconds: float, at_risk: int = 0
) -> Agreement:
    """Until all nodes say the same, know all clients and that large a crowd, and have synced links.

    The first node is the hub of the others. So many ``at_risk`` of the crowd may be unknown, to all of them.
    """
    said: dict[str, Census | str] = {}
    links: dict[str, list[str]] = {}
    expected = clients.ports()

    async def ask(node: Node) -> None:
        try:
            said[node.name], links[node.name] = await _take_census(node), await _links(node)
        except (OSError, trio.TooSlowError, ClientError, NodeUnreachableError) as error:
            said[node.name] = f"{type(error).__name__}: {error}"

    def agreed() -> int | None:
        first, *others = said.values()
        if isinstance(first, str) or any(other != first for other in others):
            return None
        if links != {node.name: ["synced"] * (len(nodes) - 1 if node is nodes[0] else 1) for node in nodes}:
            return None
        is_right = first.peers == expected and crowd - at_risk <= first.counts[HASH] <= crowd
        return first.counts[HASH] if is_right and first.rows == sum(first.counts.values()) else None

    with trio.move_on_after(since + within_seconds - trio.current_time()):
        while True:
            async with trio.open_nursery() as nursery:
                for node in nodes:
                    nursery.start_soon(ask, node)
            if (found := agreed()) is not None:
                return Agreement(trio.current_time() - since, found)
            await trio.sleep(0.05)
    figures = {name: str(census) for name, census in said.items()}
    logs = "\n".join(f"--- {node.name}\n{node.program.tail()}" for node in nodes)
    wanted = f"{len(clients)} peers and {crowd - at_risk} to {crowd} of the crowd"
    raise AssertionError(f"not within {within_seconds} s: {figures}, links {links}, but {wanted}\n{logs}")


async def _take_census(node: Node) -> Census:
    registry = (await _status(node))["node"]["registry"]
    return Census(
        peers={info_hash: await _peers(node, info_hash) for info_hash in TORRENTS},
        counts={info_hash: sum(await node.scrape(info_hash)) for info_hash in (*TORRENTS, HASH)},
        swarms=registry["swarms"],
        rows=registry["peers"],
    )


async def _peers(node: Node, info_hash: bytes) -> frozenset[int]:
    """As a client is told that has no port, and so is no peer itself."""
    async with UdpTracker(node.host, node.port, first_timeout_seconds=1, max_retransmissions=1) as tracker:
        request = AnnounceRequest(
            info_hash=info_hash,
            peer_id=bytes(20),
            key=0,
            address=bytes(4),
            port=0,
            event=Event.NONE,
            left=1,
            numwant=200,
        )
        packed = (await tracker.announce(request)).peers
    return frozenset(
        int.from_bytes(packed[end - 2 : end]) for end in range(COMPACT_BYTES, len(packed) + 1, COMPACT_BYTES)
    )


async def _links(node: Node) -> list[str]:
    """States of those that are not closed."""
    links = (await _status(node))["node"]["links"]
    return [link["state"] for link in links if link["state"] != "closed"]


async def _status(node: Node) -> Any:
    return await trio.to_thread.run_sync(functools.partial(fetch, _admin_address(node.config), "/api/status"))


@functools.cache
def _admin_address(config: Path) -> str:
    [listen] = tomllib.loads(config.read_text())["admin"]["listen"]
    return f"http://{listen}"
