"""The figures of a node as one frozen tree: API, CLI, metrics and dashboard all render this."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from meshtracker.link.log import LogStatistics
from meshtracker.link.statistics import SessionStatistics
from meshtracker.node.commands import AuditEntry
from meshtracker.node.neighbours import NeighbourStatistics
from meshtracker.swarm.registry import RegistryStatistics


@attrs.frozen(kw_only=True)
class TrackerStatistics:
    """What this node's own clients did since the start."""

    announces: int
    scrapes: int
    refused: int
    """Announces answered with a failure reason."""
    changes: int
    """Announces that changed a swarm and went to the mesh."""


@attrs.frozen(kw_only=True)
class MeshStatistics:
    """What came over the links and what went out, since the start."""

    sealed_batches: int
    """Of this node's own stream, empty ones included."""
    applied_batches: int
    applied_records: int
    """Records from other nodes that changed a swarm here."""
    stale_records: int
    """Records that lost against a newer write, or had aged out."""
    future_records: int
    """Records for which a link was closed because their stamps lie too far ahead."""
    dropped_records: int
    """Records of swarms that this node's access list refuses."""


@attrs.frozen(kw_only=True)
class OriginStatistics:
    """One line of the vector."""

    origin: str
    incarnation: int
    sequence: int


@attrs.frozen(kw_only=True)
class NodeStatistics:
    """Everything about a node."""

    name: str
    incarnation: int
    role: str
    """"standalone", "hub", "leaf" or "hub and leaf"."""
    version: str
    uptime_seconds: float
    tracker: TrackerStatistics
    registry: RegistryStatistics
    mesh: MeshStatistics
    log: LogStatistics
    vector: tuple[OriginStatistics, ...]
    links: tuple[SessionStatistics, ...]
    """Links that are up or coming up, then the latest that failed."""
    neighbours: tuple[NeighbourStatistics, ...]
    """What is remembered of each node that is or was linked, over connections."""
    refused_links: Mapping[str, int]
    """Links that this node closed for what the other end did, by kind: "authentication", "clock", "disabled", ..."""
    audit: tuple[AuditEntry, ...]
    """The latest commands that operators gave, newest first."""
