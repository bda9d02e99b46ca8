"""Clients of one tracker as a process of their own: announces over UDP at a steady rate, each answer timed.

    python -m tests.benchmarks.announcer 127.0.0.1:6969 --kind new --rate 1000 --seconds 5

Ends after its time, or when its standard input is closed; then prints one JSON object: what was sent and answered, and
where the samples are. The time of an answer is from the client's send call to the kernel's own stamp on the answer's
arrival, so a client that is late to read, on a machine that is busy, does not make the tracker look slow. Nothing is
sent twice, and a crowd of the kind ``same`` waits for no answer, so a tracker that stalls is not asked less.

Kinds of crowds, over torrents whose popularity follows Zipf's law:

    new      each announce is of a client never seen before, but every sixth is a stop of one of these
    flip     a fixed crowd; each client becomes a seeder, then a leecher, and so on: each announce is a change
    same     a fixed crowd that has nothing new to say: after the first round no announce is relayed
"""

from __future__ import annotations

import argparse
import array
import contextlib
import json
import os
import random
import select
import socket
import string
import struct
import sys
import time
from collections import deque
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from typing import TextIO

import attrs

from meshtracker.model import Event
from meshtracker.wire import udp

CONNECTION_SECONDS = 50.0
"""A connection id is good for a minute."""
ANSWER_SECONDS = 5.0
"""An announce without an answer for so long is lost."""
TICK_SECONDS = 0.001
"""Between two looks at what is due and what has come: the kernel notes when an answer came, so it may wait."""
RETRY_SECONDS = 0.1
"""Between two requests for the first connection id."""
START_SECONDS = 60.0
"""A node that starts with a large snapshot answers late."""
WINDOW = 150
"""Announces without an answer at once, where their rate matters more than their times: a receive buffer that the system
limits to its usual 208 KiB holds some 250."""
STOPS = 6
"""One update in so many is a stop: a session of an hour and a half or so, with a refresh each quarter of an hour."""

_LIBTORRENT = string.digits.encode() + string.ascii_letters.encode() + b"-_.!~*()"
_BASE36 = string.digits.encode() + string.ascii_lowercase.encode()
PROGRAMS = (
    (b"-qB4650-", _LIBTORRENT, 30),
    (b"-qB5040-", _LIBTORRENT, 15),
    (b"-UT3550-", bytes(range(256)), 20),
    (b"-TR4060-", _BASE36, 20),
    (b"-DE211s-", _LIBTORRENT, 5),
    (b"-BI3600-", string.digits.encode() + string.ascii_letters.encode(), 5),
    (b"-AZ5770-", string.digits.encode() + string.ascii_letters.encode(), 5),
)
"""How peer ids begin, the letters of the other twelve bytes, and a rough share: a compression would feel it."""

_TIMESTAMPNS = 35
"""SO_TIMESTAMPNS of Linux, which Python does not name: the answer comes with its arrival, in wall time."""
_TIMESPEC = struct.Struct("@qq")
_BODY = struct.Struct("!20s20sQQQI4sIiH")
"""Of an announce request, after its transaction (see `wire.udp`)."""


@attrs.frozen
class Client:
    """One client of one swarm."""

    info_hash: bytes
    peer_id: bytes
    key: int
    ip: bytes
    port: int

    def announce(self, event: Event, *, left: int, numwant: int) -> bytes:
        """The body of an announce."""
        fields = (self.info_hash, self.peer_id, 0, left, 0, event, self.ip, self.key, numwant, self.port)
        return _BODY.pack(*fields)


class Torrents:
    """Info-hashes, the i-th of which is wanted in proportion to ``1 / i ** zipf``."""

    def __init__(self, count: int, *, zipf: float, seed: int) -> None:
        rng = random.Random(seed)
        self._hashes = [rng.randbytes(20) for _ in range(count)]
        self._weights = list(accumulate((rank + 1) ** -zipf for rank in range(count)))

    def draw(self, rng: random.Random) -> Client:
        """A new client of one of them, with an address and a peer id like no other's."""
        [info_hash] = rng.choices(self._hashes, cum_weights=self._weights)
        ip = bytes((rng.randrange(1, 224), *rng.randbytes(3)))
        return Client(info_hash, draw_peer_id(rng), rng.randrange(1, 1 << 31), ip, rng.randrange(1, 65_536))


def draw_peer_id(rng: random.Random) -> bytes:
    """A peer id of one of the common programs, with as much chance in it as they put there."""
    [(program, letters, _)] = rng.choices(PROGRAMS, weights=[weight for _, _, weight in PROGRAMS])
    return program + bytes(rng.choices(letters, k=12))


def crowd(kind: str, torrents: Torrents, *, clients: int, numwant: int, rng: random.Random) -> Iterator[bytes]:
    """Bodies of announces without end; see the module's docstring for the kinds."""
    if kind == "new":
        there: deque[Client] = deque()
        while True:
            for _ in range(STOPS - 1):
                there.append(torrents.draw(rng))
                yield there[-1].announce(Event.STARTED, left=rng.choice((0, 1 << 30)), numwant=numwant)
            yield there.popleft().announce(Event.STOPPED, left=0, numwant=0)
    everybody = [torrents.draw(rng) for _ in range(clients)]
    left = 1 << 30
    while True:
        for client in everybody:
            yield client.announce(Event.NONE, left=left, numwant=numwant)
        if kind == "flip":
            left ^= 1 << 30


class Announcer:
    """Sends on schedule and times what comes back."""

    def __init__(self, host: str, port: int) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, _TIMESTAMPNS, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self._socket.connect((host, port))
        self._connection_id = b""
        self._connect_at = 0.0
        self._sent_ns: dict[int, int] = {}
        self._next = 0
        self.sent = self.errors = self.lost = 0
        self.samples = array.array("d")
        """Pairs: when an announce was sent (Unix time), and the seconds to its answer; `ANSWER_SECONDS` if lost."""

    def wait_until_it_answers(self) -> None:
        """Ask for a connection id until there is one."""
        deadline = time.monotonic() + START_SECONDS
        while not self._connection_id:
            if time.monotonic() > deadline:
                raise SystemExit("the tracker does not answer")
            self._connect()
            self._wait(until=self._connect_at)
            self._receive()

    def run(self, bodies: Iterator[bytes], *, rate: float, seconds: float, window: int) -> float:
        """Announce for a time, or until standard input is closed; returns the seconds that it lasted.

        No more than ``window`` announces are without an answer at once; what is due meanwhile is sent late.
        """
        start = time.monotonic()
        while not _is_closed(sys.stdin, TICK_SECONDS) and (elapsed := time.monotonic() - start) < seconds:
            self._receive()
            self._give_up(ANSWER_SECONDS)
            self._connect()
            for _ in range(min(int(elapsed * rate) + 1 - self.sent, window - len(self._sent_ns))):
                self._send(next(bodies))
        lasted = time.monotonic() - start
        stop = time.monotonic() + ANSWER_SECONDS
        while self._sent_ns and time.monotonic() < stop:
            self._wait(until=stop)
            self._receive()
        self._give_up(0.0)
        return lasted

    def _wait(self, *, until: float) -> None:
        """Until something has come, or until that time."""
        select.select([self._socket], [], [], max(0.0, until - time.monotonic()))

    def _give_up(self, after_seconds: float) -> None:
        """Count what has waited for so long as lost."""
        before_ns = time.time_ns() - int(after_seconds * 1e9)
        while self._sent_ns:
            transaction, sent_ns = next(iter(self._sent_ns.items()))
            if sent_ns > before_ns:
                break
            del self._sent_ns[transaction]
            self.samples.extend((sent_ns / 1e9, ANSWER_SECONDS))
            self.lost += 1

    def _connect(self) -> None:
        now = time.monotonic()
        if now >= self._connect_at:
            self._connect_at = now + (CONNECTION_SECONDS if self._connection_id else RETRY_SECONDS)
            self._put(udp.pack_connect_request(bytes(4)))

    def _send(self, body: bytes) -> None:
        self._next += 1
        transaction = self._next
        self._sent_ns[transaction] = time.time_ns()
        self._put(self._connection_id + udp.ANNOUNCE + transaction.to_bytes(4) + body)
        self.sent += 1

    def _put(self, packet: bytes) -> None:
        # It may not be up yet, or be gone: what has no answer is counted as lost.
        with contextlib.suppress(ConnectionRefusedError):
            self._socket.send(packet)

    def _receive(self) -> None:
        """Take what has come."""
        with contextlib.suppress(BlockingIOError, ConnectionRefusedError):
            while True:
                data, ancillary, _, _ = self._socket.recvmsg(udp.MAX_DATAGRAM_BYTES, 64, socket.MSG_DONTWAIT)
                self._take(data, ancillary)

    def _take(self, data: bytes, ancillary: list[tuple[int, int, bytes]]) -> None:
        if data[:4] == udp.CONNECT:
            self._connection_id = udp.parse_connect_answer(data)
            return
        sent_ns = self._sent_ns.pop(int.from_bytes(data[4:8]), 0)
        if data[:4] != udp.ANNOUNCE or not sent_ns:
            self.errors += 1
            return
        [(_, _, stamp)] = ancillary
        seconds, nanoseconds = _TIMESPEC.unpack(stamp)
        self.samples.extend((sent_ns / 1e9, (seconds * 10**9 + nanoseconds - sent_ns) / 1e9))


def _is_closed(stream: TextIO, within_seconds: float) -> bool:
    ready, _, _ = select.select([stream], [], [], within_seconds)
    return bool(ready) and not os.read(stream.fileno(), 1)


def main() -> None:
    """Announce, then say what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tracker")
    parser.add_argument("--kind", choices=("new", "flip", "same"), default="same")
    parser.add_argument("--rate", type=float, default=1000.0, help="announces a second")
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--torrents", type=int, default=10_000)
    parser.add_argument("--zipf", type=float, default=1.0)
    parser.add_argument("--torrent-seed", type=int, default=1)
    parser.add_argument("--clients", type=int, default=1000, help="of a fixed crowd")
    parser.add_argument("--numwant", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1, help="of the clients")
    parser.add_argument("--samples", type=Path, help="file for the samples: pairs of float64")
    options = parser.parse_args()
    host, _, port = options.tracker.rpartition(":")
    torrents = Torrents(options.torrents, zipf=options.zipf, seed=options.torrent_seed)
    rng = random.Random(options.seed)
    bodies = crowd(options.kind, torrents, clients=options.clients, numwant=options.numwant, rng=rng)
    announcer = Announcer(host, int(port))
    announcer.wait_until_it_answers()
    print("announcing", flush=True)
    window = sys.maxsize if options.kind == "same" else WINDOW
    lasted = announcer.run(bodies, rate=options.rate, seconds=options.seconds, window=window)
    if options.samples:
        options.samples.write_bytes(announcer.samples.tobytes())
    print(json.dumps({"sent": announcer.sent, "lost": announcer.lost, "errors": announcer.errors, "seconds": lasted}))


if __name__ == "__main__":
    main()
