"""Datagrams taken from a socket and answered in batches.

`BatchedDatagrams` has the kernel hand over and take many at once, for a system call costs as much as an answer does;
and it answers usual announces on the spot. `NativeDatagrams` does both in C, where it was built. `SingleDatagrams`
asks the front end about each, one by one, where there are no such calls.
"""

from __future__ import annotations

import secrets
import socket
from collections.abc import Callable, Mapping
from random import Random
from typing import Final, Protocol, TypeAlias

from meshtracker.model import Event, PeerState
from meshtracker.network import mmsg
from meshtracker.network.mmsg import DatagramBuffers
from meshtracker.node.refreshes import KEY_BITS, NO_REFRESHES, Refreshes
from meshtracker.swarm.peers import PeerPack
from meshtracker.swarm.selection import chosen_addresses
from meshtracker.wire.compact import COMPACT_BYTES, packed_address
from meshtracker.wire.udp import (
    ANNOUNCE,
    ANNOUNCE_BYTES,
    MAX_DATAGRAM_BYTES,
    announce_slots,
    pack_announce_head,
)

try:
    from meshtracker.network._batch import Batch
except ImportError:  # the package is installed as plain Python
    Batch = None  # type: ignore[assignment,misc]  # a class, or none where there is no such module

ReceiveDatagram: TypeAlias = Callable[[bytes, bytes, int, float], bytes | None]
"""data, packed source address, source port, now → answer or None."""

SLOTS: Final = mmsg.SLOTS
"""Datagrams that `exchange` takes at most."""
_ANNOUNCE: Final = int.from_bytes(ANNOUNCE, "big")
_LEECHER: Final = int(PeerState.LEECHER)
_PARTIAL: Final = int(PeerState.PARTIAL)
_SEEDER: Final = int(PeerState.SEEDER)
_STOPPED: Final = int(Event.STOPPED)
_PAUSED: Final = int(Event.PAUSED)
_NO_EVENT: Final = int(Event.NONE)
_NO_PORT: Final = bytes(2)
_NOBODY: Final = PeerPack(COMPACT_BYTES)
"""Who is in a swarm that there is not."""


class Frontend(Protocol):
    """Who answers announces by `Refreshes` must tell how many those were."""

    def refreshes(self, now: float) -> Refreshes: ...

    def connection_ids(self, now: float) -> Mapping[bytes, bytes]: ...

    def count_announces(self, announces: int) -> None: ...


class SingleDatagrams:
    """One socket, one system call a datagram."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self.send_failures = 0
        self.receive_failures = 0

    def exchange(self, receive_datagram: ReceiveDatagram, now: float, most: int) -> int:
        """Answer up to ``most`` datagrams that wait; returns how many came: if fewer, none is left."""
        listener = self._listener
        for count in range(most):
            try:
                data, source = listener.recvfrom(MAX_DATAGRAM_BYTES)
            except BlockingIOError:
                return count
            except OSError:
                self.receive_failures += 1
                return count
            answer = receive_datagram(data, packed_address(source[0]), source[1], now)
            if answer is not None:
                try:
                    listener.sendto(answer, source)
                except OSError:
                    self.send_failures += 1
        return most


class BatchedDatagrams:
    """One socket, one system call a batch, and another for its answers."""

    def __init__(self, listener: socket.socket, frontend: Frontend | None = None) -> None:
        """``frontend`` of ``receive_datagram``, for usual announces. OSError if the system has no such calls."""
        self._buffers = DatagramBuffers(listener)
        # Over IPv6 there are few, and they have two packs to be looked for in.
        self._frontend = frontend if listener.family == socket.AF_INET else None
        self._random = Random().random
        self.send_failures = 0
        self.receive_failures = 0

    def exchange(self, receive_datagram: ReceiveDatagram, now: float, most: int) -> int:
        """Answer up to ``most`` (at most `SLOTS`) that wait; returns how many came: if fewer, none is left."""
        try:
            sizes = self._buffers.receive(most)
        except OSError:
            self.receive_failures += 1
            return 0
        answers = self._answers(sizes, receive_datagram, now)
        if answers:
            self.send_failures += self._buffers.send(answers)
        return len(sizes)

    def _answers(self, sizes: list[int], receive_datagram: ReceiveDatagram, now: float) -> dict[int, bytes]:
        """By slot. Usual announces are answered on the spot, by the same rules as in `_batch.c`."""
        # All in one piece, for each call would cost a twentieth of an answer.
        frontend, received, random = self._frontend, self._buffers.received, self._random
        known = frontend.refreshes(now) if frontend is not None else NO_REFRESHES
        connection_ids = frontend.connection_ids(now) if frontend is not None else {}
        swarms, listed, _, allowed_mark, take, due_stamp, interval_seconds, _, jitter_seconds, usual, most = known
        unlisted, jitters = listed is None, jitter_seconds + 1
        answers: dict[int, bytes] = {}
        announces = 0
        for slot, size, (source_port, address), fields in zip(
            range(SLOTS), sizes, self._buffers.sources(), announce_slots(received), strict=False
        ):
            connection_id, action, transaction, info_hash, peer_id, left, event, ip, key, numwant, port = fields
            if (
                connection_id == connection_ids.get(address)
                and action == _ANNOUNCE
                and size >= ANNOUNCE_BYTES
                and not ip
                and key
                and source_port
                and port != _NO_PORT
                and ((swarm := swarms.get(info_hash)) is None or swarm.six is None)
            ):
                position: int | None = -1
                if swarm is not None and event != _STOPPED and (unlisted or swarm.allowed_mark is allowed_mark):
                    state = _SEEDER if not left else _PARTIAL if event == _PAUSED else _LEECHER
                    identity = peer_id + (key & KEY_BITS).to_bytes(4, "big")
                    position = swarm.v4.find_current(identity, state, address + port, due_stamp)
                if position == -1:
                    heard = event if event <= _PAUSED else _NO_EVENT
                    number = int.from_bytes(port, "big")
                    position = take(info_hash, peer_id, key, address, number, heard, not left, now)
                    swarm = swarms.get(info_hash)
                if position is not None:
                    pack = swarm.v4 if swarm is not None else _NOBODY
                    wanted = 0 if event == _STOPPED else usual if numwant < 0 else numwant if numwant < most else most
                    peers = chosen_addresses(pack, wanted, asker=position, seeding=not left, random=random)
                    interval = interval_seconds + int(random() * jitters)
                    leechers = pack.leechers
                    head = pack_announce_head(ANNOUNCE, transaction, interval, leechers, pack.live - leechers)
                    answers[slot] = head + peers
                    announces += 1
                    continue
            at = slot * MAX_DATAGRAM_BYTES
            answer = receive_datagram(bytes(received[at : at + size]), address, source_port, now)
            if answer is not None:
                answers[slot] = answer
        if announces and frontend is not None:
            frontend.count_announces(announces)
        return answers


class NativeDatagrams:
    """One socket; `network/_batch.c` says how."""

    def __init__(self, listener: socket.socket, frontend: Frontend | None = None) -> None:
        """``frontend`` of ``receive_datagram``, for usual announces. OSError if it was not built."""
        if Batch is None or listener.family not in mmsg.NAME_BYTES:
            raise OSError("not for this socket, or not built")
        self._batch = Batch(listener.fileno(), listener.family == socket.AF_INET6, secrets.randbits(64))
        self._frontend = frontend

    @property
    def send_failures(self) -> int:
        """Answers that the system did not take."""
        return self._batch.send_failures

    @property
    def receive_failures(self) -> int:
        """Errors in place of a datagram."""
        return self._batch.receive_failures

    def exchange(self, receive_datagram: ReceiveDatagram, now: float, most: int) -> int:
        """Answer up to ``most`` (at most `SLOTS`) that wait; returns how many came: if fewer, none is left."""
        frontend = self._frontend
        if frontend is None:
            return self._batch.exchange(receive_datagram, now, most, {}, None)[0]
        count, announces = self._batch.exchange(
            receive_datagram, now, most, frontend.connection_ids(now), frontend.refreshes(now)
        )
        if announces:
            frontend.count_announces(announces)
        return count


Datagrams: TypeAlias = NativeDatagrams | BatchedDatagrams | SingleDatagrams


def datagrams(listener: socket.socket, frontend: Frontend | None = None) -> Datagrams:
    """The fastest way that the system has."""
    try:
        return NativeDatagrams(listener, frontend)
    except OSError:
        pass
    try:
        return BatchedDatagrams(listener, frontend)
    except OSError:
        return SingleDatagrams(listener)
