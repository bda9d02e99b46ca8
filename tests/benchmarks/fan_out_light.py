"""Ends of links that store nothing: real sessions and connections, so that the hub between them is what is measured."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Collection, Iterator, Set
from typing import Any

import trio

from meshtracker.link.policy import LinkPolicy
from meshtracker.link.proof.authentication import Credential
from meshtracker.link.replica import Taken
from meshtracker.link.session import LinkSession
from meshtracker.link.split import Verdict
from meshtracker.link.table import Tables
from meshtracker.link.transitions import State
from meshtracker.network.connection import LinkConnection
from meshtracker.network.tls import client_context
from meshtracker.wire.batch import Batch
from meshtracker.wire.frame import FrameType
from meshtracker.wire.link import Directed, Hello
from meshtracker.wire.vector import NOWHERE, Position, StreamId, Vector, read_name

_NUMBERS = struct.Struct("!QQ")
"""Incarnation and sequence of a batch, right after the name of its node."""
LINK_SECONDS = 30.0
"""For a link to be synced."""


class Sink:
    """A leaf behind which nothing is kept but how far each stream has come; see `meshtracker.link.replica`."""

    forwards = False
    dropped_records = 0

    def __init__(self, name: str, incarnation: int) -> None:
        self.name = name
        self.own = StreamId(name, incarnation)
        self.tables = Tables(())
        self.on_batch: Callable[[StreamId], None] = lambda stream: None
        """Called with the stream of each batch that has come."""
        self.positions: Vector = {self.own: NOWHERE}

    def keeps(self, stream: StreamId) -> bool:  # see the class
        """Nothing of anybody's."""
        return False

    def note(self, stream: StreamId, position: Position) -> None:
        """That far a stream has come."""
        self.positions[stream] = position
        self.on_batch(stream)

    def rows(self, stream: StreamId) -> int:
        """None are kept."""
        return 0

    def has_room(self, stream: StreamId) -> bool:
        """There is room for all."""
        return True

    def hello(self, now: float, *, versions: tuple[int, int], capabilities: tuple[str, ...], may_speak: bool) -> Hello:
        """As a node with default settings."""
        return Hello(
            name=self.name,
            incarnation=self.own.incarnation,
            forwards=False,
            clock_ms=self.wall_ms(now),
            announce_interval_seconds=1800,
            peer_ttl_seconds=4200,
            software="benchmark",
            versions=versions,
            capabilities=capabilities,
            tables=("peers", "completed"),
            may_speak=may_speak,
        )

    def wall_ms(self, now: float) -> int:
        """Of the system's clock."""
        return time.time_ns() // 1_000_000

    def vector(self) -> Vector:
        """A copy."""
        return dict(self.positions)

    def vector_for(self, tables: Collection[str]) -> Vector:
        """The same for all."""
        return self.vector()

    def position(self, stream: StreamId) -> Position | None:
        """One of them."""
        return self.positions.get(stream)

    def position_for(self, peer: StreamId) -> Position | None:
        """As for anybody else."""
        return self.position(peer)

    def has_forgotten(self, stream: StreamId) -> bool:
        """It never does."""
        return False

    def seal(self, now: float) -> None:
        """It writes nothing."""

    @property
    def changes(self) -> int:
        """It does not count them."""
        return 0

    def changed_after(self, change: int) -> list[StreamId]:
        """Its own stream may have, at any time."""
        return [self.own]

    def digest_at(self, stream: StreamId, sequence: int) -> int | None:
        """All batches are at hand, and nobody knows digests of them."""
        return 0

    def frame(self, stream: StreamId, sequence: int) -> bytes | None:
        """It has nothing to send."""
        return None

    def interest(self) -> Set[bytes] | None:
        """In all."""
        return None

    def lacks_swarms(self) -> int:
        """Never."""
        return 0

    def have_swarms(self, lacked: int, theirs: Vector) -> None:
        """It never lacked any."""

    def snapshot(
        self, stream: StreamId, now: float, interest: Set[bytes] | None, *, tables: Collection[str]
    ) -> Iterator[tuple[bytes, int]]:
        """Of no rows."""
        return iter(())

    def swarms(self, info_hashes: Collection[bytes], now: float) -> Iterator[bytes]:
        """None."""
        return iter(())

    def apply_batch(self, batch: Batch, payload: bytes, now: float, *, is_direct: bool) -> int | None:
        """Only the position is kept."""
        self.note(batch.stream, Position(batch.sequence, 0))
        return 0

    def apply_rows(self, batch: Batch, now: float, *, is_direct: bool, is_part: bool) -> Taken:
        """A sink follows closely: it needs none, and they would be counted by nobody."""
        raise SystemExit(f"{self.name} was sent a snapshot: it has fallen behind")

    def note_rows_beside(self, stream: StreamId, now: float) -> None:
        """It has no rows."""

    def rows_beside(self, stream: StreamId) -> int:
        """None."""
        return 0

    def begin_snapshot(self, stream: StreamId) -> None:
        """Of a stream without rows."""

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
        """Of a stream without rows."""
        self.note(stream, position)

    def want_anew(self) -> None:
        """Nobody else writes under its name."""


class LightSession(LinkSession):
    """Takes a batch without uncompressing it, which would cost the sinks more than all the rest."""

    def __init__(self, *, sink: Sink, **options: Any) -> None:
        super().__init__(replica=sink, **options)
        self._sink = sink

    def _process(self, kind: FrameType, payload: bytes, now: float) -> None:
        if kind is not FrameType.BATCH:
            super()._process(kind, payload, now)
            return
        name, at = read_name(payload, 0)
        incarnation, sequence = _NUMBERS.unpack_from(payload, at)
        self._sink.note(StreamId(name, incarnation), Position(sequence, 0))
        self._sync_if_done(now)


class Nobody:
    """The owner of a session that has no siblings."""

    def admit(self, session: LinkSession, hello: Hello, now: float) -> None:
        """Whoever."""

    def wants_everything(self, name: str) -> bool:
        """Never."""
        return False

    def note_synced(self, session: LinkSession) -> None:
        """Seen in the session's state."""

    def note_split(self, session: LinkSession, verdict: Verdict, now: float, *, resets: bool) -> None:
        """Seen in the session's state."""

    def note_heard(self, session: LinkSession, name: str) -> None:
        """Needed for directed messages only, which no benchmark sends."""

    def deliver(self, session: LinkSession, message: Directed, now: float) -> None:
        """Nobody is asked anything."""


async def link(sink: Sink, hub: tuple[str, int], credential: Credential, nursery: trio.Nursery) -> LinkConnection:
    """A link that runs in the nursery, synced."""
    session = LightSession(
        sink=sink,
        credential=credential,
        dials=True,
        policy=LinkPolicy(soft_split_after_seconds=120.0),
        owner=Nobody(),
        peer_address="{}:{}".format(*hub),
        now=trio.current_time(),
    )
    tcp = await trio.open_tcp_stream(*hub)
    connection = LinkConnection(session, tcp, context=client_context(None), server_name=hub[0])
    nursery.start_soon(connection.run)
    with trio.fail_after(LINK_SECONDS):
        while session.state is not State.SYNCED:
            if session.is_closed:
                raise SystemExit(f"the link of {sink.name} ended: {session.reason}")
            await trio.sleep(0.01)
    return connection
