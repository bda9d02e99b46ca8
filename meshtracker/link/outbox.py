"""What this node's own clients changed since the last batch, already encoded and grouped by info-hash."""

from __future__ import annotations

from meshtracker.model import STAMP_COUNTER_BITS
from meshtracker.wire.peer_record import PeerRecord, encode_group, encode_record

_GROUP_BYTES = 24
"""Info-hash and length of a group."""


class Outbox:
    """Collects records of peers until they are taken for a batch of at most about ``max_batch_bytes``."""

    def __init__(self, *, max_batch_bytes: int) -> None:
        self.base = 0
        """The stamp that the records' stamps are counted from."""
        self._max_batch_bytes = max_batch_bytes
        self._groups: dict[bytes, bytearray] = {}
        self._size = 0

    def __bool__(self) -> bool:
        """Is anything waiting to be sealed?"""
        return bool(self._groups)

    def takes(self, stamp: int) -> bool:
        """Can a record of that stamp go into this batch? Not if it is from before its first one."""
        return not self._groups or stamp >> STAMP_COUNTER_BITS >= self.base >> STAMP_COUNTER_BITS

    def add(self, info_hash: bytes, record: PeerRecord) -> bool:
        """Append one record that the batch `takes`. Is it time to seal, whatever the clock says?"""
        if not self._groups:
            self.base = record.stamp
        encoded = encode_record(record, self.base)
        group = self._groups.get(info_hash)
        if group is None:
            group = self._groups[info_hash] = bytearray()
            self._size += _GROUP_BYTES
        group += encoded
        self._size += len(encoded)
        return self._size >= self._max_batch_bytes

    def take(self) -> bytes:
        """The section of all that was added; it waits no longer."""
        section = b"".join([encode_group(info_hash, group) for info_hash, group in self._groups.items()])
        self._groups = {}
        self._size = 0
        return section
