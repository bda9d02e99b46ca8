"""Streams as small numbers, so that a row holds two bytes instead of a name and an incarnation.

An index is free again once its stream is forgotten, so the table is bounded by who has rows or is alive, not by who
ever was.
"""

from __future__ import annotations

from collections.abc import Sequence

from meshtracker.wire.vector import MAX_STREAMS, StreamId

OWN = 0
"""Index of the stream that this node writes."""


class Streams:
    """Streams by index and back, and how many rows each has."""

    __slots__ = ("_free", "_indexes", "_max_streams", "_of_name", "_rows", "holds", "streams")

    def __init__(self, own: StreamId, *, max_streams: int = MAX_STREAMS) -> None:
        self.streams: list[StreamId | None] = [own]
        """By index; None where an index is free."""
        self._indexes = {own: OWN}
        self._free: list[int] = []
        self._rows = [0]
        self._of_name: dict[str, set[int]] = {own.name: {OWN}}
        """Indexes of each node's streams."""
        self._max_streams = max_streams
        self.holds = 0
        """Snapshots that are being made: until they are done no stream is forgotten, for they hold numbers."""

    def __len__(self) -> int:
        return len(self._indexes)

    def find(self, stream: StreamId) -> int | None:
        """The index of a stream, if it has one."""
        return self._indexes.get(stream)

    def index(self, stream: StreamId) -> int | None:
        """The index of a stream, given at first sight; None if the table is full."""
        known = self._indexes.get(stream)
        if known is not None:
            return known
        if len(self._indexes) >= self._max_streams:
            return None
        if self._free:
            index = self._free.pop()
            self.streams[index] = stream
        else:
            index = len(self.streams)
            self.streams.append(stream)
            self._rows.append(0)
        self._indexes[stream] = index
        self._of_name.setdefault(stream.name, set()).add(index)
        return index

    def adopt(self, streams: Sequence[StreamId | None]) -> bool:
        """Take over another table's numbers, but for `OWN`; False if this one has met anybody, or is too small."""
        if len(self._indexes) > 1 or len(streams) > self._max_streams or self.stream(OWN) in streams:
            return False
        for index, stream in enumerate(streams):
            if index == OWN:
                continue
            self.streams.append(stream)
            self._rows.append(0)
            if stream is None:
                self._free.append(index)
            else:
                self._indexes[stream] = index
                self._of_name.setdefault(stream.name, set()).add(index)
        return True

    def has_room(self, stream: StreamId) -> bool:
        """Has that stream an index, or can it be given one?"""
        return stream in self._indexes or len(self._indexes) < self._max_streams

    def stream(self, index: int) -> StreamId:
        """The stream of an index that is in use."""
        stream = self.streams[index]
        if stream is None:
            raise KeyError(index)
        return stream

    def name(self, index: int) -> str:
        """The node of an index that is in use."""
        return self.stream(index).name

    def forget(self, stream: StreamId) -> None:
        """Let go of a stream that has no rows; not of this node's own."""
        index = self._indexes[stream]
        if index == OWN or self._rows[index]:
            raise ValueError(f"{stream} is in use")
        del self._indexes[stream]
        self._of_name[stream.name].discard(index)
        if not self._of_name[stream.name]:
            del self._of_name[stream.name]
        self.streams[index] = None
        self._free.append(index)

    def replace_own(self, own: StreamId) -> None:
        """This node begins a new stream: the rows of index 0 are of that from now on."""
        del self._indexes[self.stream(OWN)]
        self.streams[OWN] = own
        self._indexes[own] = OWN

    def count(self, index: int, rows: int) -> None:
        """Rows of a stream were added or taken away."""
        self._rows[index] += rows

    def rows(self, stream: StreamId) -> int:
        """Rows that a stream has here."""
        index = self._indexes.get(stream)
        return 0 if index is None else self._rows[index]

    def rows_of_name(self, name: str) -> int:
        """Rows that all streams of a node have here."""
        return sum(self._rows[index] for index in self._of_name.get(name, ()))

    def wins(self, new: tuple[int, int], old: tuple[int, int]) -> bool:
        """Does the newer write win? Both are ``(stamp, index)``; streams decide of equal stamps, on all nodes alike."""
        if new[0] != old[0]:
            return new[0] > old[0]
        return new[1] != old[1] and self.stream(new[1]) > self.stream(old[1])
