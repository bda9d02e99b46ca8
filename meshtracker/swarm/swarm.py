"""One swarm: the peers of one info-hash in both address families, and its counts.

Every write is last-writer-wins by (stamp, stream), for a client's own announce and for a record from the link
alike; so nodes that have seen the same records hold the same rows, whatever the order.
"""

from __future__ import annotations

from typing import TypeAlias

from meshtracker.swarm.peers import PeerPack, RowFields

Completed: TypeAlias = tuple[int, int, int]
"""Downloads that clients of a node have completed, Unix milliseconds of the latest, and the index of the stream that
said so."""


class Six:
    """What a swarm with IPv6 peers has besides: most never have one, and are smaller without."""

    __slots__ = ("pack", "twins")

    def __init__(self, pack: PeerPack) -> None:
        self.pack = pack
        self.twins = [0, 0, 0]
        """Clients alive in both families, by the state of their IPv6 row."""


class Swarm:
    """Peers by family; a client with an address in both families is counted once (client-quirks 9)."""

    __slots__ = ("allowed_mark", "completed", "downloaded", "six", "v4")

    def __init__(self) -> None:
        self.v4 = PeerPack(6)
        self.six: Six | None = None
        """Made with the first IPv6 peer."""
        self.completed: dict[str, Completed] | None = None
        """Completed downloads by the name of the node whose clients they were."""
        self.downloaded = 0
        """Those of all nodes."""
        self.allowed_mark: object = None
        """The node's, if its present access list was found to allow this swarm."""

    @classmethod
    def from_packs(cls, v4: PeerPack, v6: PeerPack | None) -> Swarm:
        """A swarm of packs that were filled elsewhere (a snapshot)."""
        swarm = cls()
        swarm.v4 = v4
        swarm.six = Six(v6) if v6 is not None else None
        if v6 is not None and len(v4):
            for position in range(v6.live):
                swarm._count_twin(v6.identity(position), 1)
        return swarm

    @property
    def v6(self) -> PeerPack | None:
        """The pack of IPv6 peers, if there is one."""
        return self.six.pack if self.six is not None else None

    def __len__(self) -> int:
        """Rows of both families, tombstones included."""
        return len(self.v4) + (len(self.six.pack) if self.six is not None else 0)

    @property
    def live(self) -> int:
        """Rows that are not tombstones; a client with two addresses has two."""
        return self.v4.live + (self.six.pack.live if self.six is not None else 0)

    def pack(self, address_bytes: int) -> PeerPack:
        """The pack for compact addresses of 6 or 18 bytes."""
        if address_bytes == 6:
            return self.v4
        if self.six is None:
            self.six = Six(PeerPack(18))
        return self.six.pack

    def packs(self) -> tuple[PeerPack, ...]:
        """The packs there are."""
        return (self.v4,) if self.six is None else (self.v4, self.six.pack)

    def put(self, pack: PeerPack, position: int, row: RowFields, address: bytes) -> int:
        """Write a row of one of this swarm's packs; returns its position."""
        if self.six is None or self._alone(pack):
            return pack.put(position, row, address)
        self._count_twin(row[0], -1)
        position = pack.put(position, row, address)
        self._count_twin(row[0], 1)
        return position

    def drop(self, pack: PeerPack, position: int) -> None:
        """Forget a row of one of this swarm's packs."""
        if not self._alone(pack):
            self._count_twin(pack.identity(position), -1)
        pack.drop(position)

    def counts(self) -> tuple[int, int, int, int]:
        """Seeders, others, completed downloads and active downloaders (BEP 21, 48): a `ScrapeAnswer`'s fields."""
        v4, six = self.v4, self.six
        complete = v4.live - v4.leechers
        incomplete = v4.leechers
        partials = v4.partials
        if six is not None:
            v6 = six.pack
            leechers, partial_twins, seeders = six.twins
            complete += v6.live - v6.leechers - seeders
            incomplete += v6.leechers - leechers - partial_twins
            partials += v6.partials - partial_twins
        return complete, incomplete, self.downloaded, incomplete - partials

    def set_completed(self, name: str, figure: Completed) -> None:
        """Put a node's figure in the place of the one before."""
        if self.completed is None:
            self.completed = {}
        before = self.completed.get(name)
        self.completed[name] = figure
        self.downloaded += figure[0] - (before[0] if before is not None else 0)

    def take_completed(self, name: str) -> Completed:
        """Take a node's figure out."""
        if self.completed is None:
            raise KeyError(name)
        figure = self.completed.pop(name)
        self.downloaded -= figure[0]
        if not self.completed:
            self.completed = None
        return figure

    def _alone(self, pack: PeerPack) -> bool:
        """Is the other family empty, so that no client can be in both?"""
        return self.six is None or not len(self.six.pack if pack is self.v4 else self.v4)

    def _count_twin(self, identity: bytes, step: int) -> None:
        if self.six is None:
            return
        v4, v6 = self.v4, self.six.pack
        four, six = v4.find(identity), v6.find(identity)
        if 0 <= four < v4.live and 0 <= six < v6.live:
            self.six.twins[v6.fields(six)[2]] += step
