"""What a member that means harm may say: nonsense, what is out of place, and lies that are well-formed."""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable, Sequence

import attrs

from meshtracker.errors import CloseCode
from meshtracker.model import PeerState
from meshtracker.swarm.completed_table import COMPLETED_TABLE
from meshtracker.swarm.peer_table import PEER_TABLE
from meshtracker.wire import link as wire
from meshtracker.wire.batch import MAX_BODY_BYTES, Batch, Section, encode_batch, encode_section
from meshtracker.wire.completed_record import MAX_COMPLETED, CompletedRecord, encode_completed
from meshtracker.wire.frame import HEADER, MAGIC, FrameType, frame
from meshtracker.wire.peer_record import PeerRecord, encode_group, encode_record
from meshtracker.wire.vector import MAX_STREAMS, Position, StreamId, Vector, encode_stream

TORRENTS = 4
CLIENTS = 6
_WORD = (1 << 64) - 1
_AHEAD_MS = (0, 0, 0, 1, 50_000, 119_000, 300_000, 3_600_000, 86_400_000, -1000, -86_400_000)
"""Of stamps: now, just inside what is taken, far outside, and old."""


@attrs.define
class View:
    """What a liar has seen of the mesh, and lies about."""

    me: StreamId
    wall_ms: int
    vectors: Sequence[Vector]
    """Of nodes that it has heard."""


class Liar:
    """Draws frames."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._kinds: list[Callable[[View], bytes]] = [
            *[self._batch] * 8,
            *[self._forged_next] * 3,
            *[self._snapshot] * 2,
            *[self._burst] * 3,
            *[self._snapshot_end] * 2,
            self._full,
            self._full,
            *[self._heartbeat] * 2,
            self._crafted_batch,
            self._end_of_burst,
            self._vector,
            self._interest,
            self._swarms,
            self._directed,
            self._hello,
            self._auth,
            self._close,
            self._rubbish,
            self._oversized,
            self._any_payload,
        ]

    def say(self, view: View) -> bytes:
        """One frame or more."""
        return self._rng.choice(self._kinds)(view)

    # ------------------------------------------------------------ parts

    def _stream(self, view: View) -> StreamId:
        rng = self._rng
        known = [stream for vector in view.vectors for stream in vector]
        choice = rng.random()
        if choice < 0.35 or not known:
            return view.me
        if choice < 0.5:
            return StreamId(view.me.name, rng.getrandbits(64))
        if choice < 0.8:
            return rng.choice(known)
        if choice < 0.9:
            return StreamId(rng.choice(known).name, rng.choice((0, 1, _WORD, rng.getrandbits(64))))
        return StreamId(f"nobody-{rng.randrange(5)}", rng.randrange(3))

    def _position(self, view: View, stream: StreamId) -> Position:
        known = [vector[stream] for vector in view.vectors if stream in vector] or [Position(0, 0)]
        base = self._rng.choice(known)
        step = self._rng.choice((0, 0, 1, -1, 3, 1000, 1 << 40, (1 << 63) - 1 - base.sequence))
        digest = self._rng.choice((base.digest, 0, 1, self._rng.getrandbits(64)))
        return Position(max(0, base.sequence + step), digest)

    def _base(self, view: View) -> int:
        base_ms = view.wall_ms + self._rng.choice(_AHEAD_MS)
        return self._rng.choice((base_ms << 16, base_ms << 16, base_ms << 16, 0, ((1 << 48) - 1) << 16, _WORD))

    def _info_hash(self) -> bytes:
        if self._rng.random() < 0.9:
            return self._rng.randrange(TORRENTS).to_bytes(20, "big")
        return self._rng.randbytes(20)

    def _record(self, base: int) -> bytes:
        rng = self._rng
        client = rng.randrange(CLIENTS)
        identity = b"-MT0001-%012d" % client + (100 + client).to_bytes(4, "big")
        size = rng.choice((6, 6, 18))
        address = rng.choice((b"\x7f\0\0\1\3\xe8", b"\0\0\0\0\3\xe8", b"\xe0\0\0\1\3\xe8", b"\x0a\0\0\1\0\0"))
        if size == 18:
            address = rng.choice((b"\x20\1" + bytes(13), b"\xff\2" + bytes(13), bytes(15))) + b"\1\3\xe8"
        state = rng.choice(list(PeerState))
        stamp = base + (rng.choice((0, 0, 1, 100)) << 16 | rng.choice((0, 0, 65_535)))
        record = PeerRecord(identity, stamp, state, size, b"" if state is PeerState.REMOVED else address)
        return encode_record(record, base)

    def _sections(self, base: int) -> tuple[Section, ...]:
        rng = self._rng
        sections: list[Section] = []
        for _ in range(rng.choice((0, 1, 1, 1, 2, 5))):
            kind = rng.choice((PEER_TABLE, PEER_TABLE, PEER_TABLE, COMPLETED_TABLE, COMPLETED_TABLE, 77, 65_535))
            if kind == PEER_TABLE and rng.random() < 0.9:
                groups = range(rng.choice((1, 2, 4)))
                body = b"".join(
                    encode_group(self._info_hash(), b"".join(self._record(base) for _ in range(rng.randrange(4))))
                    for _ in groups
                )
            elif kind == COMPLETED_TABLE and rng.random() < 0.8:
                total = rng.choice((1, 2, 1000, MAX_COMPLETED, MAX_COMPLETED - 1))
                at_ms = min((base >> 16) + rng.choice((0, 1, -1)), (1 << 48) - 1)
                body = encode_completed(CompletedRecord(self._info_hash(), total, max(0, at_ms)))
            elif kind == COMPLETED_TABLE:
                body = self._info_hash() + b"\xff" * 8 + b"\x7f" + b"\1"
            else:
                body = rng.randbytes(rng.choice((0, 1, 30, 3000)))
            sections.append((kind, body))
        return tuple(sections)

    # ------------------------------------------------------------ frames

    def _batch(self, view: View) -> bytes:
        stream, base = self._stream(view), self._base(view)
        sequence = self._position(view, stream).sequence
        return encode_batch(FrameType.BATCH, Batch(stream, sequence, base, self._sections(base)))

    def _forged_next(self, view: View) -> bytes:
        """The batch that follows on what somebody knows of a stream, which may be anybody's."""
        stream, base = self._stream(view), view.wall_ms << 16
        known = [vector[stream].sequence for vector in view.vectors if stream in vector] or [0]
        first = self._rng.choice(known) + 1
        return b"".join(
            encode_batch(FrameType.BATCH, Batch(stream, sequence, base, self._sections(base)))
            for sequence in range(first, first + self._rng.choice((1, 1, 3)))
        )

    def _snapshot(self, view: View) -> bytes:
        base = self._base(view)
        return encode_batch(FrameType.SNAPSHOT, Batch(self._stream(view), 0, base, self._sections(base)))

    def _plan(self, view: View, stream: StreamId) -> wire.StreamPlan:
        rng = self._rng
        return wire.StreamPlan(
            stream=stream,
            position=self._position(view, stream),
            after=rng.choice((0, 1, 1 << 50)),
            full=rng.random() < 0.7,
            reason=rng.choice(("", "new node", "conflict", "x" * 60)),
            conflict=rng.random() < 0.3,
        )

    def _burst(self, view: View) -> bytes:
        return wire.encode_burst(self._plan(view, self._stream(view)) for _ in range(self._rng.choice((0, 1, 2, 50))))

    def _full(self, view: View) -> bytes:
        """A whole snapshot that is in order, of anybody's stream, up to any position."""
        rng = self._rng
        stream, base = self._stream(view), view.wall_ms << 16
        plan = attrs.evolve(self._plan(view, stream), full=True, after=0)
        records = [self._record(base) for _ in range(rng.randrange(4))]
        body = encode_group(self._info_hash(), b"".join(records))
        return b"".join(
            (
                wire.encode_burst([plan]),
                encode_batch(FrameType.SNAPSHOT, Batch(stream, 0, base, ((PEER_TABLE, body),))),
                wire.encode_snapshot_end(wire.SnapshotEnd(stream, plan.position, len(records))),
            )
        )

    def _snapshot_end(self, view: View) -> bytes:
        stream = self._stream(view)
        records = self._rng.choice((0, 1, 1 << 62))
        return wire.encode_snapshot_end(wire.SnapshotEnd(stream, self._position(view, stream), records))

    def _heartbeat(self, view: View) -> bytes:
        rng = self._rng
        streams = [self._stream(view) for _ in range(rng.choice((0, 1, 3)))]
        return b"".join(
            wire.encode_heartbeat(
                wire.Heartbeat(
                    clock_ms=max(0, view.wall_ms + rng.choice(_AHEAD_MS)),
                    sent_frames=rng.choice((0, 1, 1 << 60)),
                    applied_frames=rng.choice((0, 0, 1, 1 << 60)),
                    vector={stream: self._position(view, stream) for stream in streams},
                    answer_at_once=rng.random() < 0.5,
                )
            )
            for _ in range(rng.choice((1, 1, 200)))
        )

    def _crafted_batch(self, view: View) -> bytes:
        """A small frame that unfolds to as much as is allowed, or to more."""
        size = self._rng.choice((MAX_BODY_BYTES - 8, MAX_BODY_BYTES, MAX_BODY_BYTES + 1, 10_000_000))
        body = encode_section(77, bytes(size))
        if self._rng.random() < 0.5:
            group = self._rng.randbytes(20)
            body = encode_section(PEER_TABLE, encode_group(group, b"") * (MAX_BODY_BYTES // 21 - 1))
        compressor = zlib.compressobj(level=9, wbits=-zlib.MAX_WBITS)
        deflated = compressor.compress(body) + compressor.flush()
        stream = self._stream(view)
        known = [vector[stream].sequence for vector in view.vectors if stream in vector] or [0]
        head = encode_stream(stream) + (known[0] + 1).to_bytes(8, "big") + (view.wall_ms << 16).to_bytes(8, "big")
        return frame(FrameType.BATCH, head + b"\1" + deflated[:60_000])

    def _end_of_burst(self, view: View) -> bytes:
        return wire.encode_end_of_burst() * self._rng.choice((1, 1, 2, 5000))

    def _vector(self, view: View) -> bytes:
        rng = self._rng
        count = rng.choice((0, 1, 10, 10, 1000))
        many = count == 1000 and rng.random() < 0.1
        vector = {
            StreamId(f"v{number}", number): Position(number, number)
            for number in range(MAX_STREAMS + 10 if many else count)
        }
        return b"".join(wire.encode_knowledge(vector, everything=rng.random() < 0.3))

    def _interest(self, view: View) -> bytes:
        interest = self._rng.choice(list(wire.Interest))
        count = self._rng.choice((0, 1, 4, 3000))
        hashes = [self._info_hash() if count < 10 else self._rng.randbytes(20) for _ in range(count)]
        return b"".join(wire.encode_interest(interest, hashes)) * self._rng.choice((1, 1, 40))

    def _swarms(self, view: View) -> bytes:
        base = self._base(view)
        if self._rng.random() < 0.3:
            return wire.encode_swarms_end({self._stream(view): Position(3, 3)})
        return encode_batch(FrameType.SWARMS, Batch(self._stream(view), 0, base, self._sections(base)))

    def _directed(self, view: View) -> bytes:
        rng = self._rng
        message = wire.Directed(
            kind=rng.choice(list(wire.DirectedKind)),
            source=self._stream(view).name,
            target=self._stream(view).name,
            number=rng.getrandbits(62),
            topic=rng.choice(("ping", "nothing")),
            deadline_ms=rng.choice((0, 1, 60_000)),
            hops=rng.randrange(wire.MAX_HOPS + 1),
            body=bytes(rng.choice((0, 100, wire.MAX_DIRECTED_BYTES))),
        )
        return wire.encode_directed(message) * rng.choice((1, 1, 300))

    def _hello(self, view: View) -> bytes:
        return wire.encode_hello(
            wire.Hello(
                name=self._stream(view).name,
                incarnation=self._rng.getrandbits(64),
                forwards=self._rng.random() < 0.5,
                clock_ms=view.wall_ms,
                announce_interval_seconds=1800,
                peer_ttl_seconds=4500,
                software="liar",
            )
        )

    def _auth(self, view: View) -> bytes:
        return wire.control(FrameType.AUTH_FIRST, v=3, mechanism="x", message="n,,n=x,r=y")

    def _close(self, view: View) -> bytes:
        return wire.encode_close(self._rng.choice(list(CloseCode)), "because")

    def _rubbish(self, view: View) -> bytes:
        return self._rng.randbytes(self._rng.choice((1, 40, 1000)))

    def _oversized(self, view: View) -> bytes:
        return HEADER.pack(MAGIC, self._rng.choice(list(FrameType)), 0, self._rng.choice((65_537, 0xFFFFFFFF)))

    def _any_payload(self, view: View) -> bytes:
        return frame(self._rng.choice(list(FrameType)), self._rng.randbytes(self._rng.randrange(60)))
