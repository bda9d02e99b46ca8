"""What a node remembers of its copy of each stream, besides how far it knows it (`link.log`) and the rows themselves.

An honest copy is the batches up to its position, and nothing else. All that a copy may be besides stands here, in one
record a stream, which goes when the stream is forgotten.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

import attrs

from meshtracker.wire.vector import StreamId


@attrs.define(kw_only=True)
class Copy:
    """Of one stream."""

    lacking: frozenset[str] = frozenset()
    """Tables of which rows are lacking: they came from a node without them, or were not taken for their stamps."""
    is_coming: bool = False
    """Is it being sent whole, so far with no record that was not taken?"""
    is_narrowed: bool = False
    """Were records left out of swarms that this node does not track? Then it cannot be sent to others as a whole."""
    is_disputed: bool = False
    """Are rows here that are in none of its batches? Its own node is told so."""
    is_suspect: bool = False
    """One that this node wrote: may others have rows that it did not write? Then the digest is to be altered."""
    is_taken_over: bool = False
    """One of an earlier life: has this node made its figures of completed downloads its own?"""
    reach: int = 0
    """The latest stamp of rows that came without the batches they are in; 0: there are none, or all batches came.

    A node stamps what it writes ever later, so a batch, or a copy of all, that is stamped as late comes after them."""
    reached_at: float = 0.0
    """When they came."""
    told: int = 0
    """The latest stamp of those of them of which the digest tells the others."""

    def extend(self, newest: int, now: float) -> None:
        """Rows have come without their batches, stamped up to ``newest``."""
        self.reach, self.reached_at = max(self.reach, newest), now

    def account_for(self, newest: int) -> None:
        """A batch or a copy of all has come, stamped as late as that, and the position is according to it."""
        self.told = 0
        if newest >= self.reach:
            self.reach = 0


class Copies:
    """By stream, as far as there is anything to remember."""

    def __init__(self) -> None:
        self._copies: dict[StreamId, Copy] = {}

    def of(self, stream: StreamId) -> Copy:
        """The record of a stream, made if need be."""
        return self._copies.setdefault(stream, Copy())

    def find(self, stream: StreamId) -> Copy | None:
        """The record of a stream, if there is one."""
        return self._copies.get(stream)

    def forget(self, stream: StreamId) -> None:
        """The stream is known no longer."""
        self._copies.pop(stream, None)

    def lacking(self, tables: Collection[str]) -> Iterator[StreamId]:
        """Streams of which rows of some of these tables are lacking."""
        return (stream for stream, copy in self._copies.items() if not copy.lacking.isdisjoint(tables))

    def untold(self) -> Iterator[StreamId]:
        """Streams of which rows came without the batches they are in, and the digest does not tell of them."""
        return (stream for stream, copy in self._copies.items() if copy.reach > copy.told)

    def any_narrowed(self) -> bool:
        """Are records left out of any?"""
        return any(copy.is_narrowed for copy in self._copies.values())
