"""What swarms the other end of a link has narrowed it to."""

from __future__ import annotations

from collections.abc import Iterable, Set

from meshtracker.errors import CloseCode, LinkError
from meshtracker.wire.link import MAX_INTEREST, Interest


class PeerInterest:
    """Grows and shrinks with the INTEREST frames of a leaf."""

    def __init__(self) -> None:
        self._info_hashes: set[bytes] | None = None

    @property
    def info_hashes(self) -> Set[bytes] | None:
        """The swarms, always the same set from the first TRACK on; None: all."""
        return self._info_hashes

    def receive(self, interest: Interest, info_hashes: Iterable[bytes], *, has_begun: bool) -> None:
        """Take note of a frame; ``has_begun``: the burst has. Raises `LinkError`."""
        if interest is Interest.TRACK and has_begun:
            raise LinkError("protocol error: INTEREST TRACK after VECTOR")
        if interest is Interest.FETCH and not has_begun:
            raise LinkError("protocol error: INTEREST FETCH before VECTOR")
        if interest is Interest.TRACK and self._info_hashes is None:
            self._info_hashes = set()
        if self._info_hashes is None:
            return
        if interest is Interest.DROP:
            self._info_hashes.difference_update(info_hashes)
        else:
            self._info_hashes.update(info_hashes)
        if len(self._info_hashes) > MAX_INTEREST:
            raise LinkError(f"more than {MAX_INTEREST} swarms named in INTEREST", code=CloseCode.FLOOD)
