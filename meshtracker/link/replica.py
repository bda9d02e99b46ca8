"""What a session needs of the node behind it: its vector, its logs and snapshots, and somewhere to apply what comes."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Set
from typing import Protocol

from meshtracker.wire.batch import Batch
from meshtracker.wire.link import Hello
from meshtracker.wire.vector import Position, Vector


class Replica(Protocol):
    """Implemented by the node; sessions run mouth to mouth over any two of them."""

    name: str
    incarnation: int
    forwards: bool
    """Send every origin's stream (a hub), or only this node's own (a leaf)."""

    def is_exhausted(self, origin: str) -> bool:
        """Has one node sent as many peers as are taken of one?"""

    def meet(self, origin: str) -> None:
        """A peer speaks of a node of that name. Raises `WireError` when the mesh has shown too many."""

    def hello(self, now: float) -> Hello:
        """What to say of this node."""

    def wall_ms(self, now: float) -> int:
        """Unix time in milliseconds."""

    def vector(self) -> Vector:
        """How far each origin's stream has been applied, this node's own included."""

    def position(self, origin: str) -> Position | None:
        """One entry of the vector."""

    def changed_after(self, change: int) -> tuple[int, list[str]]:
        """How many changes of streams there were so far, and the origins of those after the one of that number."""

    def covers(self, origin: str, position: Position) -> bool:
        """Do the logs hold all that came after ``position``?"""

    def frame(self, origin: str, sequence: int) -> bytes | None:
        """The BATCH frame of a sequence of an origin's current stream."""

    def interest(self) -> Set[bytes] | None:
        """The swarms to be narrowed to; None for a node that wants all, or too many to name them."""

    def lacks_swarms(self) -> int:
        """Grows each time that this node begins to track swarms of which it has missed the changes; 0: it has not."""

    def have_swarms(self, lacked: int, theirs: Vector) -> None:
        """A hub has sent all it had when `lacks_swarms` was so much; its vector tells whether that was enough."""

    def snapshot(
        self, origin: str, position: Position, now: float, interest: Set[bytes] | None
    ) -> Iterator[tuple[bytes, int]]:
        """SNAPSHOT frames, and the records of each, of all rows of an origin; each costs little to make."""

    def swarms(self, info_hashes: Collection[bytes], now: float) -> Iterator[bytes]:
        """SWARMS frames with all rows of some swarms; each costs little to make."""

    def apply_batch(self, batch: Batch, payload: bytes, now: float) -> int | None:
        """Apply a BATCH and return its records; None if it was known already.

        Raises `LinkError` on a gap or on stamps from the future, `WireError` on rubbish.
        """

    def apply_snapshot(self, batch: Batch, now: float) -> int:
        """Apply a piece of a snapshot; returns its records. Raises as `apply_batch`."""

    def finish_snapshot(self, origin: str, position: Position) -> None:
        """A snapshot is complete: the origin is known up to ``position``."""
