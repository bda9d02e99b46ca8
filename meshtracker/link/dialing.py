"""When a hub is dialled again, and which of several: the whole of it as plain state, without a clock or a socket.

`Backoff` draws the waits: exponential with full jitter, so that a hub that returns is not stampeded ("Exponential
Backoff And Jitter", AWS Architecture Blog, 2015). `Failover` says which hub is wanted. `Redial` joins both for one hub.
"""

from __future__ import annotations

import enum
import random
from collections.abc import Collection, Sequence

import attrs

from meshtracker.errors import CloseCode


class Backoff:
    """The wait before each attempt; doubles its bound at every failure."""

    def __init__(self, *, min_seconds: float, max_seconds: float, steady_seconds: float, rng: random.Random) -> None:
        """``steady_seconds``, above 0: a link that was up for less is one more failure."""
        self._min_seconds = min_seconds
        self._max_seconds = max_seconds
        self._steady_seconds = steady_seconds
        self._rng = rng
        self.failures = 0

    def next_seconds(self) -> float:
        """Count a failure and draw the wait until the next attempt."""
        # 2^20 times any sensible minimum is past any sensible maximum.
        bound = min(self._max_seconds, self._min_seconds * 2 ** min(self.failures, 20))
        self.failures += 1
        return self._rng.uniform(0, bound)

    def link_ended(self, up_seconds: float, *, was_split: bool) -> None:
        """A link ended that had been synced for so long: start from the smallest wait again if it can be trusted.

        Not after a soft-split, nor if it broke at once: over a path that is broken for data alone it would be made and
        reset in a fast loop.
        """
        if up_seconds >= self._steady_seconds and not was_split:
            self.reset()

    def reset(self) -> None:
        """Start from the smallest wait again."""
        self.failures = 0


class _Hub(enum.Enum):
    UNTRIED = "untried"
    FAILED = "failed"
    SYNCED = "synced"


class Failover:
    """Which of several hubs to be linked to: the first, in the operator's order, that can be had.

        hub 0      hub 1      hub 2
        untried    -          -          only the first is dialled
        failed     untried    -          a hub is dialled once all before it have failed
        failed     synced     -          those before it go on being dialled, those after it are left alone
        synced     to close   -          one before it is back: the later link is closed, and is untried from then on

    A link that is lost makes its hub untried: only a redial that comes to nothing makes it failed. A disabled hub
    counts as failed.
    """

    def __init__(self, count: int) -> None:
        """``count`` hubs; one alone is always dialled."""
        self._hubs = [_Hub.UNTRIED] * count
        self._disabled: frozenset[int] = frozenset()

    def may_dial(self, index: int) -> bool:
        """Is a link to that hub wanted: it is not disabled, and all before it have failed?"""
        return index not in self._disabled and all(hub is _Hub.FAILED for hub in self._hubs[:index])

    def note_synced(self, index: int) -> None:
        """Peers flow over the link to that hub; see `to_close` for what that means to others."""
        if self.may_dial(index):
            self._hubs[index:] = [_Hub.SYNCED] + [_Hub.UNTRIED] * (len(self._hubs) - index - 1)
            self.set_disabled(self._disabled)

    def note_failed(self, index: int) -> None:
        """The link was lost, or an attempt came to nothing. That of a hub which is not wanted says nothing."""
        if self.may_dial(index):
            self._hubs[index] = _Hub.UNTRIED if self._hubs[index] is _Hub.SYNCED else _Hub.FAILED

    def give_up(self, index: int) -> None:
        """The link was lost and no redial is worth waiting for: it carried nothing, or was lost again and again."""
        if self.may_dial(index):
            self._hubs[index] = _Hub.FAILED

    def set_disabled(self, indexes: Collection[int]) -> None:
        """The operator wants no link to these hubs: those after them need not wait for an attempt."""
        self._disabled = frozenset(indexes)
        for index in indexes:
            self._hubs[index] = _Hub.FAILED

    def to_close(self) -> Sequence[int]:
        """The hubs that no link is wanted to any longer, because of one before them."""
        synced = self._hubs.index(_Hub.SYNCED) if _Hub.SYNCED in self._hubs else len(self._hubs)
        return range(synced + 1, len(self._hubs))


@attrs.frozen
class Redial:
    """What the end of a link means for one hub: how long it is waited with, and whether others are tried meanwhile."""

    index: int
    """Its place in the order of ``failover``."""
    failover: Failover
    backoff: Backoff

    def wait_seconds(self, code: CloseCode, up_seconds: float) -> float:
        """A link ended with that code, after it had been synced for so long: 0 if never, or if it came to nothing.

        Returns how long to wait before the next attempt.
        """
        if code is CloseCode.RESET:
            # Whoever ordered it wants the link back, and nothing is wrong with this one's path.
            self.backoff.reset()
            self.failover.note_failed(self.index)
            return self.backoff.next_seconds()
        was_split = code is CloseCode.SOFT_SPLIT
        self.backoff.link_ended(up_seconds, was_split=was_split)
        # A link that does not hold is no better than none: the next hub need not wait for ever longer pauses here.
        if was_split or self.backoff.failures:
            self.failover.give_up(self.index)
        else:
            self.failover.note_failed(self.index)
        return self.backoff.next_seconds()
