"""What the tests of the receiver share: two streams of others, and what a peer sends of them."""

from __future__ import annotations

import attrs

from meshtracker.link.receiver import Receiver
from meshtracker.node.node import Node
from meshtracker.wire.batch import Batch, decode_batch, encode_batch
from meshtracker.wire.frame import HEADER, FrameType
from meshtracker.wire.link import BatchFrame, Burst, SnapshotEnd, StreamPlan
from meshtracker.wire.vector import Position, StreamId
from tests.link.support import batch_of, hello_of
from tests.mouth_to_mouth import NOW, node

THIRD, FOURTH = StreamId("third", 1), StreamId("fourth", 2)
THERE = StreamId("there", 77)
"""The peer's own."""


def plan(stream: StreamId = THIRD, *, full: bool = True, conflict: bool = False) -> StreamPlan:
    """A stream that a peer announces."""
    reason = "new node" if full else ""
    after = 0 if full else 3
    return StreamPlan(stream=stream, position=Position(5, 55), after=after, full=full, reason=reason, conflict=conflict)


def begin(receiver: Receiver, *plans: StreamPlan) -> list[str]:
    """A BURST comes: what the operator is told of each stream."""
    return receiver.burst(Burst(plans), NOW)


def end(receiver: Receiver, stream: StreamId, sequence: int, digest: int = 0, *, records: int = 0) -> None:
    """The end of a snapshot comes."""
    receiver.end_snapshot(SnapshotEnd(stream, Position(sequence, digest), records), NOW)


def frame_of(stream: StreamId, sequence: int) -> BatchFrame:
    """A batch with one peer."""
    payload = batch_of(stream.name, stream.incarnation, sequence)[HEADER.size :]
    return BatchFrame(decode_batch(payload), payload)


def take(receiver: Receiver, stream: StreamId, sequence: int) -> bool:
    """An empty batch comes."""
    batch = Batch(stream, sequence, 0, ())
    return receiver.batch(BatchFrame(batch, encode_batch(FrameType.BATCH, batch)[HEADER.size :]), NOW)


def receiver_of(
    here: Node | None = None, *, forwards: bool = True, may_speak: bool = True, is_believed: bool = True
) -> Receiver:
    """What ``here`` takes from ``there``. ``is_believed``: what there says of others; ``may_speak``: here, to there."""
    there = node("there", incarnation=77, forwards=forwards)
    hello = hello_of(there, may_speak=is_believed)
    return Receiver((here or node("here")).mesh, attrs.evolve(hello, may_speak=may_speak), may_speak=is_believed)
