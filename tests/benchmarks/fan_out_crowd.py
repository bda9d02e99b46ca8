"""One busy leaf and many that only listen, all in one light process, around a hub that is another process.

    python -m tests.benchmarks.fan_out_crowd 127.0.0.1:59100 --pid 123 --password-file FILE --leaves 3

The busy leaf sends as fast as the slowest of the others follows. Prints one JSON object: what all of them were sent
within a time, and what the hub spent on it.
"""

from __future__ import annotations

import argparse
import json
import socket
import struct
import sys
import time
from pathlib import Path

import attrs
import structlog
import trio

from meshtracker.link.outbox import Outbox
from meshtracker.link.proof.authentication import Credential
from meshtracker.model import STAMP_COUNTER_BITS
from meshtracker.network.connection import LinkConnection
from meshtracker.swarm.peer_table import PEER_TABLE
from meshtracker.wire.batch import Batch, encode_batch
from meshtracker.wire.frame import FrameType
from meshtracker.wire.vector import Position, StreamId
from tests.benchmarks.fan_out_light import Sink, link
from tests.benchmarks.fan_out_stream import Stream, make, record_of, stream_changes
from tests.benchmarks.servers import Running

WINDOW_BATCHES = 48
"""That the slowest listener may be behind: two megabytes, far less than the hub's log, and enough to keep it busy."""
WARM_UP_LIMIT_SECONDS = 120.0
_TCP_INFO_RECEIVED = struct.Struct("@128xQ")
"""tcpi_bytes_received in Linux's struct tcp_info."""


class Source(Sink):
    """The busy leaf: its stream reaches as far as it is told to `offer`."""

    def __init__(self, stream: Stream) -> None:
        super().__init__(stream.id.name, stream.id.incarnation)
        self._stream = stream

    def offer(self, sequence: int) -> None:
        """Send as far as that."""
        self.positions[self.own] = Position(sequence, 0)

    def frame(self, stream: StreamId, sequence: int) -> bytes | None:
        """Made when the socket can take it."""
        return self._stream.frame(sequence, self.wall_ms(0.0))


class Encoding(Source):
    """The same with the work of a real leaf: each batch is encoded and compressed when it is sent."""

    def __init__(self, stream: Stream, clients: int) -> None:
        super().__init__(stream)
        self._records = [(client.info_hash, record_of(client, state)) for client, state in stream_changes(clients)]
        self._outbox = Outbox(max_batch_bytes=1 << 20)

    def frame(self, stream: StreamId, sequence: int) -> bytes | None:
        """Batches are asked for in order, each once: there is one link, and it is not made anew."""
        stamp = self.wall_ms(0.0) << STAMP_COUNTER_BITS
        start, end = self._stream.records(sequence - 1), self._stream.records(sequence)
        for at in range(start, end):
            info_hash, record = self._records[at % len(self._records)]
            record.stamp = stamp
            self._outbox.add(info_hash, record)
        batch = Batch(self.own, sequence, stamp, ((PEER_TABLE, self._outbox.take()),))
        return encode_batch(FrameType.BATCH, batch)


@attrs.frozen
class Moment:
    """How far everything was at one time."""

    at: float
    sequence: int
    """That every listener has."""
    hub_cpu_seconds: float
    own_cpu_seconds: float
    received_bytes: int
    """By all listeners, TLS included."""


class Crowd:
    """See the module's docstring."""

    def __init__(self, stream: Stream, source: Source, listeners: int) -> None:
        self.source = source
        self.sinks = [Sink(f"sink-{number:02}", stream.id.incarnation) for number in range(listeners)]
        self._stream = stream
        self._source_link: LinkConnection | None = None
        self._tcp: list[LinkConnection] = []
        for sink in self.sinks:
            sink.on_batch = self._follow
        self._reached = 0

    async def join(self, hub: tuple[str, int], credential: Credential, nursery: trio.Nursery) -> None:
        """Link all, one after the other."""
        for sink in self.sinks:
            self._tcp.append(await link(sink, hub, credential, nursery))
        self._source_link = await link(self.source, hub, credential, nursery)

    def begin(self) -> None:
        """Let it flow."""
        if self._source_link is not None:
            # As of every stream that is new to a node, the hub is sent a snapshot first, here of no rows: up to one
            # batch, so that all others are sent as batches.
            self.source.offer(1)
            self._source_link.wake()

    @property
    def reached(self) -> int:
        """The last batch that every listener has."""
        own = self.source.own
        return min(sink.positions[own].sequence if own in sink.positions else 0 for sink in self.sinks)

    def _follow(self, stream: StreamId) -> None:
        if stream == self.source.own and (reached := self.reached) > self._reached:
            self._reached = reached
            self._offer()

    def _offer(self) -> None:
        if self._source_link is not None:
            self.source.offer(self._reached + WINDOW_BATCHES)
            self._source_link.wake()

    def ended(self) -> str:
        """Why a link is gone, if one is."""
        links = [*self._tcp, *([self._source_link] if self._source_link else [])]
        return "; ".join(sorted({connection.session.reason for connection in links if connection.session.is_closed}))

    def moment(self, pid: int) -> Moment:
        """Now."""
        received = sum(_received_bytes(connection) for connection in self._tcp)
        return Moment(time.monotonic(), self.reached, Running(pid, Path()).cpu_seconds(), time.process_time(), received)

    async def wait(self, sequence: int, within_seconds: float) -> None:
        """Until every listener has a batch. Ends the program if that does not happen."""
        deadline = time.monotonic() + within_seconds
        while self.reached < sequence:
            if why := self.ended():
                raise SystemExit(f"a link ended: {why}")
            if time.monotonic() > deadline:
                raise SystemExit(f"only {self.reached} of {sequence} batches within {within_seconds:.0f} s")
            await trio.sleep(0.05)

    def figures(self, before: Moment, after: Moment) -> dict[str, float]:
        """What went on between two moments."""
        seconds = after.at - before.at
        updates = self._stream.records(after.sequence) - self._stream.records(before.sequence)
        hub_seconds = after.hub_cpu_seconds - before.hub_cpu_seconds
        return {
            "leaves": len(self.sinks),
            "updates_per_second": updates / seconds,
            "hub_cpu_share": hub_seconds / seconds,
            "hub_cpu_us_per_update": hub_seconds / updates * 1e6,
            "own_cpu_share": (after.own_cpu_seconds - before.own_cpu_seconds) / seconds,
            "bytes_per_update": (after.received_bytes - before.received_bytes) / len(self.sinks) / updates,
            "records_per_batch": sum(self._stream.counts) / len(self._stream.counts),
        }


def _received_bytes(connection: LinkConnection) -> int:
    info = connection._tcp.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_RECEIVED.size)
    [received] = _TCP_INFO_RECEIVED.unpack(info)
    return int(received)


async def measure(options: argparse.Namespace) -> dict[str, float]:
    """One run."""
    stream = make("busy", int(time.time() * 1000), clients=options.clients, batch_bytes=options.batch_bytes)
    source = Encoding(stream, options.clients) if options.encode else Source(stream)
    crowd = Crowd(stream, source, options.leaves)
    host, _, port = options.hub.rpartition(":")
    credential = Credential(options.password_file.read_text().strip())
    async with trio.open_nursery() as nursery:
        await crowd.join((host, int(port)), credential, nursery)
        crowd.begin()
        # The first round brings every client for the first time; what is measured is a swarm that is there.
        await crowd.wait(len(stream.templates), WARM_UP_LIMIT_SECONDS)
        before = crowd.moment(options.pid)
        await trio.sleep(options.seconds)
        after = crowd.moment(options.pid)
        if why := crowd.ended():
            raise SystemExit(f"a link ended: {why}")
        nursery.cancel_scope.cancel()
    return crowd.figures(before, after)


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("hub")
    parser.add_argument("--pid", type=int, required=True, help="of the hub")
    parser.add_argument("--password-file", type=Path, required=True)
    parser.add_argument("--leaves", type=int, default=3)
    parser.add_argument("--clients", type=int, default=100_000)
    parser.add_argument("--batch-bytes", type=int, default=60_000)
    parser.add_argument("--encode", action="store_true", help="make each batch when it is sent, as a real leaf does")
    parser.add_argument("--seconds", type=float, default=6.0)
    options = parser.parse_args()
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    print(json.dumps(trio.run(measure, options)))


if __name__ == "__main__":
    main()
