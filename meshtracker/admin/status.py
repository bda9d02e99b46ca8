"""The figures of a process as one frozen tree."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import attrs

from meshtracker.node.statistics import NodeStatistics


@attrs.frozen(kw_only=True)
class Status:
    """A node and the services around it."""

    node: NodeStatistics
    services: Mapping[str, attrs.AttrsInstance]
    """Frozen statistics by a word such as "udp", "http", "snapshot"; it becomes a part of metrics' names."""


Provider: TypeAlias = Callable[[], Status]
"""Gives the figures of this moment."""


def to_json(status: Status) -> dict[str, Any]:
    """``{"node": {...}, "services": {"udp": {...}, ...}}`` of what JSON has a type for."""
    return attrs.asdict(status)


def links_to_json(status: Status) -> dict[str, Any]:
    """What of ``node`` in the same is about links: ``{"links": [...], "neighbours": [...], ...}``."""
    node = to_json(status)["node"]
    return {key: node[key] for key in ("links", "neighbours", "refused_links", "audit")}
