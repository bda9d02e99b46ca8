"""How a snapshot is held together, with the batches around it, and how far a stream is known then."""

from __future__ import annotations

import pytest

from meshtracker.errors import CloseCode, LinkError
from meshtracker.link.receiver import Receiver
from meshtracker.link.sender import Sender
from meshtracker.wire.batch import decode_batch
from meshtracker.wire.frame import HEADER, FrameType
from meshtracker.wire.link import Burst, SnapshotEnd, SnapshotPiece, decode
from meshtracker.wire.vector import BEGINNING, MAX_STREAMS, NOWHERE, Position, StreamId, chain
from tests.link.receiving import THIRD, begin, end, frame_of, plan, receiver_of, take
from tests.link.support import batch_of, hello_of
from tests.mouth_to_mouth import NOW, announce, frames, node


def test_a_snapshot_is_announced_whole_and_counted() -> None:
    owner = node("there", forwards=True)
    for client in range(30):
        announce(owner, client)
    owner.mesh.flush(NOW)
    here = node("here")
    sender = Sender(owner.mesh, hello_of(here), {}, everything=False, interest=None)
    sent = frames(b"".join(iter(lambda: sender.next_frame(NOW), b"")))
    assert [kind for kind, _ in sent] == [FrameType.BURST, FrameType.SNAPSHOT, FrameType.SNAPSHOT_END]
    burst, piece, last = (decode(kind, payload) for kind, payload in sent)
    assert isinstance(burst, Burst)
    assert isinstance(piece, SnapshotPiece)
    assert isinstance(last, SnapshotEnd)

    receiver = Receiver(here.mesh, hello_of(owner), may_speak=True)
    with pytest.raises(LinkError, match="that no burst announced"):
        receiver.snapshot(piece.batch, NOW)
    receiver.burst(burst, NOW)
    with pytest.raises(LinkError, match="holds 0 records where 30 were sent"):
        receiver.end_snapshot(last, NOW)
    receiver.snapshot(piece.batch, NOW)
    assert here.mesh.position(owner.mesh.own) == NOWHERE
    receiver.end_snapshot(last, NOW)
    assert (receiver.records, here.registry.peers) == (30, 30)
    assert here.mesh.position(owner.mesh.own) == owner.mesh.position(owner.mesh.own)
    with pytest.raises(LinkError, match="that no burst announced"):
        receiver.end_snapshot(last, NOW)


def test_snapshots_at_once_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("meshtracker.link.receiver.MAX_STREAMS", 3)
    receiver = receiver_of()
    for number in range(3):
        begin(receiver, plan(StreamId("third", number)))
    # One that begins again is not another one.
    begin(receiver, plan(StreamId("third", 0)))
    with pytest.raises(LinkError, match="more than 3 snapshots at once") as caught:
        begin(receiver, plan(StreamId("third", 3)))
    assert caught.value.code is CloseCode.FLOOD
    assert MAX_STREAMS > 1000


def test_a_batch_ahead_of_its_snapshot_counts_once_the_snapshot_is_complete() -> None:
    here = node("here").mesh
    receiver = Receiver(here, hello_of(node("there", forwards=True)), may_speak=True)
    begin(receiver, plan())
    for sequence in (6, 7, 8):
        assert take(receiver, THIRD, sequence)
        assert here.position(THIRD) == NOWHERE
    assert receiver.batches == 3
    with pytest.raises(LinkError, match="ends at 7 after batch 8"):
        end(receiver, THIRD, 7)
    end(receiver, THIRD, 8, 88)
    assert here.position(THIRD) == Position(8, 88)
    take(receiver, THIRD, 9)
    assert here.frame(THIRD, 9) is not None
    position = here.position(THIRD)
    assert position is not None
    assert position.sequence == 9
    assert position.digest not in (0, 88)


def test_what_follows_on_what_is_known_is_passed_on_at_once() -> None:
    """A snapshot that was asked for, of a stream that is known: its batches need not wait."""
    here = node("here")
    receiver = receiver_of(here)
    tables = ("peers", "completed")
    here.mesh.finish_snapshot(THIRD, Position(5, 55), NOW, tables=tables, replaces=False)
    begin(receiver, plan())
    assert take(receiver, THIRD, 6)
    known = here.mesh.position(THIRD)
    assert known is not None
    assert known.sequence == 6
    assert here.mesh.frame(THIRD, 6) is not None
    # It had come from elsewhere before.
    here.mesh.finish_snapshot(THIRD, Position(9, 99), NOW, tables=tables, replaces=False)
    assert not take(receiver, THIRD, 7)
    assert here.mesh.position(THIRD) == Position(9, 99)
    end(receiver, THIRD, 7)
    assert here.mesh.position(THIRD) == Position(9, 99)


def test_a_gap_between_the_batches_around_a_snapshot() -> None:
    receiver = receiver_of()
    begin(receiver, plan())
    take(receiver, THIRD, 6)
    with pytest.raises(LinkError, match="batch 8 of third came after 6") as caught:
        take(receiver, THIRD, 8)
    # Two sources of one stream may make one: it is nobody's fault.
    assert caught.value.code is CloseCode.GAP
    assert not caught.value.code.is_breach


@pytest.mark.parametrize(
    ("sequences", "pattern"), [((1, 3), "batch 3 of third came after 1"), ((2,), "batch 2 of third came after 0")]
)
def test_a_gap_without_a_snapshot(sequences: tuple[int, ...], pattern: str) -> None:
    """What is not brought by a snapshot comes from its first batch on."""
    here = node("here")
    receiver = receiver_of(here)
    for sequence in sequences[:-1]:
        assert take(receiver, THIRD, sequence)
    before = here.mesh.vector()
    with pytest.raises(LinkError, match=pattern) as caught:
        take(receiver, THIRD, sequences[-1])
    assert caught.value.code is CloseCode.GAP
    assert here.mesh.vector() == before


def test_a_stream_that_comes_from_its_first_batch_on_is_known_by_its_digest() -> None:
    here = node("here")
    first = frame_of(THIRD, 1)
    receiver_of(here).batch(first, NOW)
    assert here.mesh.position(THIRD) == Position(1, chain(BEGINNING.digest, first.payload))


def test_a_snapshot_that_is_begun_again_forgets_what_had_come_of_the_first() -> None:
    here = node("here")
    receiver = receiver_of(here)
    begin(receiver, plan())
    receiver.snapshot(decode_batch(batch_of("third", 1, 0)[HEADER.size :]), NOW)
    take(receiver, THIRD, 6)
    begin(receiver, plan())
    take(receiver, THIRD, 4)
    end(receiver, THIRD, 4, 44, records=0)
    known = here.mesh.position(THIRD)
    assert known is not None
    # The row of the first is in no batch that the second was told to hold: others are to compare theirs.
    assert (known.sequence, known.digest != 44) == (4, True)


def test_a_continued_stream_ends_its_snapshot() -> None:
    receiver = receiver_of()
    begin(receiver, plan())
    begin(receiver, plan(full=False))
    with pytest.raises(LinkError, match="that no burst announced"):
        end(receiver, THIRD, 5)


def test_two_streams_of_one_node_are_two_snapshots() -> None:
    here = node("here")
    receiver = receiver_of(here)
    later = StreamId("third", 2)
    begin(receiver, plan(), plan(later))
    take(receiver, THIRD, 8)
    take(receiver, later, 2)
    end(receiver, later, 2, 22)
    end(receiver, THIRD, 8, 88)
    assert (here.mesh.position(THIRD), here.mesh.position(later)) == (Position(8, 88), Position(2, 22))


def test_digests_are_of_the_payload_as_it_is_relayed() -> None:
    here = node("here")
    receiver = receiver_of(here)
    here.mesh.finish_snapshot(THIRD, Position(5, 55), NOW, tables=("peers", "completed"), replaces=False)
    came = frame_of(THIRD, 6)
    receiver.batch(came, NOW)
    assert here.mesh.position(THIRD) == Position(6, chain(55, came.payload))
