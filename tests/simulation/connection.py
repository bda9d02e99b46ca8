"""Plays `network.connection` and `network.link` in virtual time: a reader, a writer and a timer around each session."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from meshtracker.errors import CloseCode
from meshtracker.link.session import LinkSession
from tests.mouth_to_mouth import BINDING
from tests.simulation.network import Pipe, Way

if TYPE_CHECKING:
    from tests.simulation.host import Host
    from tests.simulation.world import World

_TURN_SECONDS = 0.001
"""Between two frames that are applied, where everybody else gets a turn."""
_LAST_WORDS_SECONDS = 1.0
_WRITE_FRAMES = 4
_WRITE_BYTES = 65_536


class Edge:
    """Who dials whom, and the two ways between them."""

    def __init__(self, world: World, dialer: Host, listener: Host, *, up: Way, down: Way) -> None:
        self.world = world
        self.dialer = dialer
        self.listener = listener
        self.up = up
        self.down = down
        self.connections: list[Connection] = []
        """Those of which an end is left."""
        self.is_listed = True
        """Does the dialer still list that hub?"""

    def __str__(self) -> str:
        return f"{self.dialer.name}~{self.listener.name}"

    @property
    def address(self) -> str:
        """Of the listener, as the dialer's settings have it."""
        return f"{self.listener.name}.example:59100"

    def way(self, name: str) -> Way:
        """``up``: from the dialer to the listener."""
        return self.up if name == "up" else self.down

    @property
    def is_crossed(self) -> bool:
        """Does the listener dial the dialer as well?"""
        return any(edge.listener is self.dialer for edge in self.listener.edges)

    @property
    def is_faulty(self) -> bool:
        """Is anything wrong with it, or with the processes at its ends?"""
        now = self.world.timeline.now
        away = [host for host in (self.dialer, self.listener) if host.is_faulty(now)]
        return bool(away or self.up.is_faulty or self.down.is_faulty)

    def touch(self) -> None:
        """What is linked over this now has suffered: a soft-split of it is no false alarm."""
        for connection in self.connections:
            connection.is_touched = True


class Connection:
    """Two ends and two pipes."""

    def __init__(self, edge: Edge) -> None:
        world = edge.world
        self.edge = edge
        self.is_touched = edge.is_faulty
        self.opened_at = world.timeline.now
        self.dialer = End(self, edge.dialer, dials=True)
        self.listener = End(self, edge.listener, dials=False)
        up = Pipe(world.timeline, edge.up, world.dice, self.listener)
        down = Pipe(world.timeline, edge.down, world.dice, self.dialer)
        self.dialer.attach(up, down, self.listener)
        self.listener.attach(down, up, self.dialer)
        edge.connections.append(self)
        world.timeline.at(world.timeline.now + edge.up.latency_seconds, edge.listener.process, self.listener.open)
        self.dialer.open()

    @property
    def ends(self) -> tuple[End, End]:
        return self.dialer, self.listener

    def cut(self, kept_bytes: int) -> None:
        """Both ends notice."""
        for end in self.ends:
            end.incoming.lose(kept_bytes)

    def vanish(self) -> None:
        """Nobody notices: whatever is sent is lost."""
        for end in self.ends:
            end.incoming.is_dead = True

    def ended(self) -> None:
        """One end is gone."""
        if all(end.is_gone or (end.process.is_dead and not end.is_open) for end in self.ends):
            self.edge.connections.remove(self)
            for end in self.ends:
                end.incoming.way.pipes.remove(end.incoming)


class End:
    """One end: what `LinkConnection` is in a real node."""

    incoming: Pipe
    outgoing: Pipe
    other: End
    session: LinkSession

    def __init__(self, connection: Connection, host: Host, *, dials: bool) -> None:
        self.connection = connection
        self.host = host
        self.process = host.process
        self.dials = dials
        self.is_gone = False
        self.is_open = False
        self.stuck = 0
        """Reasons why nobody applies what was taken in."""
        self.on_synced: Callable[[], None] = lambda: None
        self.synced_at: float | None = None
        self.on_gone: Callable[[], None] = lambda: None
        self.on_unapplied: Callable[[], None] = lambda: None
        """Something was taken in that nobody applies."""
        self.is_deaf = False
        """Does it pass over all that it hears, but for the end?"""
        self.splits_told = 0
        self.last_written = b""
        self.swaps_next = False
        self._swapped = b""
        self._is_applying = False
        self._is_closing = False
        self._deadline = float("inf")
        self._world = connection.edge.world
        self._timeline = self._world.timeline

    def attach(self, outgoing: Pipe, incoming: Pipe, other: End) -> None:
        """The pipes are there."""
        self.outgoing, self.incoming, self.other = outgoing, incoming, other
        outgoing.on_room(lambda: self._timeline.at(self._timeline.now, self.process, self.pump))

    def open(self) -> None:
        """The connection is accepted, or made."""
        now = self._timeline.now
        edge = self.connection.edge
        self.session = self.host.session(dials=self.dials, peer_address=edge.address if self.dials else f"{edge}:4")
        self.host.ends.append(self)
        self.is_open = True
        self.session.connected(now)
        self.session.secured(BINDING, now)
        self.pump()

    # ------------------------------------------------------------ the reader

    def receive(self, data: bytes) -> None:
        """What the reader of a real connection does; b"" is the end of the stream."""
        if self.is_gone or not self.is_open or (self.is_deaf and data):
            return
        self._world.trace(self, data)
        now = self._timeline.now
        if not data:
            self.session.end_of_stream(now)
        else:
            self.session.take_in(data, now)
            self._world.look_at(self)
            if self.stuck:
                self.on_unapplied()
            if self.stuck or self._world.scenario.by_turns:
                self._read_no_more()
            else:
                while self.session.apply(now):
                    pass
        self.pump()

    def _read_no_more(self) -> None:
        self.incoming.is_read = False
        if not self._is_applying:
            self._is_applying = True
            self._timeline.at(self._timeline.now, self.process, self.apply_next)

    def apply_next(self) -> None:
        """One frame, then everybody else has his turn."""
        if self.is_gone:
            return
        if self.stuck:
            self._is_applying = False
            return
        if self.session.apply(self._timeline.now):
            self.pump()
            self._timeline.at(self._timeline.now + _TURN_SECONDS, self.process, self.apply_next)
        else:
            self._is_applying = False
            self.incoming.is_read = True
            self.incoming.resume()

    def unstick(self) -> None:
        """The applier goes on."""
        self.stuck -= 1
        if not self.stuck and not self.is_gone and not self.incoming.is_read and not self._is_applying:
            self._is_applying = True
            self.apply_next()

    # ------------------------------------------------------------ the writer

    def pump(self) -> None:
        """Write as long as the socket takes it."""
        if self.is_gone or not self.is_open:
            return
        session, pipe = self.session, self.outgoing
        while pipe.has_room:
            data = self._gather()
            if not data:
                break
            self.last_written = data
            if self.swaps_next:
                self.swaps_next, self._swapped = False, data
                continue
            pipe.write(data + self._swapped)
            self._swapped = b""
        if session.was_synced and self.synced_at is None:
            self.synced_at = self._timeline.now
            self.on_synced()
        if session.is_closed:
            self._hang_up()
        else:
            self._arm()

    def _gather(self) -> bytes:
        now = self._timeline.now
        data_to_send = self.session.data_to_send
        first = data_to_send(now)
        if not first:
            return first
        frames = [first]
        size = len(first)
        while len(frames) < _WRITE_FRAMES and size < _WRITE_BYTES:
            frame = data_to_send(now)
            if not frame:
                break
            frames.append(frame)
            size += len(frame)
        return b"".join(frames)

    def _hang_up(self) -> None:
        if self.outgoing.has_room:
            self._finish()
        elif not self._is_closing:
            self._is_closing = True
            self._timeline.at(self._timeline.now + _LAST_WORDS_SECONDS, self.process, self._finish)

    def _finish(self) -> None:
        if self.is_gone:
            return
        self.is_gone = True
        self.outgoing.end()
        self.host.leave(self)
        self._world.ended(self)
        self.connection.ended()
        self.on_gone()

    def die(self, *, told: bool) -> None:
        """The process is gone; ``told``: its kernel says so."""
        if told and not self.is_gone:
            self.outgoing.end()
        elif not self.is_gone:
            self.outgoing.is_dead = self.incoming.is_dead = True
        if not self.is_gone:
            self.is_gone = True
            self.connection.ended()

    # ------------------------------------------------------------ the timer

    def close(self, reason: str, code: CloseCode) -> None:
        """Hang up, saying so."""
        if self.is_open:
            self.session.close(reason, self._timeline.now, code=code)
            self.pump()

    def _arm(self) -> None:
        deadline = self.session.next_deadline()
        if deadline < self._deadline:
            self._deadline = deadline
            self._timeline.at(max(deadline, self._timeline.now), self.process, self._ring, deadline)

    def _ring(self, deadline: float) -> None:
        if self.is_gone or deadline != self._deadline:
            return
        self._deadline = float("inf")
        if self.session.next_deadline() <= self._timeline.now:
            self.session.handle_deadline(self._timeline.now)
            self._world.look_at(self)
        self.pump()
