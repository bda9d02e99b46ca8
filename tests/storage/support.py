"""What the tests of snapshots share: nodes with peers, and links between them mouth to mouth."""

from __future__ import annotations

import random
from collections.abc import Sequence

from meshtracker.link.clock import HybridClock
from meshtracker.link.policy import LinkPolicy
from meshtracker.link.proof.authentication import Credential
from meshtracker.link.session import LinkSession
from meshtracker.model import AnnounceRequest, Event
from meshtracker.node.mesh import MeshPolicy
from meshtracker.node.node import Node
from meshtracker.storage.snapshot_format import Snapshot, decode, encode
from meshtracker.swarm.access import Access
from meshtracker.wire.vector import MAX_STREAMS, StreamId

WALL_OFFSET_SECONDS = 1_700_000_000.0
START = 1000.0
"""``now`` when a node begins."""
TTL_SECONDS = 4500

Rows = dict[bytes, set[tuple[object, ...]]]


def make_node(
    name: str,
    incarnation: int,
    *,
    forwards: bool = False,
    access: Access | None = None,
    max_peers: int = 1_000_000,
    max_peers_per_swarm: int = 1_000_000,
    max_streams: int = MAX_STREAMS,
    clock_ahead_seconds: float = 0.0,
) -> Node:
    return Node(
        name=name,
        incarnation=incarnation,
        clock=HybridClock(wall_offset_seconds=WALL_OFFSET_SECONDS + clock_ahead_seconds),
        rng=random.Random(1),
        mesh=MeshPolicy(forwards=forwards),
        access=access,
        max_peers=max_peers,
        max_peers_per_swarm=max_peers_per_swarm,
        max_streams=max_streams,
        now=START,
    )


def info_hash(swarm: int) -> bytes:
    return bytes([swarm]) * 20


def announce(node: Node, swarm: int, client: int, now: float, *, event: Event = Event.NONE, left: int = 1) -> None:
    """A client over IPv4; every third one has an IPv6 address too."""
    for address in [b"\x7f\0\0\1", bytes(15) + b"\1"][: 2 if client % 3 == 0 else 1]:
        request = AnnounceRequest(
            info_hash=info_hash(swarm),
            peer_id=b"-XX0001-%012d" % client,
            key=client,
            address=address,
            port=client,
            event=event,
            left=left,
        )
        node.announce(request, now)


def fill(node: Node, *, swarms: int, clients: int, now: float) -> None:
    """Leechers, seeders, partial seeds, completions and tombstones in every swarm."""
    for swarm in range(swarms):
        for client in range(1, clients + 1):
            paused = Event.PAUSED if client % 5 == 0 else Event.NONE
            announce(node, swarm, client, now, left=client % 2, event=paused)
        announce(node, swarm, 1, now, event=Event.COMPLETED, left=0)
        announce(node, swarm, 2, now, event=Event.STOPPED)


def rows(node: Node) -> Rows:
    """All peers that a node holds, with their streams."""
    stream = node.registry.streams.stream
    return {
        swarm_hash: {
            (row.identity, row.stamp, stream(row.origin), row.state, address)
            for pack in swarm.packs()
            for row, address in pack.entries()
        }
        for swarm_hash, swarm in node.registry.swarms.items()
    }


def figures(node: Node) -> dict[bytes, dict[str, tuple[int, int, StreamId]]]:
    """All completed downloads that a node knows of, with their streams."""
    stream = node.registry.streams.stream
    return {
        swarm_hash: {name: (total, at_ms, stream(index)) for name, (total, at_ms, index) in swarm.completed.items()}
        for swarm_hash, swarm in node.registry.swarms.items()
        if swarm.completed
    }


def write_as(node: Node, swarm: int, stream: StreamId, *, completed: int = 0) -> None:
    """Let the first peer of a swarm, and some completed downloads, be of another stream."""
    index = node.registry.streams.index(stream)
    assert index is not None
    held = node.registry.swarms[info_hash(swarm)]
    row = held.v4.row(0)
    node.registry.write(held, held.v4, 0, row._replace(origin=index), held.v4.address(0))
    if completed:
        node.registry.merge_completed(info_hash(swarm), stream.name, (completed, wall_ms(START), index))


def wall_ms(now: float) -> int:
    """Unix milliseconds by a clock that is right."""
    return int((WALL_OFFSET_SECONDS + now) * 1000)


def saved(node: Node, now: float = START) -> Snapshot:
    """A snapshot of a node, read back."""
    return decode(b"".join(encode(node, now)))


def link(dialer: Node, listener: Node, now: float) -> tuple[LinkSession, LinkSession]:
    """Two sessions that are secured and have not spoken yet."""
    return _session(dialer, now, dials=True), _session(listener, now, dials=False)


def _session(node: Node, now: float, *, dials: bool) -> LinkSession:
    session = LinkSession(
        replica=node.mesh,
        credential=Credential("not-a-known-default"),
        dials=dials,
        policy=LinkPolicy(),
        owner=node.links,
        peer_address="memory",
        now=now,
    )
    node.links.add(session)
    session.connected(now)
    session.secured(b"x" * 32, now)
    return session


def cut(dialer: Node, listener: Node, pair: tuple[LinkSession, LinkSession], now: float) -> None:
    """The connection is gone: one that is alive would keep its node's name for itself."""
    for node, session in zip((dialer, listener), pair, strict=True):
        session.end_of_stream(now)
        node.links.remove(session, now)


def talk(pairs: Sequence[tuple[LinkSession, LinkSession]], now: float) -> None:
    """Carry bytes both ways until nobody has any more."""
    busy = True
    while busy:
        busy = False
        for pair in pairs:
            for sender, receiver in (pair, pair[::-1]):
                data = sender.data_to_send(now)
                if data:
                    busy = True
                    receiver.receive_data(data, now)
