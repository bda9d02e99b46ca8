"""The nouns that every layer shares: what a client said, what a peer is, what an answer holds.

Addresses are *packed*: 4 bytes for IPv4, 16 for IPv6, network byte order; ports are ints.
IPv4-mapped IPv6 addresses never appear here: the wire canonicalises them to IPv4.
"""

from __future__ import annotations

import enum
from typing import NamedTuple

INFO_HASH_BYTES = 20
PEER_ID_BYTES = 20

STAMP_COUNTER_BITS = 16
"""A stamp is 48 bits of wall milliseconds since the Unix epoch and a 16-bit counter (hybrid logical clock)."""

NUMWANT_DEFAULT = -1
"""The client left the number of peers to the tracker."""

LEFT_UNKNOWN = -1
"""``left`` was missing or garbled: such a client is a leecher, never a seeder."""


class Window(NamedTuple):
    """Stamps that are taken of other nodes, and the one of this moment."""

    oldest: int
    now: int
    newest: int


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


class AnnounceRequest:
    """One announce, the same from every front end.

    A plain class, as `AnnounceAnswer` is: one is made for each announce, and an attrs class costs several times as much
    where the package is compiled.
    """

    __slots__ = (
        "address",
        "both_families",
        "compact",
        "event",
        "info_hash",
        "key",
        "left",
        "numwant",
        "peer_id",
        "port",
        "with_peer_ids",
    )

    def __init__(
        self,
        info_hash: bytes,
        peer_id: bytes,
        key: int,
        address: bytes,
        port: int,
        event: Event = Event.NONE,
        left: int = LEFT_UNKNOWN,
        numwant: int = NUMWANT_DEFAULT,
        both_families: bool = False,
        with_peer_ids: bool = False,
        compact: bool = True,
    ) -> None:
        self.info_hash = info_hash
        """20 bytes; for BEP 52 (v2) torrents the truncated hash."""
        self.peer_id = peer_id
        """20 bytes."""
        self.key = key
        """32-bit client key; 0 when the client sent none."""
        self.address = address
        """Packed address to hand out for this client: 4 or 16 bytes."""
        self.port = port
        """0 when the client cannot be connected to."""
        self.event = event
        self.left = left
        """Bytes still to download."""
        self.numwant = numwant
        self.both_families = both_families
        """Answer with IPv4 and IPv6 peers (HTTP); else only with the family of ``address`` (UDP)."""
        self.with_peer_ids = with_peer_ids
        """Fill ``peer_ids`` and ``peer_ids6`` of the answer (HTTP, ``compact=0``)."""
        self.compact = compact
        """The answer is to be compact (BEP 23); over HTTP a client may ask for dictionaries instead."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AnnounceRequest) and self._fields() == other._fields()

    def __repr__(self) -> str:
        return f"AnnounceRequest{self._fields()}"

    def _fields(self) -> tuple[object, ...]:
        return (
            self.info_hash,
            self.peer_id,
            self.key,
            self.address,
            self.port,
            self.event,
            self.left,
            self.numwant,
            self.both_families,
            self.with_peer_ids,
            self.compact,
        )


class AnnounceAnswer:
    """What the node says to an announce; a front end turns it into bytes."""

    __slots__ = (
        "complete",
        "downloaded",
        "downloaders",
        "incomplete",
        "interval_seconds",
        "min_interval_seconds",
        "peer_ids",
        "peer_ids6",
        "peers",
        "peers6",
    )

    def __init__(
        self,
        interval_seconds: int,
        min_interval_seconds: int,
        complete: int,
        incomplete: int,
        downloaded: int,
        downloaders: int,
        peers: bytes = b"",
        peers6: bytes = b"",
        peer_ids: tuple[bytes, ...] = (),
        peer_ids6: tuple[bytes, ...] = (),
    ) -> None:
        self.interval_seconds = interval_seconds
        self.min_interval_seconds = min_interval_seconds
        self.complete = complete
        """Seeders, each client counted once, also when it has an IPv4 and an IPv6 address."""
        self.incomplete = incomplete
        """Peers that are not seeders, partial seeds included."""
        self.downloaded = downloaded
        """Completed downloads, mesh-wide, since the swarm is known."""
        self.downloaders = downloaders
        """``incomplete`` without partial seeds (BEP 21)."""
        self.peers = peers
        """Compact IPv4 peers (BEP 23): 6 bytes each."""
        self.peers6 = peers6
        """Compact IPv6 peers (BEP 7): 18 bytes each."""
        self.peer_ids = peer_ids
        """Peer ids in the order of ``peers``, if asked for."""
        self.peer_ids6 = peer_ids6
        """Peer ids in the order of ``peers6``, if asked for."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AnnounceAnswer) and self._fields() == other._fields()

    def __repr__(self) -> str:
        return f"AnnounceAnswer{self._fields()}"

    def _fields(self) -> tuple[object, ...]:
        return (
            self.interval_seconds,
            self.min_interval_seconds,
            self.complete,
            self.incomplete,
            self.downloaded,
            self.downloaders,
            self.peers,
            self.peers6,
            self.peer_ids,
            self.peer_ids6,
        )


class ScrapeAnswer(NamedTuple):
    """The counts of one swarm (BEP 48, with BEP 21's ``downloaders``)."""

    complete: int
    incomplete: int
    downloaded: int
    downloaders: int


SCRAPE_UNKNOWN = ScrapeAnswer(0, 0, 0, 0)
"""What a swarm nobody has announced to looks like."""
