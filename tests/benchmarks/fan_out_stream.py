"""The stream of a busy leaf, made before it is sent, so that a light process can keep a hub at its limit.

Clients start in turn, and after each five one that started earlier stops, as those of `announcer` do. Sent again from
the start it is a stream of refreshes, stops, and clients that come back: only the stamps and the sequence are new.
"""

from __future__ import annotations

import random
import struct
from collections import deque
from collections.abc import Iterator

import attrs

from meshtracker.model import STAMP_COUNTER_BITS, PeerState
from meshtracker.swarm.peer_table import PEER_TABLE
from meshtracker.wire.batch import Batch, decode_batch, encode_batch
from meshtracker.wire.frame import HEADER, FrameType
from meshtracker.wire.peer_record import PeerRecord, encode_group, encode_record
from meshtracker.wire.vector import StreamId
from tests.benchmarks.announcer import STOPS, Client, Torrents

TORRENTS = 10_000
ZIPF = 1.0
BATCH_BYTES = 60_000
"""`link.max_batch_bytes`: at these rates batches are full long before a flush interval is over."""
_SEED = 1
_GROUP_BYTES = 24
_NUMBERS = struct.Struct("!QQQ")
"""Incarnation, sequence and base stamp, right after the node's name."""


@attrs.frozen
class Stream:
    """Batches without end."""

    id: StreamId
    templates: list[bytes]
    """Frames of the first round, all with the sequence 0."""
    counts: list[int]
    """Records of each."""

    def frame(self, sequence: int, wall_ms: int) -> bytes:
        """A BATCH frame; its records are stamped now."""
        made = bytearray(self.templates[(sequence - 1) % len(self.templates)])
        base = wall_ms << STAMP_COUNTER_BITS
        _NUMBERS.pack_into(made, HEADER.size + 1 + len(self.id.name), self.id.incarnation, sequence, base)
        return bytes(made)

    def records(self, sequence: int) -> int:
        """Records of all batches up to one."""
        rounds, rest = divmod(sequence, len(self.counts))
        return rounds * sum(self.counts) + sum(self.counts[:rest])

    @property
    def bytes_arecord_of(self) -> float:
        """Before TLS."""
        return sum(map(len, self.templates)) / sum(self.counts)


def make(name: str, incarnation: int, *, clients: int, batch_bytes: int = BATCH_BYTES) -> Stream:
    """A stream whose first round lets so many clients start."""
    stream = Stream(StreamId(name, incarnation), [], [])
    size = count = 0
    groups: dict[bytes, bytearray] = {}
    for client, state in stream_changes(clients):
        group = groups.get(client.info_hash)
        if group is None:
            group = groups[client.info_hash] = bytearray()
            size += _GROUP_BYTES
        encoded = encode_record(record_of(client, state), 0)
        group += encoded
        size += len(encoded)
        count += 1
        if size >= batch_bytes:
            _seal(stream, groups, count)
            groups = {}
            size = count = 0
    if groups:
        _seal(stream, groups, count)
    _check(stream)
    return stream


def stream_changes(clients: int) -> Iterator[tuple[Client, PeerState]]:
    """Who is what now, one after the other, until so many clients have started."""
    rng = random.Random(_SEED)
    torrents = Torrents(TORRENTS, zipf=ZIPF, seed=rng.getrandbits(32))
    there: deque[Client] = deque()
    for number in range(clients):
        there.append(torrents.draw(rng))
        yield there[-1], rng.choice((PeerState.SEEDER, PeerState.LEECHER))
        if number % (STOPS - 1) == STOPS - 2:
            yield there.popleft(), PeerState.REMOVED


def record_of(client: Client, state: PeerState) -> PeerRecord:
    """As a node writes it, but for the stamp."""
    address = b"" if state is PeerState.REMOVED else client.ip + client.port.to_bytes(2)
    return PeerRecord(client.peer_id + client.key.to_bytes(4), 0, int(state), 6, address)


def _seal(stream: Stream, groups: dict[bytes, bytearray], count: int) -> None:
    section = b"".join([encode_group(info_hash, group) for info_hash, group in groups.items()])
    stream.templates.append(encode_batch(FrameType.BATCH, Batch(stream.id, 0, 0, ((PEER_TABLE, section),))))
    stream.counts.append(count)


def _check(stream: Stream) -> None:
    """The numbers are where this module puts them."""
    batch = decode_batch(stream.frame(7, 5)[HEADER.size :])
    if (batch.stream, batch.sequence, batch.base) != (stream.id, 7, 5 << STAMP_COUNTER_BITS):
        raise AssertionError("a batch is laid out in another way than this benchmark knows")
