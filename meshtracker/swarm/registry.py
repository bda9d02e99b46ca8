"""All swarms of a node by info-hash, with the bounds on what clients and links may make it hold."""

from __future__ import annotations

import attrs

from meshtracker.model import PeerState
from meshtracker.swarm.peers import PeerPack, RowFields
from meshtracker.swarm.streams import Streams
from meshtracker.swarm.swarm import Completed, Swarm

_REMOVED = int(PeerState.REMOVED)


@attrs.frozen(kw_only=True)
class RegistryStatistics:
    """What a registry holds and what it turned away."""

    swarms: int
    peers: int
    """Live rows; a client with an IPv4 and an IPv6 address has two."""
    tombstones: int
    completions: int
    """Figures of completed downloads, of one swarm and one node each."""
    expired: int
    """Rows that aged out since the start."""
    refused_full: int
    """Peers not stored because a bound was reached."""


class Registry:
    """Swarms by 20-byte info-hash. Rows are counted here, so they are only written and dropped through here."""

    def __init__(self, *, streams: Streams, max_peers: int, max_peers_per_swarm: int, max_peers_per_node: int) -> None:
        """``max_peers`` bounds rows over all swarms, ``max_peers_per_node`` what is merged of one other node.

        Tombstones are rows too, and so are figures of completed downloads.
        """
        self.streams = streams
        self.swarms: dict[bytes, Swarm] = {}
        self.peers = 0
        self.tombstones = 0
        self.completions = 0
        """Figures of completed downloads: of one swarm and one node each."""
        self.expired = 0
        self.refused_full = 0
        self._max_peers = max_peers
        self._max_peers_per_swarm = max_peers_per_swarm
        self._max_peers_per_node = max_peers_per_node

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
        completed = swarm.completed or {}
        full = self.rows + rows + len(completed) > self._max_peers or rows > self._max_peers_per_swarm
        if full or info_hash in self.swarms:
            return False
        self.swarms[info_hash] = swarm
        self.peers += swarm.live
        self.tombstones += rows - swarm.live
        self.completions += len(completed)
        for pack in swarm.packs():
            for index, count in pack.rows_by_origin().items():
                self.streams.count(index, count)
        for _, _, index in completed.values():
            self.streams.count(index, 1)
        return True

    @property
    def rows(self) -> int:
        """All that takes room: peers, tombstones and completed downloads."""
        return self.peers + self.tombstones + self.completions

    def is_exhausted(self, name: str) -> bool:
        """Does one node take all the room that a node is given?"""
        return self.streams.rows_of_name(name) >= self._max_peers_per_node

    def _has_no_room(self, swarm: Swarm) -> bool:
        return self.rows >= self._max_peers or len(swarm) >= self._max_peers_per_swarm

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
            self.streams.count(origin, 1)
        else:
            before = pack.fields(position)[1]
            if before != origin:
                self.streams.count(before, -1)
                self.streams.count(origin, 1)
            if position >= pack.live:
                self.tombstones -= 1
            else:
                self.peers -= 1
        if state == _REMOVED:
            self.tombstones += 1
        else:
            self.peers += 1
        return swarm.put(pack, position, row, address)

    def merge(self, swarm: Swarm, row: RowFields, address: bytes, family_bytes: int, may_add: bool = True) -> bool:
        """Apply a record of the link: True if it won over what was known and was stored.

        Not ``may_add``: its node `is_exhausted`, and only what is known already is taken.
        """
        identity, stamp, origin, _ = row
        pack = swarm.pack(family_bytes)
        position = pack.find(identity)
        if position >= 0:
            known_stamp, known_origin, _ = pack.fields(position)
            if not self.streams.wins((stamp, origin), (known_stamp, known_origin)):
                return False
        elif not may_add:
            self.refused_full += 1
            return False
        return self.write(swarm, pack, position, row, address) >= 0

    def drop(self, swarm: Swarm, pack: PeerPack, position: int) -> None:
        """Forget a row without a trace (it aged out)."""
        self.streams.count(pack.fields(position)[1], -1)
        if position >= pack.live:
            self.tombstones -= 1
        else:
            self.peers -= 1
        swarm.drop(pack, position)

    def merge_completed(self, info_hash: bytes, name: str, figure: Completed, may_add: bool = True) -> bool:
        """Apply a node's figure of completed downloads: the larger wins, then the later; True if it did."""
        swarm = self.swarms.get(info_hash)
        known = swarm.completed.get(name) if swarm is not None and swarm.completed else None
        if known is not None and not self._is_later(figure, known):
            return False
        if known is None and (self.rows >= self._max_peers or not may_add):
            self.refused_full += 1
            return False
        if swarm is None:
            swarm = self.swarms[info_hash] = Swarm()
        if known is None:
            self.completions += 1
        else:
            self.streams.count(known[2], -1)
        self.streams.count(figure[2], 1)
        swarm.set_completed(name, figure)
        return True

    def _is_later(self, figure: Completed, known: Completed) -> bool:
        if figure[:2] != known[:2]:
            return figure[:2] > known[:2]
        return figure[2] != known[2] and self.streams.stream(figure[2]) > self.streams.stream(known[2])

    def drop_completed(self, swarm: Swarm, name: str) -> None:
        """Forget a node's figure (it aged out)."""
        figure = swarm.take_completed(name)
        self.completions -= 1
        self.streams.count(figure[2], -1)

    def forget_if_empty(self, info_hash: bytes) -> None:
        """Remove a swarm that holds no rows and no figures any more."""
        swarm = self.swarms.get(info_hash)
        if swarm is not None and not len(swarm) and not swarm.completed:
            del self.swarms[info_hash]

    def statistics(self) -> RegistryStatistics:
        """A frozen snapshot of the counts."""
        return RegistryStatistics(
            swarms=len(self.swarms),
            peers=self.peers,
            tombstones=self.tombstones,
            completions=self.completions,
            expired=self.expired,
            refused_full=self.refused_full,
        )
