"""Frames of a peer that knows the password and means harm, or has gone mad."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshtracker.model import STAMP_COUNTER_BITS, PeerState
from meshtracker.wire.batch import Batch, PeerRecord, encode_batch, encode_group, encode_record
from meshtracker.wire.frame import HEADER, MAGIC, FrameType
from meshtracker.wire.link import control

if TYPE_CHECKING:
    from tests.simulation.connection import End
    from tests.simulation.world import World

_HOUR_MS = 3_600_000


def forge(what: str, writer: End, reader: End, world: World) -> bytes:
    """A frame that ``reader`` must refuse, as if it came from ``writer``."""
    name = writer.host.name
    mine = writer.session._replica.position(name)
    assert mine is not None
    base = int(world.wall_seconds * 1000) << STAMP_COUNTER_BITS

    # What a reader does not track it drops unread.
    info_hash = (reader.host.torrents or (0,))[0].to_bytes(20, "big")

    def batch(
        *, origin: str = name, incarnation: int = mine.incarnation, sequence: int = mine.sequence + 1, ahead_ms: int = 0
    ) -> bytes:
        stamp = base + (ahead_ms << STAMP_COUNTER_BITS)
        record = PeerRecord(b"forged".ljust(24, b"!"), stamp, int(PeerState.SEEDER), 6, b"\x7f\0\0\1\0\1")
        body = encode_group(info_hash, encode_record(record, base))
        return encode_batch(FrameType.BATCH, Batch(origin, incarnation, sequence, base, body))

    match what:
        case "forged origin":
            return batch(origin="nobody")
        case "own name":
            return batch(origin=reader.host.name, incarnation=reader.session._replica.incarnation)
        case "gap":
            return batch(sequence=mine.sequence + 50)
        case "future":
            return batch(ahead_ms=_HOUR_MS)
        case "oversized":
            return HEADER.pack(MAGIC, FrameType.BATCH, 0, 10_000_000)
        case "rubbish":
            return bytes(range(40))
        case "illegal":
            return control(FrameType.AUTH_FIRST, message="n,,n=x,r=y")
        case "unannounced":
            position = Batch(name, mine.incarnation, mine.sequence, base, b"")
            return encode_batch(FrameType.SNAPSHOT, position)
        case "cut short":
            return encode_batch(
                FrameType.BATCH, Batch(name, mine.incarnation, mine.sequence + 1, base, bytes(20) + b"\x7f")
            )
    raise ValueError(what)
