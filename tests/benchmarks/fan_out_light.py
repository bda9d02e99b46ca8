"""Ends of links that store nothing: real sessions and connections, so that the hub between them is what is measured."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Set
from typing import Any

import trio

from meshtracker.link.authentication import Credential
from meshtracker.link.policy import LinkPolicy
from meshtracker.link.session import LinkSession
from meshtracker.link.split import Verdict
from meshtracker.link.state import State
from meshtracker.network.connection import LinkConnection
from meshtracker.network.tls import client_context
from meshtracker.wire.batch import Batch
from meshtracker.wire.frame import FrameType
from meshtracker.wire.link import Hello
from meshtracker.wire.vector import Position, Vector, read_name, read_position

_POSITION_BYTES = 8
LINK_SECONDS = 30.0
"""For a link to be synced."""


class Sink:
    """A leaf behind which nothing is kept but how far each stream has come; see `meshtracker.link.replica`."""

    forwards = False

    def __init__(self, name: str, incarnation: int) -> None:
        self.name = name
        self.incarnation = incarnation
        self.on_batch: Callable[[str], None] = lambda origin: None
        """Called with the origin of each batch that has come."""
        self.positions: Vector = {name: Position(incarnation, 0)}

    def note(self, origin: str, position: Position) -> None:
        """That far a stream has come."""
        self.positions[origin] = position
        self.on_batch(origin)

    def is_exhausted(self, origin: str) -> bool:
        """There is room for all."""
        return False

    def meet(self, origin: str) -> None:
        """Whoever."""

    def hello(self, now: float) -> Hello:
        """As a node with default settings."""
        return Hello(
            name=self.name,
            incarnation=self.incarnation,
            forwards=False,
            clock_ms=self.wall_ms(now),
            announce_interval_seconds=1800,
            peer_ttl_seconds=4200,
            software="benchmark",
            previous=None,
        )

    def wall_ms(self, now: float) -> int:
        """Of the system's clock."""
        return time.time_ns() // 1_000_000

    def vector(self) -> Vector:
        """A copy."""
        return dict(self.positions)

    def position(self, origin: str) -> Position | None:
        """One of them."""
        return self.positions.get(origin)

    def changed_after(self, change: int) -> tuple[int, list[str]]:
        """Its own stream may have, at any time."""
        return change, [self.name]

    def covers(self, origin: str, position: Position) -> bool:
        """It has nothing to send."""
        return True

    def frame(self, origin: str, sequence: int) -> bytes | None:
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
        self, origin: str, position: Position, now: float, interest: Set[bytes] | None
    ) -> Iterator[tuple[bytes, int]]:
        """Of no rows."""
        return iter(())

    def swarms(self, info_hashes: Collection[bytes], now: float) -> Iterator[bytes]:
        """None."""
        return iter(())

    def apply_batch(self, batch: Batch, payload: bytes, now: float) -> int | None:
        """Only the position is kept."""
        self.note(batch.origin, Position(batch.incarnation, batch.sequence))
        return 0

    def apply_snapshot(self, batch: Batch, now: float) -> int:
        """A sink follows closely: it needs none, and one would be counted by nobody."""
        raise SystemExit(f"{self.name} was sent a snapshot: it has fallen behind")

    def finish_snapshot(self, origin: str, position: Position) -> None:
        """Of a stream without rows."""
        self.note(origin, position)


class LightSession(LinkSession):
    """Takes a batch without uncompressing it, which would cost the sinks more than all the rest."""

    def __init__(self, *, sink: Sink, **options: Any) -> None:
        super().__init__(replica=sink, **options)
        self._sink = sink

    def _receive_stream(self, kind: FrameType, payload: bytes, now: float) -> None:
        if kind is not FrameType.BATCH:
            super()._receive_stream(kind, payload, now)
            return
        origin, at = read_name(payload, 0)
        numbers = [int.from_bytes(payload[i : i + _POSITION_BYTES]) for i in (at, at + _POSITION_BYTES)]
        self._sink.note(origin, read_position(numbers))


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
