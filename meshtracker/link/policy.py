"""Times and limits of a link."""

from __future__ import annotations

import attrs

from meshtracker.link.greeting import ClockPolicy
from meshtracker.wire.link import VERSIONS


@attrs.frozen(kw_only=True)
class LinkPolicy:
    """Times and limits of a link."""

    heartbeat_seconds: float = 5.0
    handshake_timeout_seconds: float = 10.0
    soft_split_after_seconds: float = 15.0
    auto_reset: bool = True
    """Close a link in a soft-split, so that it is made anew; otherwise raise an alarm until it has recovered."""
    clocks: ClockPolicy = attrs.field(factory=ClockPolicy)
    versions: tuple[int, int] = VERSIONS
    """The oldest and the newest version of the protocol that are spoken; another one only in tests of mixed meshes."""
    capabilities: tuple[str, ...] = ()
