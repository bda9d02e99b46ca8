"""Batches and records of the tests of a node's side of its links."""

from __future__ import annotations

from meshtracker.model import PeerState
from meshtracker.node.node import Node
from meshtracker.wire.batch import Batch, PeerRecord, encode_batch, encode_completed, encode_group, encode_record
from meshtracker.wire.frame import MAX_PAYLOAD_BYTES, FrameDecoder, FrameType
from meshtracker.wire.vector import Position
from tests.mouth_to_mouth import NOW, WALL_OFFSET_SECONDS, node

WALL_MS = int((NOW + WALL_OFFSET_SECONDS) * 1000)
TORRENT = b"h" * 20


def opened(encoded: bytes) -> tuple[FrameType, bytes]:
    decoder = FrameDecoder()
    decoder.max_payload_bytes = MAX_PAYLOAD_BYTES
    [(kind, payload)] = decoder.feed(encoded)
    return kind, payload


def batch_of(
    *items: PeerRecord | int, origin: str = "x", incarnation: int = 500, sequence: int = 1, base_ms: int = WALL_MS
) -> Batch:
    base = base_ms << 16
    body = b"".join(encode_completed(item) if isinstance(item, int) else encode_record(item, base) for item in items)
    return Batch(origin, incarnation, sequence, base, encode_group(TORRENT, body))


def record_of(client: int = 1, *, stamp_ms: int = WALL_MS, state: int = PeerState.LEECHER) -> PeerRecord:
    return PeerRecord(bytes([client]) * 24, stamp_ms << 16, state, 6, b"" if state == PeerState.REMOVED else b"a" * 6)


def receive(owner: Node, batch: Batch, now: float = NOW) -> int | None:
    return owner.mesh.apply_batch(batch, opened(encode_batch(FrameType.BATCH, batch))[1], now)


def listener_of(**options: object) -> Node:
    """A node that knows of origin x."""
    made = node("n", **options)  # type: ignore[arg-type]
    made.mesh.finish_snapshot("x", Position(500, 0))
    return made
