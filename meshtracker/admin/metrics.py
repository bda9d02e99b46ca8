"""A node's figures for Prometheus: made from its statistics when it is scraped, so counting costs announces nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import attrs
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric, UnknownMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from meshtracker.admin.status import Status
from meshtracker.link.statistics import SessionStatistics
from meshtracker.node.neighbours import NeighbourStatistics

METRICS_CONTENT_TYPE = CONTENT_TYPE_LATEST

_NODE_METRICS: tuple[tuple[Callable[..., Metric], str, str, str], ...] = (
    (GaugeMetricFamily, "uptime_seconds", "uptime_seconds", "Seconds since the start."),
    (CounterMetricFamily, "announces", "tracker.announces", "Announces of this node's own clients."),
    (CounterMetricFamily, "scrapes", "tracker.scrapes", "Scrapes of this node's own clients."),
    (CounterMetricFamily, "refused_announces", "tracker.refused", "Announces answered with a failure reason."),
    (CounterMetricFamily, "changes", "tracker.changes", "Announces that changed a swarm and went to the mesh."),
    (GaugeMetricFamily, "swarms", "registry.swarms", "Swarms in memory."),
    (GaugeMetricFamily, "peers", "registry.peers", "Live peers in memory, one for each address family."),
    (GaugeMetricFamily, "tombstones", "registry.tombstones", "Peers that stopped and are remembered as such."),
    (CounterMetricFamily, "expired_peers", "registry.expired", "Peers that aged out."),
    (CounterMetricFamily, "unstored_peers", "registry.refused_full", "Peers not stored because a bound was reached."),
    (CounterMetricFamily, "sealed_batches", "mesh.sealed_batches", "Batches of this node's own stream."),
    (CounterMetricFamily, "applied_batches", "mesh.applied_batches", "Batches of other nodes."),
    (CounterMetricFamily, "applied_records", "mesh.applied_records", "Records of other nodes that changed a swarm."),
    (CounterMetricFamily, "stale_records", "mesh.stale_records", "Records that lost against a newer write."),
    (CounterMetricFamily, "future_records", "mesh.future_records", "Batches with records stamped too far ahead."),
    (CounterMetricFamily, "dropped_records", "mesh.dropped_records", "Records of swarms that this node refuses."),
    (CounterMetricFamily, "left_out_records", "mesh.left_out_records", "Relayed records that nobody honest writes."),
    (CounterMetricFamily, "unknown_sections", "mesh.unknown_sections", "Sections of tables that this node lacks."),
    (GaugeMetricFamily, "streams", "mesh.streams", "Streams known: of live nodes, or with rows left."),
    (CounterMetricFamily, "began_anew", "mesh.began_anew", "Times that this node began its stream anew."),
    (GaugeMetricFamily, "completions", "registry.completions", "Figures of completed downloads in memory."),
    (GaugeMetricFamily, "memory_bound_bytes", "memory_bound_bytes", "Memory that links and swarms may take."),
    (GaugeMetricFamily, "log_batches", "log.batches", "Recent batches kept for links that missed them."),
    (GaugeMetricFamily, "log_bytes", "log.bytes", "Memory used by recent batches."),
    (GaugeMetricFamily, "log_max_bytes", "log.max_bytes", "Memory allowed for recent batches."),
    (GaugeMetricFamily, "log_covered_seconds", "log.covered_seconds", "Age of the oldest batch kept."),
)
"""Kind, name, place in `NodeStatistics`, help."""

_LINK_METRICS: tuple[tuple[str, str, str], ...] = (
    ("received_bytes", "received_bytes", "Bytes received over the present connection."),
    ("sent_bytes", "sent_bytes", "Bytes sent over the present connection."),
    ("received_records", "received_records", "Records received over the present connection."),
    ("refused_records", "refused_records", "Frames of streams for which there was no room."),
    ("dropped_records", "dropped_records", "Records of swarms that are not tracked, or such as no honest node writes."),
    ("unshared_rows", "unshared_rows", "Rows that the hub lacks and this node may not send it."),
    ("lag_batches", "peer_lag_batches", "Batches that the other node has not confirmed."),
    ("heard_seconds_ago", "heard_seconds_ago", "Seconds since anything came from the other node."),
)
"""Name, field of `SessionStatistics`, help."""


def render_metrics(status: Status) -> bytes:
    """The exposition format (https://prometheus.io/docs/instrumenting/exposition_formats/)."""
    # One of its own, and anew each time: the global registry would add figures of whatever else is imported.
    registry = CollectorRegistry()
    registry.register(_Figures(status))
    return generate_latest(registry)


class _Figures(Collector):
    def __init__(self, status: Status) -> None:
        self._status = status

    def collect(self) -> Iterator[Metric]:
        node = self._status.node
        info = GaugeMetricFamily("meshtracker_info", "Always 1; says which node this is.", labels=_INFO_LABELS)
        info.add_metric([getattr(node, label) for label in _INFO_LABELS], 1)
        yield info
        for family, name, place, text in _NODE_METRICS:
            yield family(f"meshtracker_{name}", text, value=_at(node, place))
        yield from _link_metrics(node.links)
        yield from _neighbour_metrics(node.neighbours)
        refused = CounterMetricFamily(
            "meshtracker_refused_links", "Links closed for what the other node did.", labels=["kind"]
        )
        for kind, count in node.refused_links.items():
            refused.add_metric([kind], count)
        yield refused
        for service, figures in self._status.services.items():
            for field in attrs.fields(type(figures)):
                value = getattr(figures, field.name)
                if isinstance(value, int | float):
                    text = f"{type(figures).__name__}.{field.name}"
                    yield UnknownMetricFamily(f"meshtracker_{service}_{field.name}", text, value=value)


_INFO_LABELS = ("name", "role", "version")


def _at(node: object, place: str) -> float:
    for name in place.split("."):
        node = getattr(node, name)
    if not isinstance(node, int | float):
        raise TypeError(f"{place} is no number")
    return node


def _link_metrics(links: tuple[SessionStatistics, ...]) -> Iterator[Metric]:
    # By name: while a connection replaces another there are two of one peer, and labels must differ.
    live = {link.peer: link for link in reversed(links) if link.peer and link.state != "closed"}
    synced = GaugeMetricFamily("meshtracker_link_synced", "1 while peers flow over the link.", labels=["peer"])
    state = GaugeMetricFamily("meshtracker_link_state", "1 for the state a link is in.", labels=["peer", "state"])
    for peer, link in live.items():
        synced.add_metric([peer], link.state == "synced")
        state.add_metric([peer, link.state], 1)
    yield from (synced, state)
    for name, field, text in _LINK_METRICS:
        family = GaugeMetricFamily(f"meshtracker_link_{name}", text, labels=["peer"])
        for peer, link in live.items():
            family.add_metric([peer], getattr(link, field))
        yield family


def _neighbour_metrics(neighbours: tuple[NeighbourStatistics, ...]) -> Iterator[Metric]:
    named = {one.name or one.address: one for one in neighbours}
    splits = CounterMetricFamily(
        "meshtracker_link_soft_splits", "Times that a link was up and data did not flow.", labels=["peer"]
    )
    resets = CounterMetricFamily(
        "meshtracker_link_resets", "Resets, by a command or because of a soft-split.", labels=["peer", "cause"]
    )
    disabled = GaugeMetricFamily(
        "meshtracker_link_disabled", "1 while a link is disabled by a command.", labels=["peer"]
    )
    for peer, one in named.items():
        splits.add_metric([peer], one.soft_splits)
        resets.add_metric([peer, "command"], one.resets)
        resets.add_metric([peer, "soft-split"], one.split_resets)
        disabled.add_metric([peer], one.disabled is not None)
    breaches = CounterMetricFamily(
        "meshtracker_link_breaches", "Times that a node broke the protocol.", labels=["peer"]
    )
    for peer, one in named.items():
        breaches.add_metric([peer], one.breaches)
    yield from (splits, resets, disabled, breaches)
