"""All swarms of a node by info-hash, with the bounds on what clients and links may make it hold."""

from __future__ import annotations

import attrs

from meshtracker.model import PeerState
from meshtracker.swarm.origins import Origins
from meshtracker.swarm.peers import PeerPack, RowFields
from meshtracker.swarm.swarm import Swarm

_REMOVED = int(PeerState.REMOVED)


@attrs.frozen(kw_only=True)
class RegistryStatistics:
    """What a registry holds and what it turned away."""

    swarms: int
    peers: int
    """Live rows; a client with an IPv4 and an IPv6 address has two."""
    tombstones: int
    expired: int
    """Rows that aged out since the start."""
    refused_full: int
    """Peers not stored because a bound was reached."""


class Registry:
    """Swarms by 20-byte info-hash. Rows are counted here, so they are only written and dropped through here."""

    def __init__(
        self, *, origins: Origins, max_peers: int, max_peers_per_swarm: int, max_peers_per_origin: int
    ) -> None:
        """``max_peers`` bounds rows over all swarms, ``max_peers_per_origin`` what is merged of one other node.

        Tombstones are rows too.
        """
        self.origins = origins
        self.swarms: dict[bytes, Swarm] = {}
        self.peers = 0
        self.tombstones = 0
        self.expired = 0
        self.refused_full = 0
        self._max_peers = max_peers
        self._max_peers_per_swarm = max_peers_per_swarm
        self._max_peers_per_origin = max_peers_per_origin
        self._rows_of: dict[int, int] = {}
        """Rows by origin."""

    def get(self, info_hash: bytes) -> Swarm | None:
        """The swarm of an info-hash, if anybody is in it."""
        return self.swarms.get(info_hash)

    def swarm(self, info_hash: bytes) -> Swarm:
        """The swarm of an info-hash, made if need be."""
        swarm = self.swarms.get(info_hash)
        if swarm is None:
            swarm = self.swarms[info_hash] = Swarm()
        return swarm

    def adopt(self, info_hash: bytes, swarm: Swarm) -> bool:
        """Take in a whole swarm with its rows; False if the info-hash is known already or a bound forbids it."""
        rows = len(swarm)
        full = self.peers + self.tombstones + rows > self._max_peers or rows > self._max_peers_per_swarm
        if full or info_hash in self.swarms:
            return False
        self.swarms[info_hash] = swarm
        self.peers += swarm.live
        self.tombstones += rows - swarm.live
        for pack in swarm.packs():
            for origin, count in pack.rows_by_origin().items():
                self._count(origin, count)
        return True

    def is_exhausted(self, origin: int) -> bool:
        """Does one node take all the room that a node is given?"""
        return self._rows_of.get(origin, 0) >= self._max_peers_per_origin

    def _count(self, origin: int, rows: int) -> None:
        self._rows_of[origin] = self._rows_of.get(origin, 0) + rows

    @property
    def is_full(self) -> bool:
        """Is there no room for another row, or for a swarm without rows?"""
        return max(self.peers + self.tombstones, len(self.swarms)) >= self._max_peers

    def _has_no_room(self, swarm: Swarm) -> bool:
        return self.peers + self.tombstones >= self._max_peers or len(swarm) >= self._max_peers_per_swarm

    def write(self, swarm: Swarm, pack: PeerPack, position: int, row: RowFields, address: bytes) -> int:
        """Put a row; returns its position, or -1 if it is new and a bound forbids it."""
        _, _, origin, state = row
        if position < 0:
            if self._has_no_room(swarm):
                if pack.live < len(pack):
                    # Clients that come and go must not lock out those that stay.
                    self.drop(swarm, pack, len(pack) - 1)
                if self._has_no_room(swarm):
                    self.refused_full += 1
                    return -1
            self._count(origin, 1)
        else:
            before = pack.fields(position)[1]
            if before != origin:
                self._count(before, -1)
                self._count(origin, 1)
            if position >= pack.live:
                self.tombstones -= 1
            else:
                self.peers -= 1
        if state == _REMOVED:
            self.tombstones += 1
        else:
            self.peers += 1
        return swarm.put(pack, position, row, address)

    def merge(self, swarm: Swarm, row: RowFields, address: bytes, family_bytes: int) -> bool:
        """Apply a record of the link: True if it won over what was known and was stored."""
        identity, stamp, origin, _ = row
        pack = swarm.pack(family_bytes)
        position = pack.find(identity)
        if position >= 0:
            known_stamp, known_origin, _ = pack.fields(position)
            if not self.origins.wins((stamp, origin), (known_stamp, known_origin)):
                return False
        elif self.is_exhausted(origin):
            self.refused_full += 1
            return False
        return self.write(swarm, pack, position, row, address) >= 0

    def drop(self, swarm: Swarm, pack: PeerPack, position: int) -> None:
        """Forget a row without a trace (it aged out)."""
        self._count(pack.fields(position)[1], -1)
        if position >= pack.live:
            self.tombstones -= 1
        else:
            self.peers -= 1
        swarm.drop(pack, position)

    def forget_if_empty(self, info_hash: bytes) -> None:
        """Remove a swarm that holds no rows any more; its completed downloads go with it."""
        swarm = self.swarms.get(info_hash)
        if swarm is not None and not len(swarm):
            del self.swarms[info_hash]

    def statistics(self) -> RegistryStatistics:
        """A frozen snapshot of the counts."""
        return RegistryStatistics(
            swarms=len(self.swarms),
            peers=self.peers,
            tombstones=self.tombstones,
            expired=self.expired,
            refused_full=self.refused_full,
        )
