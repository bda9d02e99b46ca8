"""Connection ids of the UDP tracker (BEP 15): a client proves with one that it receives at the address it sends from.

    id (8 bytes) = BLAKE2s(key = secret; epoch, 8 bytes, and packed address, 4 or 16 bytes)

Nothing has to be stored per client; ids lately made or found good are remembered, since an announce follows its connect
at once, and a client's announces for its other torrents follow that. The id holds neither port nor node, so that one
id is good on all ports and on all nodes that share the secret; libtorrent caches ids by address alone (client-quirks
20). For the same reason epochs are counted in wall time from the Unix epoch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

CONNECTION_ID_BYTES = 8
EPOCH_SECONDS = 120
"""BEP 15 has trackers accept an id for two minutes; with the epoch of grace it lives two to four."""


_REMEMBERED = 16_384
"""Addresses whose id of this epoch is known without making it again: some 2 MB."""


class ConnectionIds:
    """Makes and checks connection ids of one secret."""

    __slots__ = ("_current", "_epoch_end_seconds", "_epoch_start_seconds", "_key", "_others", "_remembered")

    def __init__(self, secret: bytes) -> None:
        """``secret`` may be of any length; whoever knows it can send from forged addresses."""
        self._key = hashlib.blake2s(secret, person=b"conn-ids").digest()
        self._turn_epoch(0)

    def make(self, address: bytes, wall_seconds: float) -> bytes:
        """The id for a packed client address at a time in Unix seconds."""
        if not self._epoch_start_seconds <= wall_seconds < self._epoch_end_seconds:
            self._turn_epoch(int(wall_seconds // EPOCH_SECONDS))
        remembered = self._remembered.get(address)
        if remembered is not None:
            return remembered
        connection_id = _digest(self._current, address)
        if len(self._remembered) >= _REMEMBERED:
            self._remembered.clear()
        self._remembered[address] = connection_id
        return connection_id

    def remembered(self, wall_seconds: float) -> Mapping[bytes, bytes]:
        """Ids of this epoch by packed address, as far as they are known already."""
        if not self._epoch_start_seconds <= wall_seconds < self._epoch_end_seconds:
            self._turn_epoch(int(wall_seconds // EPOCH_SECONDS))
        return self._remembered

    def check(self, connection_id: bytes, address: bytes, wall_seconds: float) -> bool:
        """Was ``connection_id`` made for this packed address, now or an epoch away?

        A plain comparison will do: its timing says which byte differs, but to find eight bytes that way takes
        thousands of exact measurements through a network, within the minutes that the id lives.
        """
        if not self._epoch_start_seconds <= wall_seconds < self._epoch_end_seconds:
            self._turn_epoch(int(wall_seconds // EPOCH_SECONDS))
        if connection_id == self._remembered.get(address) or connection_id == self.make(address, wall_seconds):
            return True
        return any(connection_id == _digest(state, address) for state in self._others)

    def _turn_epoch(self, epoch: int) -> None:
        """Prepare the keyed states, so that an id costs a copy and one block of BLAKE2s."""
        self._epoch_start_seconds = epoch * EPOCH_SECONDS
        self._epoch_end_seconds = self._epoch_start_seconds + EPOCH_SECONDS
        self._current = self._keyed_state(epoch)
        # The next epoch's ids come from a node with the same secret whose clock is ahead.
        self._others = (self._keyed_state(epoch - 1), self._keyed_state(epoch + 1))
        self._remembered: dict[bytes, bytes] = {}

    def _keyed_state(self, epoch: int) -> hashlib.blake2s:
        keyed = hashlib.blake2s(key=self._key, digest_size=CONNECTION_ID_BYTES)
        keyed.update(epoch.to_bytes(8, signed=True))
        return keyed


def _digest(state: hashlib.blake2s, address: bytes) -> bytes:
    keyed = state.copy()
    keyed.update(address)
    return keyed.digest()
