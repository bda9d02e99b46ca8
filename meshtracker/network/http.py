"""HTTP connections of the tracker: one task waits on an epoll set of its own and serves all that are ready in a batch.

A task for each connection would cost several times what its announce does. Nobody can hold others up: sockets never
block, a batch is bounded, connections have deadlines and a bounded number. Connections begin in the lobby, which
answers usual announces; only other requests make a `_Client` of one.
"""

from __future__ import annotations

import heapq
import os
import secrets
import select
import socket
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from typing import Protocol, TypeAlias

import attrs
import structlog
import trio

from meshtracker.network.addresses import bound_address, listening_socket
from meshtracker.network.lobby import RECEIVE_BYTES, TAKES_BACK, Lobby, Outcome, connected_socket
from meshtracker.node.refreshes import NO_REFRESHES, Refreshes

log = structlog.get_logger()

SWEEP_SECONDS = 1.0
"""Deadlines are looked at this often; so long, too, no connection is accepted after the system had no room for one."""
TURN_SECONDS = 0.01
"""After this, other tasks get their turn even within a batch, each connection of which may ask for milliseconds."""
ACCEPTED_AT_ONCE = 16
"""So many have a turn to the end once accepted, and may be open beyond the bound for a moment."""
SERVED_AT_ONCE = 512
"""As many have a turn to the end in the lobby, where no clock is looked at: less than ten milliseconds."""
CLOSED_AT_ONCE = 256
"""At their deadlines; a crowd that came at once and said nothing leaves at once."""
EVICTED_SHARE = 100
"""At the bound, one connection in so many makes room: looking for them costs something, so it is done for several."""


class Connection(Protocol):
    """What the service needs of a front end's connection; `frontends.http_connection` says what each is for."""

    deadline: float
    should_close: bool
    is_unread: bool
    has_more: bool

    @property
    def is_idle(self) -> bool: ...

    def was_refreshed(self, now: float, *, keep_alive: bool) -> None: ...

    def receive_data(self, data: bytes, now: float) -> bytes: ...

    def resume(self, now: float) -> bytes: ...


OpenConnection: TypeAlias = Callable[[bytes, float], Connection]
"""packed address of the TCP peer, now → connection."""


class Frontend(Protocol):
    """Who answers announces by `Refreshes` must tell how many those were."""

    def refreshes(self, now: float) -> Refreshes: ...

    def count_announces(self, announces: int) -> None: ...


@attrs.frozen
class HttpServiceStatistics:
    """What the sockets did since the start."""

    batches: int
    accepted: int
    connections: int
    """Open now."""
    timed_out: int
    """Closed at a deadline."""
    evicted: int
    """Closed before its deadline, to make room for another at the bound."""
    broken: int
    """Ended by an error of the network, such as a reset."""
    accept_pauses: int
    """Times the system had no file descriptor or memory for another connection."""


@attrs.define(eq=False)
class _Client:
    """A connection and its socket."""

    socket: socket.socket
    descriptor: int
    address: bytes
    """Packed."""
    connection: Connection
    unsent: bytes = b""
    events: int = 0
    """What the epoll set waits for; 0: it is not in there."""
    write_deadline: float = 0.0
    """While it waits to write."""
    lingers: bool = False

    @property
    def deadline(self) -> float:
        return self.write_deadline if self.events == select.EPOLLOUT else self.connection.deadline


def bind(host: str, port: int) -> socket.socket:
    """A listening socket on an IP address; raises `StartError`. What it accepts inherits its TCP options."""
    listener = listening_socket(socket.SOCK_STREAM, host, port, setting="http.listen")
    # A response is written in one piece, so there is nothing to wait for that could be sent along. TCP_DEFER_ACCEPT is
    # not set: it gains little, and connections without a request would fill the system's short queue instead of ours.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


class HttpService:
    """Serves the connections that arrive at bound sockets."""

    def __init__(
        self,
        sockets: Sequence[socket.socket],
        *,
        open_connection: OpenConnection,
        frontend: Frontend | None,
        max_connections: int,
        max_batch_connections: int,
        head_timeout_seconds: float,
        idle_timeout_seconds: float,
        write_timeout_seconds: float,
    ) -> None:
        """``open_connection`` is a front end's; with its ``frontend``, usual announces are answered in the lobby.

        For connections that wait there, ``head_timeout_seconds`` and ``idle_timeout_seconds`` are as for others. After
        ``max_batch_connections`` other tasks get their turn. A client that takes nothing of its response for
        ``write_timeout_seconds`` is dropped. At ``max_connections`` those that are nearest to their deadlines make room
        for new ones.
        """
        self._listeners = {listener.fileno(): listener for listener in sockets}
        self._open_connection = open_connection
        self._max_connections = max_connections
        self._max_batch_connections = max_batch_connections
        self._write_timeout_seconds = write_timeout_seconds
        self._epoll = select.epoll()
        self._frontend = frontend
        self._lobby = Lobby(self._epoll, secrets.randbits(64), head_timeout_seconds, idle_timeout_seconds)
        self._clients: dict[int, _Client] = {}
        self._is_accepting = False
        self._batches = 0
        self._accepted = 0
        self._timed_out = 0
        self._evicted = 0
        self._broken = 0
        self._accept_pauses = 0

    @property
    def addresses(self) -> tuple[tuple[str, int], ...]:
        """Host and port of each socket."""
        return tuple(bound_address(listener) for listener in self._listeners.values())

    async def run(self) -> None:
        """Serve until cancelled; closes the sockets at the end."""
        with ExitStack() as stack:
            for listener in self._listeners.values():
                stack.enter_context(listener)
            stack.enter_context(self._epoll)
            stack.callback(self._close_all)
            self._accept_again()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._serve)
                nursery.start_soon(self._sweep)

    def statistics(self) -> HttpServiceStatistics:
        """A snapshot."""
        return HttpServiceStatistics(
            batches=self._batches,
            accepted=self._accepted,
            connections=self._count(),
            timed_out=self._timed_out,
            evicted=self._evicted,
            broken=self._broken,
            accept_pauses=self._accept_pauses,
        )

    # ------------------------------------------------------------ tasks

    async def _serve(self) -> None:
        while True:
            await trio.lowlevel.wait_readable(self._epoll.fileno())
            self._batches += 1
            await self._serve_batch()

    async def _sweep(self) -> None:
        while True:
            await trio.sleep(SWEEP_SECONDS)
            while self._close_late(trio.current_time()) == CLOSED_AT_ONCE:
                await trio.lowlevel.checkpoint()
            if not self._is_accepting:
                self._accept_again()

    def _close_late(self, now: float) -> int:
        """Close some whose deadline has come; returns how many, `CLOSED_AT_ONCE` if there may be more."""
        late = [client for client in self._clients.values() if client.deadline <= now][:CLOSED_AT_ONCE]
        for client in late:
            self._close(client)
        closed = len(late) + self._lobby.expire(now, CLOSED_AT_ONCE - len(late))
        self._timed_out += closed
        return closed

    async def _serve_batch(self) -> None:
        """Serve what is ready, up to a batch, in turns."""
        now = turn = trio.current_time()
        for descriptor, client, outcome in self._ready(now):
            if now - turn > TURN_SECONDS:
                # What is left cannot wait for the next batch, which would begin with the same connections again.
                await trio.lowlevel.checkpoint()
                now = turn = trio.current_time()
            if client is None:
                client = self._clients.get(descriptor)
                if client is None:
                    # Or it was closed since the batch began.
                    if descriptor in self._listeners:
                        self._accept(self._listeners[descriptor], now)
                elif client.events == select.EPOLLIN:
                    self._receive(client, now)
                else:
                    self._send(client, client.unsent or client.connection.resume(now), now)
            elif client.events and outcome is not None:
                self._respond(client, outcome, now)
            now = trio.current_time()

    def _ready(self, now: float) -> list[tuple[int, _Client | None, Outcome | None]]:
        """What waits, up to a batch: descriptors, or clients with what came of what they sent."""
        most = min(self._max_batch_connections, SERVED_AT_ONCE)
        answered, broken, others = self._lobby.serve(most, now, self._refreshes(now))
        self._count_announces(answered)
        self._broken += broken
        ready: list[tuple[int, _Client | None, Outcome | None]] = []
        for descriptor, address, deadline, outcome in others:
            client = None
            if address:
                client = self._clients[descriptor] = self._take_over(descriptor, address, deadline, now)
                client.events = select.EPOLLIN
            ready.append((descriptor, client, outcome))
        return ready

    def _refreshes(self, now: float) -> Refreshes:
        return self._frontend.refreshes(now) if self._frontend is not None else NO_REFRESHES

    def _count_announces(self, announces: int) -> None:
        if self._frontend is not None:
            self._frontend.count_announces(announces)

    # ------------------------------------------------------------ listening

    def _accept(self, listener: socket.socket, now: float) -> None:
        """Accept up to a batch of connections, or a turn, and serve those whose request is there already."""
        turn = now
        left = self._max_batch_connections
        while left > 0 and now - turn <= TURN_SECONDS:
            most = min(left, ACCEPTED_AT_ONCE)
            if self._accept_some(listener, most, now) < most:
                return
            left -= most
            now = trio.current_time()

    def _accept_some(self, listener: socket.socket, most: int, now: float) -> int:
        """Returns how many came of ``most``: if fewer, none is left, or there is no room."""
        room = max(0, self._max_connections - self._count())
        accepted, answered, broken, error, others = self._lobby.accept(listener, most, room, now, self._refreshes(now))
        self._accepted += accepted
        self._count_announces(answered)
        self._broken += broken
        # All of them first: what is no object yet, nobody would close after an error.
        clients = [self._take_over(descriptor, address, deadline, now) for descriptor, address, deadline, _ in others]
        for client, (_, _, _, outcome) in zip(clients, others, strict=True):
            if outcome is None:
                self._wait(client, select.EPOLLIN)
            else:
                self._respond(client, outcome, now)
        if error:
            self._stop_accepting(os.strerror(error))
            return 0
        return accepted + broken

    def _take_over(self, descriptor: int, address: bytes, deadline: float, now: float) -> _Client:
        """A connection that leaves the lobby."""
        connection = self._open_connection(address, now)
        connection.deadline = deadline
        return _Client(connected_socket(descriptor, address), descriptor, address, connection)

    def _stop_accepting(self, reason: str) -> None:
        """Or the waiting connection would wake the service again and again, until others are closed."""
        if not self._is_accepting:
            return
        log.warning("HTTP connections wait to be accepted", reason=reason)
        self._accept_pauses += 1
        self._is_accepting = False
        for descriptor in self._listeners:
            self._epoll.unregister(descriptor)

    def _accept_again(self) -> None:
        self._is_accepting = True
        for descriptor in self._listeners:
            self._epoll.register(descriptor, select.EPOLLIN)

    # ------------------------------------------------------------ connections

    def _receive(self, client: _Client, now: float) -> None:
        try:
            # A flag for the one call is cheaper than to make each accepted socket non-blocking.
            data = client.socket.recv(RECEIVE_BYTES, socket.MSG_DONTWAIT)
        except BlockingIOError:
            self._wait(client, select.EPOLLIN)
        except OSError:
            self._broken += 1
            self._close(client)
        else:
            self._respond(client, data, now)

    def _respond(self, client: _Client, outcome: Outcome, now: float) -> None:
        """To what came; ``outcome`` is that, or what is left to send where it was answered already."""
        if isinstance(outcome, bytes):
            if outcome:
                self._send(client, client.connection.receive_data(outcome, now), now)
            else:
                self._close(client)
            return
        client.unsent, keep_alive = outcome
        client.connection.was_refreshed(now, keep_alive=keep_alive)
        if client.unsent:
            client.write_deadline = now + self._write_timeout_seconds
        self._go_on(client)

    def _send(self, client: _Client, data: bytes, now: float) -> None:
        if data:
            try:
                sent = client.socket.send(data, socket.MSG_DONTWAIT)
            except BlockingIOError:
                sent = 0
            except OSError:
                self._broken += 1
                self._close(client)
                return
            client.unsent = data[sent:]
            if sent or client.events != select.EPOLLOUT:
                client.write_deadline = now + self._write_timeout_seconds
        self._go_on(client)

    def _go_on(self, client: _Client) -> None:
        """With what is left to send, or the next request."""
        if client.unsent or client.connection.has_more:
            self._wait(client, select.EPOLLOUT)
        elif client.connection.should_close:
            self._finish(client)
        else:
            self._wait(client, select.EPOLLIN)

    def _finish(self, client: _Client) -> None:
        """All is sent: close, or let a client that still sends read its response first."""
        if not client.connection.is_unread:
            self._close(client)
            return
        if not client.lingers:
            client.lingers = True
            with suppress(OSError):  # the client may be gone by now, which its end or the deadline will show
                client.socket.shutdown(socket.SHUT_WR)
        self._wait(client, select.EPOLLIN)

    def _wait(self, client: _Client, events: int) -> None:
        descriptor = client.descriptor
        if client.events != events:
            if client.events:
                self._epoll.modify(descriptor, events)
            else:
                if self._count() >= self._max_connections:
                    self._make_room()
                self._clients[descriptor] = client
                self._epoll.register(descriptor, events)
            client.events = events
        # Without a front end nothing is answered there, and it would leave again with the next request.
        if TAKES_BACK and self._frontend is not None and events == select.EPOLLIN and client.connection.is_idle:
            self._lobby.add(descriptor, client.address, client.connection.deadline)
            client.socket.detach()
            del self._clients[descriptor]
            client.events = 0

    def _count(self) -> int:
        """Connections that are open."""
        return len(self._clients) + len(self._lobby)

    def _make_room(self) -> None:
        """Close those that are nearest to their deadlines: of a flood, the oldest of itself."""
        deadlines = self._lobby.deadlines()
        deadlines += [(client.deadline, descriptor) for descriptor, client in self._clients.items()]
        for _, descriptor in heapq.nsmallest(1 + self._max_connections // EVICTED_SHARE, deadlines):
            self._evicted += 1
            if descriptor in self._clients:
                self._close(self._clients[descriptor])
            else:
                self._lobby.close(descriptor)

    def _close(self, client: _Client) -> None:
        """Closing takes it out of the epoll set as well."""
        if client.events:
            del self._clients[client.descriptor]
            client.events = 0
        client.socket.close()

    def _close_all(self) -> None:
        for client in list(self._clients.values()):
            self._close(client)
        self._lobby.close_all()
