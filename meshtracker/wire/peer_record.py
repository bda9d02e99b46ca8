"""Records of the table of peers, grouped by info-hash so that it is sent once a group.

    section    group ...
    group      info-hash 20 | body length varint | record ...
    record     head 1 | milliseconds after base varint | counter varint | peer id 20 | key 4 | address 6 or 18
               head: bits 0-1 peer state, bit 2 IPv6; a removed peer (state 3) has no address

A group carries its length so that a reader can skip it without decoding its records.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from typing import Final

from meshtracker.errors import WireError
from meshtracker.model import INFO_HASH_BYTES, STAMP_COUNTER_BITS, PeerState
from meshtracker.wire.varint import decode_varint, encode_varint

_COUNTER_MASK: Final = (1 << STAMP_COUNTER_BITS) - 1
_MAX_MS: Final = 1 << 48
_REMOVED: Final = int(PeerState.REMOVED)
_IPV6: Final = 4
_IDENTITY_BYTES: Final = 24
_IPV4_MULTICAST: Final = 224
_IPV6_MULTICAST: Final = 0xFF
_MAPPED: Final = bytes(10) + b"\xff\xff"
_UNSPECIFIED: Final = bytes(16)
_NO_PORT: Final = bytes(2)


class PeerRecord:
    """One peer in one swarm, as its node wrote it. A plain class, since compiled those are made fastest."""

    __slots__ = ("address", "address_bytes", "identity", "stamp", "state")

    def __init__(self, identity: bytes, stamp: int, state: int, address_bytes: int, address: bytes) -> None:
        self.identity = identity
        """20 bytes peer id, 4 bytes key."""
        self.stamp = stamp
        self.state = state
        """A `PeerState`, as a plain int."""
        self.address_bytes = address_bytes
        """6 or 18: the family, also of a removed peer."""
        self.address = address
        """Compact; empty when the peer was removed."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PeerRecord) and self._fields() == other._fields()

    def __hash__(self) -> int:
        return hash(self._fields())

    def __repr__(self) -> str:
        return f"PeerRecord{self._fields()}"

    def _fields(self) -> tuple[bytes, int, int, int, bytes]:
        return self.identity, self.stamp, self.state, self.address_bytes, self.address


def encode_record(record: PeerRecord, base: int) -> bytes:
    """One record; its stamp must not be before ``base``'s millisecond."""
    after_ms = (record.stamp >> STAMP_COUNTER_BITS) - (base >> STAMP_COUNTER_BITS)
    counter = record.stamp & _COUNTER_MASK
    head = record.state | (_IPV6 if record.address_bytes == 18 else 0)
    # `encode_varint` of what nearly every live record has.
    if after_ms < 128 and counter < 128 * 128:
        numbers = (head, after_ms, counter) if counter < 128 else (head, after_ms, counter & 127 | 128, counter >> 7)
        return bytes(numbers) + record.identity + record.address
    return bytes((head,)) + encode_varint(after_ms) + encode_varint(counter) + record.identity + record.address


def encode_group(info_hash: bytes, body: bytes | bytearray) -> bytes:
    """The records of one swarm."""
    return info_hash + encode_varint(len(body)) + body


def groups(section: bytes) -> Iterator[tuple[bytes, bytes]]:
    """``(info_hash, record bytes)`` of each group. Raises `WireError`."""
    at = 0
    while at < len(section):
        start = at + INFO_HASH_BYTES
        length, start = decode_varint(section, start)
        end = start + length
        if end > len(section):
            raise WireError("a group is cut short")
        yield section[at : at + INFO_HASH_BYTES], section[start:end]
        at = end


def narrow_peers(section: bytes, wanted: Container[bytes]) -> bytes:
    """The section without the groups of swarms that are not ``wanted``; no record is decoded. Raises `WireError`."""
    return b"".join([encode_group(info_hash, body) for info_hash, body in groups(section) if info_hash in wanted])


def records(body: bytes, base: int, *, strict: bool) -> list[PeerRecord | None]:
    """The records of one group. Raises `WireError`.

    Not ``strict``, a record that no honest node writes (an address that no peer can have) comes as None.
    """
    found: list[PeerRecord | None] = []
    base_ms = base >> STAMP_COUNTER_BITS
    at = 0
    size = len(body)
    while at < size:
        head = body[at]
        if head > _IPV6 + _REMOVED:
            raise WireError(f"a record of unknown kind {head:#x}")
        at += 1
        if at < size and body[at] < 128:
            after_ms = body[at]
            at += 1
        else:
            after_ms, at = decode_varint(body, at)
        if at < size and body[at] < 128:
            counter = body[at]
            at += 1
        else:
            counter, at = decode_varint(body, at)
        state = head & _REMOVED
        address_bytes = 18 if head & _IPV6 else 6
        middle = at + _IDENTITY_BYTES
        end = middle if state == _REMOVED else middle + address_bytes
        if end > size or counter > _COUNTER_MASK or base_ms + after_ms >= _MAX_MS:
            raise WireError("a record is cut short or its stamp is out of range")
        if state == _REMOVED:
            is_possible = True
        elif address_bytes == 6:
            # As `wire.compact.is_unicast` says, and with a port.
            is_possible = 0 < body[middle] < _IPV4_MULTICAST and (body[end - 1] > 0 or body[end - 2] > 0)
        else:
            is_possible = _is_possible6(body[middle:end])
        if is_possible:
            stamp = (base_ms + after_ms) << STAMP_COUNTER_BITS | counter
            found.append(PeerRecord(body[at:middle], stamp, state, address_bytes, body[middle:end]))
        elif strict:
            raise WireError("a record has an address that no peer can have")
        else:
            found.append(None)
        at = end
    return found


def _is_possible6(compact: bytes) -> bool:
    """Can a peer have that compact IPv6 address: unicast, none of IPv4, and with a port?"""
    address = compact[:16]
    if compact[16:] == _NO_PORT or compact[0] == _IPV6_MULTICAST:
        return False
    return address != _UNSPECIFIED and not address.startswith(_MAPPED)
