"""Compact addresses: how a peer is written in 6 bytes (BEP 23) or 18 (BEP 7).

    4 or 16 bytes   address, network byte order
    2 bytes         port, big-endian

*Packed* is the address alone. An IPv4-mapped IPv6 address (``::ffff:a.b.c.d``) is the IPv4 address it holds:
one client must not be two peers because one of its packets came through a dual-stack socket.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from typing import Final

from meshtracker.errors import WireError

IPV4_BYTES: Final = 4
IPV6_BYTES: Final = 16
COMPACT_BYTES: Final = 6
"""One IPv4 peer (BEP 23)."""
COMPACT6_BYTES: Final = 18
"""One IPv6 peer (BEP 7)."""

_PEER = struct.Struct("!4sH")
_PEER6 = struct.Struct("!16sH")
_MAPPED_PREFIX: Final = bytes(10) + b"\xff\xff"
_UNSPECIFIED6: Final = bytes(IPV6_BYTES)
_IPV4_MULTICAST: Final = 224
_IPV6_MULTICAST: Final = 0xFF


def pack_peer(address: bytes, port: int) -> bytes:
    """Packed address and port as 6 or 18 bytes."""
    return address + port.to_bytes(2, "big")


def unpack_peer(compact: bytes) -> tuple[bytes, int]:
    """6 or 18 bytes as (packed address, port); any other length is a ``WireError``."""
    if len(compact) == COMPACT_BYTES:
        address, port = _PEER.unpack(compact)
    elif len(compact) == COMPACT6_BYTES:
        address, port = _PEER6.unpack(compact)
    else:
        raise WireError(f"a compact peer has 6 or 18 bytes, not {len(compact)}")
    return address, port


def iterate_peers(peers: bytes) -> Iterator[tuple[bytes, int]]:
    """(packed address, port) of each IPv4 peer of ``peers``; a torn last one is a ``WireError``."""
    return _iterate(_PEER, peers)


def iterate_peers6(peers6: bytes) -> Iterator[tuple[bytes, int]]:
    """(packed address, port) of each IPv6 peer of ``peers6``; a torn last one is a ``WireError``."""
    return _iterate(_PEER6, peers6)


def _iterate(layout: struct.Struct, peers: bytes) -> Iterator[tuple[bytes, int]]:
    if len(peers) % layout.size:
        raise WireError(f"compact peers of {layout.size} bytes each cannot fill {len(peers)} bytes")
    return layout.iter_unpack(peers)


def canonical_address(packed: bytes) -> bytes:
    """``packed`` itself, or the 4 bytes inside an IPv4-mapped IPv6 address."""
    if len(packed) == IPV6_BYTES and packed.startswith(_MAPPED_PREFIX):
        return packed[12:]
    return packed


def packed_address(text: str) -> bytes:
    """Canonical packed form of an IPv4 or IPv6 address; a scope (``%eth0``) is left out.

    Strict: ``127.1`` and names are a ``WireError``.
    """
    try:
        if ":" in text:
            return canonical_address(socket.inet_pton(socket.AF_INET6, text.partition("%")[0]))
        return socket.inet_pton(socket.AF_INET, text)
    except (OSError, ValueError):  # ValueError: NUL inside, or not encodable
        raise WireError(f"{text!r} is not an IP address") from None


def address_text(packed: bytes) -> str:
    """The usual text of a packed address."""
    return socket.inet_ntop(socket.AF_INET if len(packed) == IPV4_BYTES else socket.AF_INET6, packed)


def is_unicast(packed: bytes) -> bool:
    """Can a packet come from this address and an answer go to it?

    Not from 0.0.0.0/8 ("this network"), 224.0.0.0/4 (multicast), 240.0.0.0/4 (reserved, and the broadcast
    address); not from ``::`` and ff00::/8: an answer to those is lost or multiplied.
    """
    first = packed[0]
    if len(packed) == IPV4_BYTES:
        return 0 < first < _IPV4_MULTICAST
    return first != _IPV6_MULTICAST and packed != _UNSPECIFIED6
