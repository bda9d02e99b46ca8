"""Frames of a peer that knows the password and means harm, or has gone mad."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshtracker.model import STAMP_COUNTER_BITS, PeerState
from meshtracker.swarm.peer_table import PEER_TABLE
from meshtracker.wire.batch import Batch, encode_batch
from meshtracker.wire.frame import HEADER, MAGIC, FrameType
from meshtracker.wire.link import control, encode_end_of_burst
from meshtracker.wire.peer_record import PeerRecord, encode_group, encode_record
from meshtracker.wire.vector import StreamId

if TYPE_CHECKING:
    from tests.simulation.connection import End
    from tests.simulation.world import World

_HOUR_MS = 3_600_000


def forge(what: str, writer: End, reader: End, world: World) -> bytes:
    """A frame that ``reader`` must refuse, as if it came from ``writer``."""
    mine = writer.session._replica.own
    position = writer.session._replica.position(mine)
    assert position is not None
    base = int(world.wall_seconds * 1000) << STAMP_COUNTER_BITS

    # What a reader does not track it drops unread.
    info_hash = (reader.host.torrents or (0,))[0].to_bytes(20, "big")

    def batch(*, stream: StreamId = mine, sequence: int = position.sequence + 1, ahead_ms: int = 0) -> bytes:
        stamp = base + (ahead_ms << STAMP_COUNTER_BITS)
        record = PeerRecord(b"forged".ljust(24, b"!"), stamp, int(PeerState.SEEDER), 6, b"\x7f\0\0\1\0\1")
        body = encode_group(info_hash, encode_record(record, base))
        return encode_batch(FrameType.BATCH, Batch(stream, sequence, base, ((PEER_TABLE, body),)))

    match what:
        case "own name":
            theirs = reader.session._replica.own
            written = reader.session._replica.position(theirs)
            assert written is not None
            return batch(stream=theirs, sequence=written.sequence + 1)
        case "gap":
            return batch(sequence=position.sequence + 50)
        case "future":
            return batch(ahead_ms=_HOUR_MS)
        case "oversized":
            return HEADER.pack(MAGIC, FrameType.BATCH, 0, 10_000_000)
        case "rubbish":
            return bytes(range(40))
        case "illegal":
            return control(FrameType.AUTH_FIRST, message="n,,n=x,r=y")
        case "unannounced":
            return encode_batch(FrameType.SNAPSHOT, Batch(mine, 0, base, ()))
        case "second end":
            return encode_end_of_burst()
        case "cut short":
            body = ((PEER_TABLE, bytes(20) + b"\x7f"),)
            return encode_batch(FrameType.BATCH, Batch(mine, position.sequence + 1, base, body))
    raise ValueError(what)
