"""What a session needs of the node behind it: its vector, its logs and snapshots, and somewhere to apply what comes."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Set
from typing import NamedTuple, Protocol

from meshtracker.link.table import Tables
from meshtracker.wire.batch import Batch
from meshtracker.wire.link import Hello
from meshtracker.wire.vector import Position, StreamId, Vector


class Taken(NamedTuple):
    """What came of rows that were sent."""

    records: int
    news: int
    """Records that changed something."""
    newest: int
    """The latest stamp in them."""


class Replica(Protocol):
    """Implemented by the node; sessions run mouth to mouth over any two of them."""

    name: str
    forwards: bool
    """Send every stream (a hub), or only this node's own (a leaf)."""
    tables: Tables

    @property
    def own(self) -> StreamId:
        """The stream that this node writes at present."""

    def keeps(self, stream: StreamId) -> bool:
        """Is nothing left out of this node's copy of a stream, so that it can be sent on as a whole?"""

    @property
    def dropped_records(self) -> int:
        """Records of all links that were not taken: of swarms not tracked, or such as no honest node writes."""

    def rows(self, stream: StreamId) -> int:
        """Rows of a stream here."""

    def has_room(self, stream: StreamId) -> bool:
        """Is that stream known, or is there room for another one?"""

    def hello(self, now: float, *, versions: tuple[int, int], capabilities: tuple[str, ...], may_speak: bool) -> Hello:
        """What to say of this node; ``may_speak``: the peer may send other nodes' streams."""

    def wall_ms(self, now: float) -> int:
        """Unix time in milliseconds."""

    def vector(self) -> Vector:
        """How far each stream has been applied, this node's own included."""

    def vector_for(self, tables: Collection[str]) -> Vector:
        """The same for a peer that has those tables: streams of which some of their rows are lacking here are at 0."""

    def position(self, stream: StreamId) -> Position | None:
        """One entry of the vector."""

    def position_for(self, peer: StreamId) -> Position | None:
        """The same of a peer's own stream, for that peer; altered if this node has rows beside its batches."""

    def has_forgotten(self, stream: StreamId) -> bool:
        """Was a stream known here, and forgotten for it had no rows?"""

    def seal(self, now: float) -> None:
        """Put what this node's own clients have changed into its stream."""

    @property
    def changes(self) -> int:
        """The number of the latest change of a stream."""

    def changed_after(self, change: int) -> list[StreamId]:
        """Streams that have changed since, also those that are forgotten; the latest last."""

    def digest_at(self, stream: StreamId, sequence: int) -> int | None:
        """The digest after a batch, if the logs hold all that came after it."""

    def frame(self, stream: StreamId, sequence: int) -> bytes | None:
        """The BATCH frame of a sequence of a stream."""

    def interest(self) -> Set[bytes] | None:
        """The swarms to be narrowed to; None for a node that wants all, or too many to name them."""

    def lacks_swarms(self) -> int:
        """Grows each time that this node begins to track swarms of which it has missed the changes; 0: it has not."""

    def have_swarms(self, lacked: int, theirs: Vector) -> None:
        """A hub has sent all it had when `lacks_swarms` was so much; its vector tells whether that was enough."""

    def snapshot(
        self, stream: StreamId, now: float, interest: Set[bytes] | None, *, tables: Collection[str]
    ) -> Iterator[tuple[bytes, int]]:
        """SNAPSHOT frames, and the records of each, of all rows of a stream in those tables; each is made quickly."""

    def swarms(self, info_hashes: Collection[bytes], now: float) -> Iterator[bytes]:
        """SWARMS frames with all rows of some swarms; each costs little to make."""

    def apply_batch(self, batch: Batch, payload: bytes, now: float, *, is_direct: bool) -> int | None:
        """Apply a BATCH and return its records; None if it was known. ``is_direct``: it is the peer's own stream.

        Raises `LinkError` on a gap, and of a direct one on stamps from the future, on rubbish (`WireError`) and when
        its node has no room left. Nothing is applied then.
        """

    def apply_rows(self, batch: Batch, now: float, *, is_direct: bool, is_part: bool) -> Taken:
        """Apply rows that say nothing of how far a stream is known. Raises as `apply_batch`.

        ``is_part``: of a copy of all, whose end will say that.
        """

    def note_rows_beside(self, stream: StreamId, now: float) -> None:
        """Rows of a stream have come of which its position says nothing: others are to be sent them all the same.

        Its digest changes, so whoever compares it with his own sends all rows, and is sent them.
        """

    def rows_beside(self, stream: StreamId) -> int:
        """The latest stamp of rows that came without their batches, and of which the digest does not tell; 0: none."""

    def begin_snapshot(self, stream: StreamId) -> None:
        """All rows of a stream are about to come."""

    def finish_snapshot(
        self,
        stream: StreamId,
        position: Position,
        now: float,
        *,
        tables: Collection[str],
        newest: int = 0,
        beside: int = 0,
        is_conflict: bool = False,
        replaces: bool = False,
    ) -> None:
        """All rows of a stream have come, of those tables, stamped up to ``newest``: it is known up to ``position``,
        at least.

        ``beside``: see `rows_beside`, of the sender. ``is_conflict``: the two ends had read it otherwise. ``replaces``:
        exactly up to it, whatever was known before.
        """

    def want_anew(self) -> None:
        """Somebody else has written in this node's name: it is to begin another stream."""
