"""What this node's own clients changed since the last batch, already encoded and grouped by info-hash."""

from __future__ import annotations

from meshtracker.wire.batch import Batch, PeerRecord, encode_batch, encode_completed, encode_group, encode_record
from meshtracker.wire.frame import FrameType

_GROUP_BYTES = 24
"""Info-hash and length of a group."""


class Outbox:
    """Collects records until they are sealed into a batch of at most about ``max_batch_bytes``."""

    def __init__(self, *, origin: str, incarnation: int, max_batch_bytes: int) -> None:
        self.origin = origin
        self.incarnation = incarnation
        self.sequence = 0
        """Of the last sealed batch."""
        self._max_batch_bytes = max_batch_bytes
        self._groups: dict[bytes, bytearray] = {}
        self._size = 0
        self._base = 0

    def __bool__(self) -> bool:
        """Is anything waiting to be sealed?"""
        return bool(self._groups)

    def add(self, info_hash: bytes, record: PeerRecord) -> bool:
        """Append one record; stamps never run backwards within a batch. Is it time to seal, whatever the clock says?"""
        if not self._groups:
            self._base = record.stamp
        self._append(info_hash, encode_record(record, self._base))
        return self._size >= self._max_batch_bytes

    def add_completed(self, info_hash: bytes, total: int) -> None:
        """Append the swarm's number of completed downloads at this node."""
        self._append(info_hash, encode_completed(total))

    def seal(self, base: int) -> bytes:
        """The next batch as a frame; empty if nothing changed, then stamped ``base``."""
        self.sequence += 1
        body = b"".join([encode_group(info_hash, group) for info_hash, group in self._groups.items()])
        batch = Batch(self.origin, self.incarnation, self.sequence, self._base if self._groups else base, body)
        self._groups = {}
        self._size = 0
        return encode_batch(FrameType.BATCH, batch)

    def seal_again(self, batch: Batch) -> bytes:
        """Records from before this node's restart as the next batch of its present life."""
        self.sequence += 1
        return encode_batch(
            FrameType.BATCH, Batch(self.origin, self.incarnation, self.sequence, batch.base, batch.body)
        )

    def _append(self, info_hash: bytes, encoded: bytes) -> None:
        group = self._groups.get(info_hash)
        if group is None:
            group = self._groups[info_hash] = bytearray()
            self._size += _GROUP_BYTES
        group += encoded
        self._size += len(encoded)
