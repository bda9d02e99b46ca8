"""Does every node hand out exactly the peers that are there? Asked over sockets, as clients ask."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing

import attrs
import trio

from meshtracker.demo.clients import Crowd
from meshtracker.demo.mesh import LOOPBACK, PROTOCOLS, DemoMesh, Member
from meshtracker.demo.swarms import TORRENTS, compact_peers, question
from meshtracker.wire.compact import address_text, unpack_peer

CONVERGENCE_SECONDS = 3.0
"""Time given to the last changes: many flush intervals, and yet none that a person would notice."""
_ASK_AGAIN_SECONDS = 0.05


@attrs.frozen
class Swarm:
    """A swarm as it must be."""

    peers: frozenset[bytes]
    """Compact."""
    seeders: int


@attrs.frozen
class Difference:
    """One thing that a node tells wrongly."""

    node: str
    protocol: str
    torrent: str
    what: str

    def __str__(self) -> str:
        return f"{self.node} ({self.protocol.upper()}), {self.torrent}: {self.what}"


@attrs.frozen
class Verdict:
    """The outcome of comparing all nodes with the clients."""

    peers: int
    """That every node must hand out, over all torrents."""
    torrents: int
    seconds: float
    """From the last announce until all nodes agreed, or until the time was up."""
    differences: tuple[Difference, ...]
    """Empty if all agree."""

    @property
    def agrees(self) -> bool:
        """Do all nodes hand out all peers, and nobody else?"""
        return not self.differences


async def reach_verdict(mesh: DemoMesh, crowd: Crowd, *, patience_seconds: float = CONVERGENCE_SECONDS) -> Verdict:
    """Compare until all nodes agree with the clients, or the time is up."""
    truth = {info_hash: crowd.present(info_hash) for info_hash in TORRENTS}
    expected = {
        info_hash: Swarm(frozenset(clients), sum(not client.left for client in clients.values()))
        for info_hash, clients in truth.items()
    }
    started = trio.current_time()
    while True:
        differences = await find_differences(mesh, expected)
        seconds = trio.current_time() - started
        if not differences or seconds > patience_seconds:
            peers = sum(len(swarm.peers) for swarm in expected.values())
            return Verdict(peers, len(expected), seconds, tuple(differences))
        await trio.sleep(_ASK_AGAIN_SECONDS)


async def find_differences(mesh: DemoMesh, expected: Mapping[bytes, Swarm]) -> list[Difference]:
    """Ask every node by every protocol for every torrent, once."""
    found: list[Difference] = []
    async with trio.open_nursery() as nursery:
        for member in mesh.members:
            for protocol in PROTOCOLS:
                nursery.start_soon(_ask, member, protocol, expected, found)
    return sorted(found, key=str)


async def _ask(member: Member, protocol: str, expected: Mapping[bytes, Swarm], found: list[Difference]) -> None:
    with closing(member.tracker(protocol, local_address=LOOPBACK)) as tracker:
        for info_hash, swarm in expected.items():
            answer = await tracker.announce(question(info_hash))
            told = compact_peers(answer.peers)
            wrong = [f"peer {_text(peer)} is missing" for peer in swarm.peers - told]
            wrong += [f"peer {_text(peer)} is handed out, but is not there" for peer in told - swarm.peers]
            if not wrong and answer.complete != swarm.seeders:
                wrong.append(f"{answer.complete} seeders are counted where there are {swarm.seeders}")
            found += [Difference(member.name, protocol, TORRENTS[info_hash], what) for what in wrong]


def _text(compact: bytes) -> str:
    address, port = unpack_peer(compact)
    return f"{address_text(address)}:{port}"
