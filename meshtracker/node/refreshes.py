"""What it takes to answer an announce that changes nothing, as nine in ten, or of which the node has taken note."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple, TypeAlias

from meshtracker.swarm.swarm import Swarm

KEY_BITS: Final = 0x7FFF_FFFF
"""Of a client's key in its identity; the bit before them is set for a client without one."""

Take: TypeAlias = Callable[[bytes, bytes, int, bytes, int, int, bool, float], int | None]
"""`Node.take`."""


class Refreshes(NamedTuple):
    """For whom answers announces without the node, for as long as it does not await.

    An announce is a refresh if its client's row says all that it says, and was stamped at ``due_stamp`` or later. Of
    any other the node has to ``take`` note first.
    """

    swarms: Mapping[bytes, Swarm]
    """By info-hash."""
    listed: frozenset[bytes] | None
    """An access list, if there is one."""
    listed_are_served: bool
    """Those and no others, or all but those."""
    allowed_mark: object
    """On swarms that are known to be served."""
    take: Take
    due_stamp: int
    interval_seconds: int
    min_interval_seconds: int
    jitter_seconds: int
    numwant_default: int
    numwant_max: int


def _take_nothing(*announce: object) -> None:
    """Nobody asks."""


NO_REFRESHES: Final = Refreshes({}, None, False, None, _take_nothing, 0, 0, 0, 0, 0, 0)
"""Of who wants to be asked about all."""
