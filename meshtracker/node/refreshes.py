"""What it takes to answer an announce that changes nothing: nine in ten are of that kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from meshtracker.swarm.swarm import Swarm


class Refreshes(NamedTuple):
    """For whom answers refreshes without the node, for as long as it does not await.

    An announce is one if its client's row says all that it says, and was stamped at ``due_stamp`` or later.
    """

    swarms: Mapping[bytes, Swarm]
    """By info-hash."""
    listed: frozenset[bytes] | None
    """An access list, if there is one."""
    listed_are_served: bool
    """Those and no others, or all but those."""
    allowed_mark: object
    """On swarms that are known to be served."""
    due_stamp: int
    interval_seconds: int
    min_interval_seconds: int
    jitter_seconds: int
    numwant_default: int
    numwant_max: int
