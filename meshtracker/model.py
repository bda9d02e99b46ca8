"""The nouns that every layer shares: what a client said, what a peer is, what an answer holds.

Addresses are *packed*: 4 bytes for IPv4, 16 for IPv6, network byte order; ports are ints.
IPv4-mapped IPv6 addresses never appear here: the wire canonicalises them to IPv4.
"""

from __future__ import annotations

import enum

import attrs

INFO_HASH_BYTES = 20
PEER_ID_BYTES = 20

STAMP_COUNTER_BITS = 16
"""A stamp is 48 bits of wall milliseconds since the Unix epoch and a 16-bit counter (hybrid logical clock)."""

NUMWANT_DEFAULT = -1
"""The client left the number of peers to the tracker."""

LEFT_UNKNOWN = -1
"""``left`` was missing or garbled: such a client is a leecher, never a seeder."""


class Event(enum.IntEnum):
    """Announce events, numbered as in BEP 15; 4 is BEP 21's ``paused`` as libtorrent sends it."""

    NONE = 0
    COMPLETED = 1
    STARTED = 2
    STOPPED = 3
    PAUSED = 4


class PeerState(enum.IntEnum):
    """What a peer of a swarm is; the numbers go over the link and into snapshots."""

    LEECHER = 0
    PARTIAL = 1
    """A partial seed (BEP 21): incomplete, but downloads nothing more."""
    SEEDER = 2
    REMOVED = 3
    """A tombstone: the client stopped; kept so that an older upsert cannot bring it back."""


@attrs.define
class AnnounceRequest:
    """One announce, the same from every front end.

    Not frozen: one is made for each announce, and frozen attrs instances cost four times as much.
    """

    info_hash: bytes
    """20 bytes; for BEP 52 (v2) torrents the truncated hash."""
    peer_id: bytes
    """20 bytes."""
    key: int
    """32-bit client key; 0 when the client sent none."""
    address: bytes
    """Packed address to hand out for this client: 4 or 16 bytes."""
    port: int
    """0 when the client cannot be connected to."""
    event: Event = Event.NONE
    left: int = LEFT_UNKNOWN
    """Bytes still to download."""
    numwant: int = NUMWANT_DEFAULT
    both_families: bool = False
    """Answer with IPv4 and IPv6 peers (HTTP); else only with the family of ``address`` (UDP)."""
    with_peer_ids: bool = False
    """Fill ``peer_ids`` and ``peer_ids6`` of the answer (HTTP, ``compact=0``)."""


@attrs.define
class AnnounceAnswer:
    """What the node says to an announce; a front end turns it into bytes."""

    interval_seconds: int
    min_interval_seconds: int
    complete: int
    """Seeders, each client counted once, also when it has an IPv4 and an IPv6 address."""
    incomplete: int
    """Peers that are not seeders, partial seeds included."""
    downloaded: int
    """Completed downloads, mesh-wide, since the swarm is known."""
    downloaders: int
    """``incomplete`` without partial seeds (BEP 21)."""
    peers: bytes = b""
    """Compact IPv4 peers (BEP 23): 6 bytes each."""
    peers6: bytes = b""
    """Compact IPv6 peers (BEP 7): 18 bytes each."""
    peer_ids: tuple[bytes, ...] = ()
    """Peer ids in the order of ``peers``, if asked for."""
    peer_ids6: tuple[bytes, ...] = ()
    """Peer ids in the order of ``peers6``, if asked for."""


@attrs.define
class ScrapeAnswer:
    """The counts of one swarm (BEP 48, with BEP 21's ``downloaders``)."""

    complete: int
    incomplete: int
    downloaded: int
    downloaders: int


SCRAPE_UNKNOWN = ScrapeAnswer(0, 0, 0, 0)
"""What a swarm nobody has announced to looks like."""
