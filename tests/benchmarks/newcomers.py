"""Peers with a source address of their own, for swarms larger than the ports of one address allow."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import islice

from meshtracker.model import Event
from tests.benchmarks.announcer import Client
from tests.benchmarks.asking import asking
from tests.benchmarks.members import BenchmarkError
from tests.benchmarks.servers import HOST, PORT

SOURCE = "127.0.0.2"
"""The load generators announce from 127.0.0.1."""
FIRST_PORT = 2000
WINDOW = 64
"""Announces without an answer at once: any receive buffer holds so many."""
ANSWER_SECONDS = 1.0
LIMIT_SECONDS = 300.0


def come(info_hash: bytes, count: int) -> None:
    """So many new peers announce to a swarm; returns when each has had its answer."""
    bodies = enumerate(_bodies(info_hash, count))
    waiting: dict[int, bytes] = {}
    deadline = time.monotonic() + LIMIT_SECONDS
    with asking((HOST, PORT), timeout_seconds=ANSWER_SECONDS, source=SOURCE) as newcomers:
        while time.monotonic() < deadline:
            for number, body in islice(bodies, WINDOW - len(waiting)):
                waiting[number] = body
                newcomers.announce(number, body)
            if not waiting:
                return
            try:
                number, is_good = newcomers.receive()
            except TimeoutError:
                for number, body in waiting.items():
                    newcomers.announce(number, body)
                continue
            if not is_good:
                raise BenchmarkError("a newcomer was refused")
            waiting.pop(number, None)
    raise BenchmarkError(f"{len(waiting)} newcomers have no answer")


def _bodies(info_hash: bytes, count: int) -> Iterator[bytes]:
    for number in range(count):
        client = Client(info_hash, b"-NC0001-%012d" % number, number + 1, bytes(4), FIRST_PORT + number)
        yield client.announce(Event.STARTED, left=1, numwant=1)
