"""Mutated frames to sessions in every state: nothing may be raised but a closed link."""

from __future__ import annotations

import random

import pytest

from meshtracker.errors import CloseCode
from meshtracker.link.transitions import State
from meshtracker.wire.batch import Batch, encode_batch
from meshtracker.wire.frame import HEADER, FrameType, frame
from meshtracker.wire.link import (
    Directed,
    DirectedKind,
    Interest,
    SnapshotEnd,
    control,
    encode_close,
    encode_directed,
    encode_hello,
    encode_interest,
    encode_knowledge,
    encode_snapshot_end,
    encode_swarms_end,
)
from meshtracker.wire.vector import Position, StreamId
from tests.link.support import FRAME_STATES, at_state, batch_of, burst_of, heartbeat_of, hello_of
from tests.mouth_to_mouth import NOW, node

HUB, PEER = StreamId("hub", 900), StreamId("peer", 1000)
MOST_BYTES = 200_000
"""More than this no session holds of what it was sent here, or of its answers."""


def directed(kind: DirectedKind) -> Directed:
    return Directed(
        kind=kind, source="leaf", target="hub", number=7, topic="ping", deadline_ms=1000, hops=8, body=b"body"
    )


SEEDS = [
    encode_hello(hello_of(node("peer", incarnation=1000))),
    encode_hello(hello_of(node("peer", forwards=True), may_speak=False)),
    *encode_knowledge({HUB: Position(0, 1), PEER: Position(2, 77)}, everything=False),
    *encode_knowledge({}, everything=True),
    burst_of("peer", 1000),
    burst_of("hub", 900),
    burst_of("leaf", 1000, full=False),
    burst_of("peer", 1000, conflict=True),
    batch_of("peer", 1000, 1),
    batch_of("hub", 900, 1),
    batch_of("leaf", 1000, 2),
    encode_snapshot_end(SnapshotEnd(PEER, Position(5, 1), records=0)),
    encode_snapshot_end(SnapshotEnd(HUB, Position(5, 0), records=0)),
    frame(FrameType.END_OF_BURST),
    heartbeat_of(sent=2, applied=1, vector={HUB: Position(3, 9)}),
    heartbeat_of(answer_at_once=True),
    encode_close(CloseCode.OTHER, "no"),
    control(
        FrameType.AUTH_FIRST, v=3, least=3, mechanism="SCRAM-SHA-256-PLUS", message="p=tls-server-end-point,,n=a,r=b"
    ),
    control(FrameType.AUTH_CHALLENGE, message="r=b,s=eA==,i=4096"),
    control(FrameType.AUTH_PROOF, message="c=eA==,r=b,p=eA=="),
    control(FrameType.AUTH_FINAL, message="v=eA=="),
    encode_batch(FrameType.SNAPSHOT, Batch(PEER, 5, 0, ())),
    encode_batch(FrameType.SWARMS, Batch(PEER, 0, 0, ((1, b"h" * 20 + b"\0"), (2, b""), (300, b"x")))),
    frame(FrameType.SWARMS_END),
    encode_swarms_end({PEER: Position(1, 1)}),
    *(encode_directed(directed(kind)) for kind in DirectedKind),
    *(encode_interest(interest, [b"h" * 20, b"g" * 20])[0] for interest in Interest),
]


def fuzz(seed: int, count: int) -> None:
    """Mutated frames to sessions in every state: nothing may be raised but a closed link."""
    rng = random.Random(seed)
    end = at_state(State.SYNCED, dials=False)
    for _ in range(count):
        if end.state is State.CLOSED:
            assert end.reason
            assert "\n" not in end.reason
            end.data_to_send(NOW)
            end.statistics(NOW)
            end = at_state(rng.choice(FRAME_STATES), dials=rng.random() < 0.5)
        data = bytearray(rng.choice(SEEDS))
        for _ in range(rng.choice((0, 0, 1, 1, 3))):
            at = rng.randrange(HEADER.size, len(data)) if len(data) > HEADER.size else 2
            data[at] = rng.choice((0, 1, 255, rng.randrange(256)))
        if rng.random() < 0.1:
            del data[rng.randrange(len(data)) :]
        end.receive_data(bytes(data), NOW)
        assert end.held_bytes() < MOST_BYTES
        for _ in range(3):
            end.data_to_send(NOW)


@pytest.mark.parametrize("seed", range(4))
def test_fuzzed_frames(seed: int) -> None:
    fuzz(seed, 500)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(100, 120))
def test_fuzzed_frames_long(seed: int) -> None:
    fuzz(seed, 6000)
