"""One of two trackers that share their swarms the way chihaya does: in Redis (its ``storage/redis``).

    python -m tests.benchmarks.redis_relay_node write 127.0.0.1:6379 --seconds 5
    python -m tests.benchmarks.redis_relay_node read 127.0.0.1:6379 --seconds 5 --answer HRANDFIELD

``write`` is the tracker that clients come to: for each change what chihaya's PutSeeder, PutLeecher or Delete... sends,
many at a time. ``read`` is the other one: for each of these changes it reads the swarm, as AnnouncePeers does for the
answer to an announce there. Both know the same changes (`fan_out_stream`), and the writer notes in Redis how far it has
come. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import sys
import time

from meshtracker.model import PeerState
from tests.benchmarks.fan_out_stream import stream_changes
from tests.benchmarks.redis_relay_resp import Redis, command

PEER_BYTES = 26
"""chihaya's peer key: peer id 20, port 2, IPv4 address 4."""
WRITTEN = b"bench:written"
"""How many changes have been written."""
PIPELINE = 200
"""Changes, or answers, in one go."""
WINDOW = 20_000
"""Changes that the writer may be ahead of the reader."""
READ = b"bench:read"
NUMWANT = b"50"
IDLE_SECONDS = 0.001
GROUPS = {PeerState.SEEDER: b"IPv4_S_", PeerState.LEECHER: b"IPv4_L_"}

Change = tuple[bytes, bytes, PeerState]
"""Info-hash in hex, peer key, and what it is now."""


def make(clients: int) -> list[Change]:
    """The changes of the stream that the hub is measured with."""
    made = []
    for client, state in stream_changes(clients):
        key = client.peer_id + client.port.to_bytes(2) + client.ip
        made.append((client.info_hash.hex().encode(), key, state))
    return made


def put(change: Change, clock: bytes) -> list[bytes]:
    """The commands for one change; each has one reply."""
    info_hash, peer, state = change
    if state is PeerState.REMOVED:
        return [command(b"HDEL", group + info_hash, peer) for group in GROUPS.values()]
    swarm = GROUPS[state] + info_hash
    return [command(b"HSET", swarm, peer, clock), command(b"HSET", b"IPv4", swarm, clock)]


class Pace:
    """How far is done within the time, and at which rate at most."""

    def __init__(self, *, seconds: float, rate: float) -> None:
        self.begun = time.monotonic()
        self._seconds = seconds
        self._rate = rate
        self.done = 0

    @property
    def is_over(self) -> bool:
        """Is the time up?"""
        return time.monotonic() >= self.begun + self._seconds

    def may(self) -> int:
        """Changes that may be begun now."""
        due = (time.monotonic() - self.begun) * self._rate - self.done if self._rate else PIPELINE
        return min(PIPELINE, int(due))


def write(redis: Redis, stream: list[Change], pace: Pace, *, is_followed: bool) -> None:
    """Write until the time is up."""
    read = 0
    while not pace.is_over:
        count = pace.may()
        if is_followed and pace.done - read > WINDOW:
            count = 0
            read = int(str(_text(redis.ask(b"GET", READ))))
        if count < 1:
            # To look without a pause would take the core from Redis' other clients.
            time.sleep(IDLE_SECONDS)
            continue
        clock = b"%d" % time.time_ns()
        sent = [one for at in range(pace.done, pace.done + count) for one in put(stream[at % len(stream)], clock)]
        pace.done += count
        redis.send([*sent, command(b"SET", WRITTEN, b"%d" % pace.done)])
        for _ in range(len(sent) + 1):
            redis.reply()


def read(redis: Redis, stream: list[Change], pace: Pace, *, answer: bytes) -> None:
    """Read the swarm of each change that was written, until the time is up."""
    end = (NUMWANT,) if answer == b"HRANDFIELD" else ()
    while not pace.is_over:
        count = min(PIPELINE, int(str(_text(redis.ask(b"GET", WRITTEN)))) - pace.done)
        if count < 1:
            # As above: there is nothing new, or the other has not got so far.
            time.sleep(IDLE_SECONDS)
            continue
        hashes = [stream[at % len(stream)][0] for at in range(pace.done, pace.done + count)]
        redis.send([command(answer, group + info_hash, *end) for info_hash in hashes for group in GROUPS.values()])
        for _ in range(count * len(GROUPS)):
            redis.blobs(PEER_BYTES)
        pace.done += count
        redis.ask(b"SET", READ, b"%d" % pace.done)


def _text(reply: object) -> str:
    return reply.decode() if isinstance(reply, bytes) else "0"


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("role", choices=("write", "read"))
    parser.add_argument("redis")
    parser.add_argument("--clients", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rate", type=float, default=0.0, help="changes a second at most; 0: as fast as it goes")
    parser.add_argument("--answer", choices=("HRANDFIELD", "HKEYS", "none"), default="HRANDFIELD")
    options = parser.parse_args()
    host, _, port = options.redis.rpartition(":")
    stream = make(options.clients)
    redis = Redis(host, int(port))
    redis.ask(b"SET", WRITTEN if options.role == "write" else READ, b"0")
    print("ready", flush=True)
    sys.stdin.readline()  # both begin together
    used = time.process_time()
    pace = Pace(seconds=options.seconds, rate=options.rate)
    if options.role == "write":
        write(redis, stream, pace, is_followed=options.answer != "none")
    else:
        read(redis, stream, pace, answer=options.answer.encode())
    seconds, cpu_seconds = time.monotonic() - pace.begun, time.process_time() - used
    print(json.dumps({"changes": pace.done, "seconds": seconds, "cpu_seconds": cpu_seconds}))


if __name__ == "__main__":
    main()
