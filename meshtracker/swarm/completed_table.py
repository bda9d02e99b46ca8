"""The table of completed downloads on the link: for each swarm and node one figure, which only grows.

A figure belongs to the node's name, not to one of its streams: its next life counts on from it, and says so under its
own stream (docs/decisions/0020).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Iterator
from typing import Final

from meshtracker.model import STAMP_COUNTER_BITS, Window
from meshtracker.swarm.expiry import COMPLETED_TTL_MS
from meshtracker.swarm.merging import Merging
from meshtracker.swarm.streams import OWN
from meshtracker.wire.completed_record import (
    MAX_COMPLETED,
    CompletedRecord,
    completed_records,
    encode_completed,
    narrow_completed,
)
from meshtracker.wire.vector import StreamId

COMPLETED_TABLE: Final = 2
"""Kind of its sections."""
PIECE_RECORDS = 500
"""Of one piece: some 15 kB."""
PIECE_SWARMS = 2000
"""Swarms looked at for one piece."""


class CompletedChanges:
    """Records of one section."""

    __slots__ = ("count", "left_out", "newest", "records")

    def __init__(self, records: list[CompletedRecord]) -> None:
        self.records = records
        self.count = len(records)
        self.left_out = 0
        self.newest = max((record.at_ms for record in records), default=0) << STAMP_COUNTER_BITS


class CompletedTable:
    """See `link.table.Table`."""

    kind: Final = COMPLETED_TABLE
    name: Final = "completed"

    def __init__(self, merging: Merging) -> None:
        self._merging = merging

    def read(self, section: bytes, base: int, *, strict: bool) -> CompletedChanges:  # noqa: ARG002  # as all tables do
        """The records. Raises `WireError`."""
        return CompletedChanges(list(completed_records(section)))

    def apply(self, stream: StreamId, index: int, changes: CompletedChanges, window: Window) -> int:
        """Merge the figures; returns how many grew."""
        merging = self._merging
        registry = merging.registry
        may_add = index == OWN or not registry.is_exhausted(stream.name)
        newest_ms, now_ms = window.newest >> STAMP_COUNTER_BITS, window.now >> STAMP_COUNTER_BITS
        oldest_ms = now_ms - COMPLETED_TTL_MS
        applied = 0
        for info_hash, total, at_ms in changes.records:
            if not merging.tracks(info_hash):
                merging.dropped += 1
            elif not oldest_ms <= at_ms <= newest_ms:
                merging.stale += 1
            elif registry.merge_completed(info_hash, stream.name, (total, at_ms, index), may_add):
                applied += 1
            else:
                merging.stale += 1
        merging.applied += applied
        return applied

    def take_over(self, info_hash: bytes, now_ms: int) -> None:
        """Say an earlier life's figure under this node's present stream, for good."""
        registry = self._merging.registry
        completed = registry.swarms[info_hash].completed
        name = registry.streams.name(OWN)
        if completed is not None and name in completed and completed[name][2] != OWN:
            total, at_ms, _ = completed[name]
            # A millisecond later, so that it wins over the one that it takes the place of; but not in the future.
            self.put_own(info_hash, total, min(at_ms + 1, now_ms))

    def take_over_all(self, now_ms: int) -> None:
        """The same for all swarms: after a restart, and when an earlier life's stream has come that grows no longer.

        Not of a live one: two nodes of one name would do so to each other for ever.
        """
        for info_hash in list(self._merging.registry.swarms):
            self.take_over(info_hash, now_ms)

    def count(self, info_hash: bytes, at_ms: int) -> None:
        """A client of this node has completed a download."""
        registry = self._merging.registry
        swarm = registry.swarms.get(info_hash)
        name = registry.streams.name(OWN)
        known = swarm.completed.get(name) if swarm is not None and swarm.completed else None
        before = known[0] if known is not None else 0
        self.put_own(info_hash, min(before + 1, MAX_COMPLETED), at_ms)

    def put_own(self, info_hash: bytes, total: int, at_ms: int) -> None:
        """This node's own figure; goes out with its next batch."""
        registry = self._merging.registry
        if registry.merge_completed(info_hash, registry.streams.name(OWN), (total, at_ms, OWN)):
            self._merging.note(self.kind, info_hash)

    def encode_own(self, key: bytes) -> bytes:
        """The record of this node's own figure of a swarm; empty if it is gone."""
        registry = self._merging.registry
        swarm = registry.swarms.get(key)
        figure = (swarm.completed or {}).get(registry.streams.name(OWN)) if swarm is not None else None
        return (
            b"" if figure is None or figure[2] != OWN else encode_completed(CompletedRecord(key, figure[0], figure[1]))
        )

    def begin_anew(self, stamp: int, newest: int, *, keeps_age: bool) -> None:  # noqa: ARG002  # ages do not matter here
        """This node's own figures win over those of its stream before, but are not from after now; others' are not from
        after ``newest``.
        """
        registry = self._merging.registry
        own_name, now_ms, newest_ms = (
            registry.streams.name(OWN),
            stamp >> STAMP_COUNTER_BITS,
            newest >> STAMP_COUNTER_BITS,
        )
        for info_hash, swarm in list(registry.swarms.items()):
            for name, (total, at_ms, index) in list((swarm.completed or {}).items()):
                if name == own_name:
                    swarm.set_completed(name, (total, min(at_ms + 1, now_ms), index))
                elif name != own_name and at_ms > newest_ms:
                    registry.drop_completed(swarm, name)
            registry.forget_if_empty(info_hash)

    def snapshot(
        self,
        stream: StreamId,
        index: int,
        base: int,  # noqa: ARG002  # figures are kept for longer than peers
        interest: Iterable[bytes] | None,
    ) -> Iterator[tuple[bytes, int]]:
        """Sections with all figures that a stream said last."""
        swarms = self._merging.registry.swarms
        body = bytearray()
        count = looked = 0
        for info_hash in list(swarms if interest is None else interest):
            swarm = swarms.get(info_hash)
            looked += 1
            figure = swarm.completed.get(stream.name) if swarm is not None and swarm.completed else None
            if figure is not None and figure[2] == index:
                body += encode_completed(CompletedRecord(info_hash, figure[0], figure[1]))
                count += 1
            if count >= PIECE_RECORDS or looked >= PIECE_SWARMS:
                yield bytes(body), count
                body = bytearray()
                count = looked = 0
        if count:
            yield bytes(body), count

    def swarms(
        self,
        info_hashes: Iterable[bytes],
        base: int,  # noqa: ARG002  # figures are kept for longer than peers
    ) -> Iterator[dict[int, bytes]]:
        """Sections by index of their stream with all figures of some swarms."""
        swarms = self._merging.registry.swarms
        waiting: dict[int, bytearray] = defaultdict(bytearray)
        count = looked = 0
        for info_hash in info_hashes:
            swarm = swarms.get(info_hash)
            looked += 1
            for total, at_ms, index in (swarm.completed or {}).values() if swarm is not None else ():
                waiting[index] += encode_completed(CompletedRecord(info_hash, total, at_ms))
                count += 1
            if count >= PIECE_RECORDS or looked >= PIECE_SWARMS:
                yield {index: bytes(body) for index, body in waiting.items()}
                waiting.clear()
                count = looked = 0
        if waiting:
            yield {index: bytes(body) for index, body in waiting.items()}

    def narrow(self, section: bytes, wanted: Container[bytes]) -> bytes:
        """The section without the records of other swarms."""
        return narrow_completed(section, wanted)
