"""Connections over HTTP between their requests, and usual announces answered on the spot.

A connection of which nothing is known but whose it is and until when it may wait has a seat in the lobby. What it sends
is taken in here, and if that is one whole announce of the usual form it is answered, once the node has taken note of
what it changes, if it does. Anything else leaves the lobby with its connection, for `network.http` and its front end.

Where it was compiled, `_http.c` does what `Lobby` does here, whatever the order of an announce's parameters.
"""

from __future__ import annotations

import errno
import select
import socket
from contextlib import suppress
from random import Random
from typing import TYPE_CHECKING, Final, TypeAlias

from meshtracker.model import Event, PeerState
from meshtracker.node.refreshes import KEY_BITS, NO_REFRESHES, Refreshes
from meshtracker.swarm.peers import PeerPack
from meshtracker.swarm.selection import chosen_addresses
from meshtracker.wire.compact import COMPACT_BYTES, IPV4_BYTES, packed_address
from meshtracker.wire.http_announce import parse_usual
from meshtracker.wire.http_answer import lay_announce
from meshtracker.wire.http_response import ok_response

RECEIVE_BYTES: Final = 4096
"""Read at once from one connection: a whole request, but not so many pipelined ones that others would have to wait."""
_NO_ROOM: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
"""Errors of accept(2) that are about the system; the others are news about one connection, which is gone."""
_DONTWAIT: Final = socket.MSG_DONTWAIT
"""A flag for the one call is cheaper than to make each accepted socket non-blocking."""
_LEECHER: Final = int(PeerState.LEECHER)
_PARTIAL: Final = int(PeerState.PARTIAL)
_SEEDER: Final = int(PeerState.SEEDER)
_STOPPED: Final = Event.STOPPED
_PAUSED: Final = Event.PAUSED
_NOBODY: Final = PeerPack(COMPACT_BYTES)
"""Who is in a swarm that there is not."""

Outcome: TypeAlias = bytes | tuple[bytes, bool]
"""What came, or what is left of the answer to it and whether the connection is to be kept."""
Other: TypeAlias = tuple[int, bytes, float, Outcome | None]
"""descriptor, packed address, deadline, outcome."""
_KEPT: Final = (b"", True)
_ENDED: Final = (b"", False)
"""Outcomes of which nothing is left to send."""


class _Seat:
    """One connection of the lobby."""

    __slots__ = ("address", "deadline", "receive", "send", "socket")

    def __init__(self, connected: socket.socket, address: bytes, deadline: float) -> None:
        self.socket = connected
        self.receive = connected.recv
        self.send = connected.send
        self.address = address
        self.deadline = deadline


class Lobby:
    """Connections of an epoll set between their requests."""

    def __init__(self, epoll: select.epoll, seed: int, head_seconds: float, idle_seconds: float) -> None:
        """A new one may wait ``head_seconds`` for its first request, and ``idle_seconds`` for each one after."""
        self._epoll = epoll
        self._random = Random(seed).random
        self._head_seconds = head_seconds
        self._idle_seconds = idle_seconds
        self._seats: dict[int, _Seat] = {}

    def __len__(self) -> int:
        """Connections that are here."""
        return len(self._seats)

    def add(self, descriptor: int, address: bytes, deadline: float, /) -> None:
        """Take in a connection that is idle and waits in the epoll set to be read from; it is closed here then."""
        self._seats[descriptor] = _Seat(connected_socket(descriptor, address), address, deadline)

    def serve(self, most: int, now: float, refreshes: Refreshes, /) -> tuple[int, int, list[Other]]:
        """Serve up to ``most`` of the descriptors that are ready in the epoll set → answered, broken, others.

        Of the others each is a connection that has left the lobby, or ``(descriptor, b"", 0.0, None)`` for one that was
        not here. ``answered`` counts what was answered, ``broken`` connections that the network ended.
        """
        answered = broken = 0
        others: list[Other] = []
        while most > 0 and not others:
            # While some were served others became ready, and to be woken for them takes as long as to serve several.
            ready = self._epoll.poll(0, most)
            if not ready:
                break
            most -= len(ready)
            for descriptor, _ in ready:
                seat = self._seats.get(descriptor)
                if seat is None:
                    others.append((descriptor, b"", 0.0, None))
                    continue
                try:
                    data = seat.receive(RECEIVE_BYTES, _DONTWAIT)
                except BlockingIOError:
                    continue
                except OSError:
                    broken += 1
                    data = b""
                outcome = self._answer(seat, data, refreshes, now)
                if outcome is _KEPT:
                    answered += 1
                    seat.deadline = now + self._idle_seconds
                elif outcome is _ENDED:
                    answered += 1
                    self.close(descriptor)
                elif outcome:
                    answered += isinstance(outcome, tuple)
                    del self._seats[descriptor]
                    others.append((seat.socket.detach(), seat.address, seat.deadline, outcome))
                else:
                    self.close(descriptor)
        return answered, broken, others

    def accept(
        self, listener: socket.socket, most: int, room: int, now: float, refreshes: Refreshes, /
    ) -> tuple[int, int, int, int, list[Other]]:
        """Accept up to ``most`` connections → accepted, answered, broken, error, others.

        Those that are idle now go into the epoll set and the lobby, up to ``room`` of them; the next one is the last,
        and left to others, without an outcome if it has sent nothing. The rest is as for `serve`, but not in the epoll
        set. ``error`` is the number of what accept(2) said at last if that is about the system, or 0.
        """
        accepted = answered = broken = error = 0
        others: list[Other] = []
        while most > 0 and room >= 0:
            most -= 1
            try:
                connected, source = listener.accept()
            except BlockingIOError:
                break
            except OSError as problem:
                if problem.errno in _NO_ROOM:
                    error = problem.errno
                    break
                broken += 1
                continue
            accepted += 1
            seat = _Seat(connected, packed_address(source[0]), now + self._head_seconds)
            data: bytes | None = None
            try:
                data = seat.receive(RECEIVE_BYTES, _DONTWAIT)
            except BlockingIOError:
                pass
            except OSError:
                broken += 1
                data = b""
            outcome = None if data is None else self._answer(seat, data, refreshes, now)
            answered += isinstance(outcome, tuple)
            if outcome is _ENDED or outcome == b"":
                connected.close()
                continue
            if outcome is _KEPT:
                seat.deadline = now + self._idle_seconds
            if outcome is None or outcome is _KEPT:
                room -= 1
                if room >= 0:
                    self._epoll.register(connected, select.EPOLLIN)
                    self._seats[connected.fileno()] = seat
                    continue
            others.append((connected.detach(), seat.address, seat.deadline, outcome))
        return accepted, answered, broken, error, others

    def expire(self, now: float, most: int, /) -> int:
        """Close up to ``most`` whose deadline has come; returns how many those were."""
        late = [descriptor for descriptor, seat in self._seats.items() if seat.deadline <= now][:most]
        for descriptor in late:
            self.close(descriptor)
        return len(late)

    def deadlines(self) -> list[tuple[float, int]]:
        """Deadline and descriptor of everybody."""
        return [(seat.deadline, descriptor) for descriptor, seat in self._seats.items()]

    def close(self, descriptor: int, /) -> None:
        """End a connection, if it is here."""
        seat = self._seats.pop(descriptor, None)
        if seat is not None:
            seat.socket.close()

    def close_all(self) -> None:
        """End every connection that is here."""
        for descriptor in list(self._seats):
            self.close(descriptor)

    def _answer(self, seat: _Seat, data: bytes, known: Refreshes, now: float) -> Outcome:
        address = seat.address
        asked = parse_usual(data) if len(address) == IPV4_BYTES and known is not NO_REFRESHES else None
        if asked is None:
            return data
        info_hash, peer_id, key, port, seeding, event, numwant, keep_alive = asked
        swarms, listed, _, allowed_mark, take, due_stamp, interval_seconds, least_seconds, jitter, usual, most = known
        swarm = swarms.get(info_hash)
        position = -1
        if swarm is not None:
            if swarm.six is not None:
                return data
            if event is not _STOPPED and (listed is None or swarm.allowed_mark is allowed_mark):
                state = _SEEDER if seeding else _PARTIAL if event is _PAUSED else _LEECHER
                identity = peer_id + (key & KEY_BITS).to_bytes(4, "big")
                position = swarm.v4.find_current(identity, state, address + port.to_bytes(2, "big"), due_stamp)
        if position == -1:
            taken = take(info_hash, peer_id, key, address, port, event, seeding, now)
            if taken is None:
                return data
            position, swarm = taken, swarms.get(info_hash)
        pack, downloaded = (swarm.v4, swarm.downloaded) if swarm is not None else (_NOBODY, 0)
        wanted = 0 if event is _STOPPED else usual if numwant < 0 else numwant if numwant < most else most
        random = self._random
        leechers = pack.leechers
        body = lay_announce(
            pack.live - leechers,
            downloaded,
            leechers - pack.partials,
            address,
            leechers,
            interval_seconds + int(random() * (jitter + 1)),
            least_seconds,
            chosen_addresses(pack, wanted, asker=position, seeding=seeding, random=random),
        )
        response = ok_response(body, keep_alive=keep_alive)
        try:
            sent = seat.send(response, _DONTWAIT)
        except OSError:
            # Whoever sends the rest meets the error again.
            sent = 0
        if sent < len(response):
            return response[sent:], keep_alive
        return _KEPT if keep_alive else _ENDED


def connected_socket(descriptor: int, address: bytes) -> socket.socket:
    """The socket of a connection, from its packed ``address``."""
    # Said, or the system would be asked; which family it is makes no difference to a connected socket.
    family = socket.AF_INET if len(address) == IPV4_BYTES else socket.AF_INET6
    return socket.socket(family, socket.SOCK_STREAM, 0, fileno=descriptor)


PlainLobby: Final = Lobby

if not TYPE_CHECKING:
    with suppress(ImportError):  # or the package is installed as plain Python
        from meshtracker.network._http import Lobby

TAKES_BACK: Final = Lobby is not PlainLobby
"""May a connection that has left come back when it is idle? In plain Python that would cost more than it saves."""
