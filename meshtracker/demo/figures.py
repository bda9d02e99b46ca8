"""What the demo shows, as frozen figures: read off the nodes and the clients, drawn by the view."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

import attrs
import trio

from meshtracker.demo.clients import Crowd
from meshtracker.demo.mesh import DemoMesh
from meshtracker.demo.probe import Delays, Probe
from meshtracker.link.statistics import SessionStatistics
from meshtracker.node.node import Node
from meshtracker.swarm.registry import Registry

_WINDOW_SECONDS = 2.0
"""Rates are means over this time."""
_OWN_ORIGIN = 0


@attrs.frozen(kw_only=True)
class NodeFigures:
    """One line of the nodes' table."""

    name: str
    own_peers: int
    """Peers told by this node's own clients."""
    link_peers: int
    """Peers that came over the link."""
    swarms: int
    announces_per_second: float
    """Of simulated clients; the demo's own questions are not counted."""
    sent_per_second: float
    """Updates that have arrived from this node at the other end of its links."""
    received_per_second: float


@attrs.frozen(kw_only=True)
class LinkFigures:
    """One line of the links' table, as its leaf sees it."""

    leaf: str
    state: str
    resync: str
    """How this leaf caught up with the hub: "full (new node)"."""
    sent_bytes_per_second: float
    """Leaf to hub, before encryption."""
    received_bytes_per_second: float
    lag_batches: int
    """Batches that one end has and the other has not yet."""


@attrs.frozen(kw_only=True)
class Figures:
    """Everything that is shown."""

    elapsed_seconds: float
    nodes: tuple[NodeFigures, ...]
    links: tuple[LinkFigures, ...]
    delays: Delays
    announces: int
    relayed: int
    """Updates received over all links: one that goes to the hub and on to two leaves is received three times."""
    relayed_batches: int
    """In which they came."""
    link_bytes: int
    """Received over all links, before encryption: handshakes and heartbeats too."""
    clients: int
    events: dict[str, int]
    news: tuple[str, ...]
    warnings: tuple[str, ...]


class Gauge:
    """A count that is looked at again and again, and how fast it grows."""

    def __init__(self, now: float) -> None:
        self._seen = deque([(now, 0)])

    def per_second(self, count: int, now: float) -> float:
        """Note the count; its growth a second over the last `_WINDOW_SECONDS`."""
        self._seen.append((now, count))
        while len(self._seen) > 2 and self._seen[1][0] <= now - _WINDOW_SECONDS:
            self._seen.popleft()
        then, before = self._seen[0]
        return (count - before) / (now - then) if now > then else 0.0


class Instruments:
    """Reads the figures off a running demo."""

    def __init__(self, mesh: DemoMesh, crowd: Crowd, probe: Probe, *, warnings: deque[str]) -> None:
        self._mesh = mesh
        self._crowd = crowd
        self._probe = probe
        self._warnings = warnings
        self._started = trio.current_time()
        self._gauges: dict[tuple[str, str], Gauge] = {}

    def read(self) -> Figures:
        """The figures of this moment."""
        now = trio.current_time()
        uplinks = {leaf.name: _uplink(leaf.node, now) for leaf in self._mesh.leaves}
        downlinks = {link.peer: link for link in self._mesh.hub.node.statistics(now).links if link.state == "synced"}
        ends = [end for end in [*uplinks.values(), *downlinks.values()] if end is not None]
        return Figures(
            elapsed_seconds=now - self._started,
            nodes=tuple(self._node(member.node, uplinks, downlinks, now) for member in self._mesh.members),
            links=tuple(self._link(leaf.node, uplinks[leaf.name], now) for leaf in self._mesh.leaves),
            delays=self._probe.delays(),
            announces=self._crowd.announces.total(),
            relayed=sum(end.received_records for end in ends),
            relayed_batches=sum(end.received_batches for end in ends),
            link_bytes=sum(end.received_bytes for end in ends),
            clients=len(self._crowd.clients),
            events=dict(self._crowd.events),
            news=tuple(self._crowd.news),
            warnings=tuple(self._warnings),
        )

    def _node(
        self,
        node: Node,
        uplinks: dict[str, SessionStatistics | None],
        downlinks: dict[str, SessionStatistics],
        now: float,
    ) -> NodeFigures:
        is_hub = node is self._mesh.hub.node
        arrived = uplinks.values() if is_hub else [downlinks.get(node.name)]
        came = downlinks.values() if is_hub else [uplinks[node.name]]
        own, linked = count_peers(node.registry)
        return NodeFigures(
            name=node.name,
            own_peers=own,
            link_peers=linked,
            swarms=sum(swarm.live > 0 for swarm in node.registry.swarms.values()),
            announces_per_second=self._rate(node.name, "announces", self._crowd.announces[node.name], now),
            sent_per_second=self._rate(node.name, "sent", _records(arrived), now),
            received_per_second=self._rate(node.name, "received", _records(came), now),
        )

    def _link(self, leaf: Node, uplink: SessionStatistics | None, now: float) -> LinkFigures:
        return LinkFigures(
            leaf=leaf.name,
            state=uplink.state if uplink else "connecting",
            resync=_in_short(uplink.resync) if uplink else "",
            sent_bytes_per_second=self._rate(leaf.name, "bytes sent", uplink.sent_bytes if uplink else 0, now),
            received_bytes_per_second=self._rate(
                leaf.name, "bytes received", uplink.received_bytes if uplink else 0, now
            ),
            lag_batches=_lag(leaf, self._mesh.hub.node),
        )

    def _rate(self, node: str, what: str, count: int, now: float) -> float:
        return self._gauges.setdefault((node, what), Gauge(self._started)).per_second(count, now)


def count_peers(registry: Registry) -> tuple[int, int]:
    """Live peers told by the node's own clients, and those that came over the link."""
    own = linked = 0
    for swarm in registry.swarms.values():
        for pack in swarm.packs():
            of_own = sum(pack.fields(position)[1] == _OWN_ORIGIN for position in range(pack.live))
            own += of_own
            linked += pack.live - of_own
    return own, linked


def _uplink(leaf: Node, now: float) -> SessionStatistics | None:
    """The leaf's link, or the latest attempt at one."""
    return next(iter(leaf.statistics(now).links), None)


def _records(ends: Iterable[SessionStatistics | None]) -> int:
    return sum(end.received_records for end in ends if end is not None)


def _in_short(resync: str) -> str:
    """ "hub: full (new node); leaf-a: full (new node)" as "full (new node)"."""
    return ", ".join(dict.fromkeys(how.partition(": ")[2] for how in resync.split("; ") if how))


def _lag(one: Node, other: Node) -> int:
    """Batches by which the one or the other is behind."""
    mine, theirs = one.mesh.vector(), other.mesh.vector()
    sequences = [
        (mine[stream].sequence if stream in mine else 0, theirs[stream].sequence if stream in theirs else 0)
        for stream in {*mine, *theirs}
    ]
    return sum(abs(here - there) for here, there in sequences)
