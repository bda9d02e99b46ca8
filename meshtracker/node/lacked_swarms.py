"""Does a node track swarms of which it has missed changes, because its list of them has grown?"""

from __future__ import annotations

from meshtracker.wire.vector import Position, Vector

_UNKNOWN = Position(-1, 0)


class LackedSwarms:
    """Counts how often the list grew, and up to which of these times a hub has made good for it."""

    def __init__(self) -> None:
        self._lacked = self._had = 0
        self._known: Vector = {}
        """What the node knew the last time."""

    def lack(self, known: Vector) -> int:
        """Swarms are tracked whose changes in what is ``known`` were not taken; returns `latest`."""
        self._lacked += 1
        self._known = known
        return self._lacked

    def latest(self) -> int:
        """The number of the last time that was not made good for; 0 if there is none."""
        return self._lacked if self._lacked > self._had else 0

    def have(self, lacked: int, theirs: Vector, mine: Vector, *, own_name: str) -> None:
        """A hub that knew ``theirs`` has sent all that it had of the swarms lacked up to then: was that enough?"""
        lacking = (
            theirs.get(stream, _UNKNOWN).sequence < min(position.sequence, mine[stream].sequence)
            for stream, position in self._known.items()
            # Of a stream that has gone meanwhile there is nothing to have, and a conflict may have set one back.
            if stream.name != own_name and stream in mine
        )
        if not any(lacking):
            self._had = max(self._had, lacked)
