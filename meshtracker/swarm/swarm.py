"""One swarm: the peers of one info-hash in both address families, and its counts.

Every write is last-writer-wins by (stamp, origin name), for a client's own announce and for a record from the link
alike; so nodes that have seen the same records hold the same rows, whatever the order.
"""

from __future__ import annotations

from meshtracker.swarm.peers import PeerPack, RowFields


class Swarm:
    """Peers by family; a client with an address in both families is counted once (client-quirks 9)."""

    __slots__ = ("_twins", "allowed_mark", "completed", "downloaded", "v4", "v6")

    def __init__(self) -> None:
        self.v4 = PeerPack(6)
        self.v6: PeerPack | None = None
        """Made with the first IPv6 peer: most swarms never have one."""
        self.completed: dict[int, int] | None = None
        """Completed downloads by origin index: each origin counts its own, readers take the larger."""
        self.downloaded = 0
        """Those of all origins."""
        self.allowed_mark: object = None
        """The node's, if its present access list was found to allow this swarm."""
        self._twins: list[int] | None = None
        """Clients alive in both families, by the state of their IPv6 row; None while there are none."""

    @classmethod
    def from_packs(cls, v4: PeerPack, v6: PeerPack | None, *, completed: dict[int, int] | None = None) -> Swarm:
        """A swarm of packs that were filled elsewhere (a snapshot)."""
        swarm = cls()
        swarm.v4, swarm.v6, swarm.completed = v4, v6, completed
        swarm.downloaded = sum(completed.values()) if completed else 0
        if v6 is not None and len(v4):
            for position in range(v6.live):
                swarm._count_twin(v6.identity(position), 1)
        return swarm

    def __len__(self) -> int:
        """Rows of both families, tombstones included."""
        return len(self.v4) + (len(self.v6) if self.v6 is not None else 0)

    @property
    def live(self) -> int:
        """Rows that are not tombstones; a client with two addresses has two."""
        return self.v4.live + (self.v6.live if self.v6 is not None else 0)

    def pack(self, address_bytes: int) -> PeerPack:
        """The pack for compact addresses of 6 or 18 bytes."""
        if address_bytes == 6:
            return self.v4
        if self.v6 is None:
            self.v6 = PeerPack(18)
        return self.v6

    def packs(self) -> tuple[PeerPack, ...]:
        """The packs there are."""
        return (self.v4,) if self.v6 is None else (self.v4, self.v6)

    def put(self, pack: PeerPack, position: int, row: RowFields, address: bytes) -> int:
        """Write a row of one of this swarm's packs; returns its position."""
        if self._alone(pack):
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
        v4, v6 = self.v4, self.v6
        complete = v4.live - v4.leechers
        incomplete = v4.leechers
        partials = v4.partials
        if v6 is not None:
            complete += v6.live - v6.leechers
            incomplete += v6.leechers
            partials += v6.partials
            if self._twins is not None:
                leechers, partial_twins, seeders = self._twins
                complete -= seeders
                incomplete -= leechers + partial_twins
                partials -= partial_twins
        return complete, incomplete, self.downloaded, incomplete - partials

    def count_completed(self, origin: int, total: int) -> bool:
        """Raise an origin's completed downloads to ``total``; False if it knew as many."""
        if self.completed is None:
            self.completed = {}
        before = self.completed.get(origin, 0)
        if total <= before:
            return False
        self.completed[origin] = total
        self.downloaded += total - before
        return True

    def _alone(self, pack: PeerPack) -> bool:
        """Is the other family empty, so that no client can be in both?"""
        return self.v6 is None or not len(self.v6 if pack is self.v4 else self.v4)

    def _count_twin(self, identity: bytes, step: int) -> None:
        if self.v6 is None:
            return
        four, six = self.v4.find(identity), self.v6.find(identity)
        if four < 0 or six < 0 or four >= self.v4.live or six >= self.v6.live:
            return
        if self._twins is None:
            self._twins = [0, 0, 0]
        self._twins[self.v6.fields(six)[2]] += step
