"""Which of several hubs to be linked to: the first, in the operator's order, that can be had.

    hub 0      hub 1      hub 2
    untried    -          -          only the first is dialled
    failed     untried    -          a hub is dialled once all before it have failed
    failed     synced     -          those before it go on being dialled, those after it are left alone
    synced     to close   -          one before it is back: the later link is closed, and is untried from then on

A link that is lost makes its hub untried: only a redial that comes to nothing makes it failed. A disabled hub counts as
failed.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Sequence


class _Hub(enum.Enum):
    UNTRIED = "untried"
    FAILED = "failed"
    SYNCED = "synced"


class Failover:
    """What is known of each hub, by its place in the order."""

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
