"""Another node has come with the peer's name: the peer keeps it if it is alive, which it shows by sending anything."""

from __future__ import annotations

from meshtracker.link.split import NEVER

CHALLENGE_SECONDS = 2.0
"""It has this long to."""


class Challenge:
    """Of one link; there is one at a time."""

    def __init__(self) -> None:
        self.due_at = NEVER
        """When the peer has lost its name."""
        self._received_bytes = 0
        """What had come before."""

    def begin(self, received_bytes: int, now: float) -> bool:
        """Challenge the peer; False if it is being challenged already."""
        if self.due_at != NEVER:
            return False
        self.due_at, self._received_bytes = now + CHALLENGE_SECONDS, received_bytes
        return True

    def is_lost(self, received_bytes: int, now: float) -> bool:
        """Has it been silent all the time?"""
        if received_bytes > self._received_bytes:
            self.due_at = NEVER
        return now >= self.due_at
