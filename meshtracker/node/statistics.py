"""The figures of a node as one frozen tree: API, CLI, metrics and dashboard all render this."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from meshtracker.link.log import LogStatistics
from meshtracker.link.statistics import SessionStatistics
from meshtracker.node.commands import AuditEntry
from meshtracker.node.directed import DirectedStatistics
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
    """Batches with records whose stamps lie too far ahead."""
    dropped_records: int
    """Records of swarms that this node's access list refuses."""
    left_out_records: int
    """Relayed records that nobody honest writes, and sections that cannot be read: passed over."""
    unknown_sections: int
    """Sections of tables that this node does not know: passed on unread."""
    streams: int
    """Streams known: of nodes that are linked, or of which rows are left."""
    began_anew: int
    """Times that this node began its stream anew: its clock was set back, or somebody else had written there."""


@attrs.frozen(kw_only=True)
class StreamStatistics:
    """One line of the vector."""

    name: str
    incarnation: str
    """Hexadecimal."""
    sequence: int
    rows: int
    """Of peers, tombstones and completed downloads that are kept here."""


@attrs.frozen(kw_only=True)
class NodeStatistics:
    """Everything about a node."""

    name: str
    incarnation: str
    """Of the stream that it writes at present, hexadecimal."""
    role: str
    """"standalone", "hub", "leaf" or "hub and leaf"."""
    version: str
    uptime_seconds: float
    tracker: TrackerStatistics
    registry: RegistryStatistics
    mesh: MeshStatistics
    log: LogStatistics
    directed: DirectedStatistics
    vector: tuple[StreamStatistics, ...]
    links: tuple[SessionStatistics, ...]
    """Links that are up or coming up, then the latest that failed."""
    neighbours: tuple[NeighbourStatistics, ...]
    """What is remembered of each node that is or was linked, over connections."""
    memory_bound_bytes: int
    """What swarms, logs and the links that there are may take at the most."""
    refused_links: Mapping[str, int]
    """Links that this node closed for what the other end did, by kind: "authentication", "clock", "disabled", ..."""
    audit: tuple[AuditEntry, ...]
    """The latest commands that operators gave, newest first."""
