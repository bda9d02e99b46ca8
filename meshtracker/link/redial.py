"""What the end of a link means: how long its hub is waited with, and whether others are tried meanwhile."""

from __future__ import annotations

import attrs

from meshtracker.link.backoff import Backoff
from meshtracker.link.failover import Failover
from meshtracker.link.split import is_soft_split

ORDERED = "reset on "
"""How the reason of a reset begins that somebody commanded, on this node or the other."""


@attrs.frozen
class Redial:
    """Of one hub."""

    index: int
    """Its place in the order of ``failover``."""
    failover: Failover
    backoff: Backoff

    def wait_seconds(self, reason: str, up_seconds: float) -> float:
        """A link ended for that reason, after it had been synced for so long: 0 if never, or if it came to nothing.

        Returns how long to wait before the next attempt.
        """
        if reason.startswith(ORDERED):
            # Whoever ordered it wants the link back, and nothing is wrong with this one's path.
            self.backoff.reset()
            self.failover.note_failed(self.index)
            return self.backoff.next_seconds()
        was_split = is_soft_split(reason)
        self.backoff.link_ended(up_seconds, was_split=was_split)
        # A link that does not hold is no better than none: the next hub need not wait for ever longer pauses here.
        if was_split or self.backoff.failures:
            self.failover.give_up(self.index)
        else:
            self.failover.note_failed(self.index)
        return self.backoff.next_seconds()
