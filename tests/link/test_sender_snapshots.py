"""Pieces of snapshots and batches by turns."""

from __future__ import annotations

import pytest

from meshtracker.link.sender import SNAPSHOTS_A_TURN
from meshtracker.wire.link import SnapshotEnd, SnapshotPiece, decode
from meshtracker.wire.vector import NOWHERE, StreamId, Vector
from tests.link.sending import (
    BB,
    HUB,
    A,
    Line,
    at,
    bring,
    hub_of,
    hub_with,
    leaf_with,
    read,
    said,
    sender_of,
    shift,
)
from tests.mouth_to_mouth import NOW, announce, frames


def test_batches_pass_between_the_pieces_of_their_own_snapshot(tiny_pieces: None) -> None:
    hub = hub_of()
    for client in range(8):
        shift(hub, client)
    sender = sender_of(hub, {})
    told = []
    for client in range(20, 80):
        told += read(sender.next_frame(NOW))
        if told[-1][0] == "SNAPSHOT_END":
            break
        shift(hub, client)
    # A piece and a batch by turns; the end is where the cursor is then, and what was made since follows.
    kinds = [kind for kind, _, _ in told]
    assert kinds[:6] == ["BURST", "SNAPSHOT", "SNAPSHOT", "BATCH", "SNAPSHOT", "BATCH"]
    batches = [sequence for kind, _, sequence in told if kind == "BATCH"]
    assert batches[0] > 8
    assert batches == list(range(batches[0], batches[0] + len(batches)))
    assert len(batches) >= 3
    assert told[-1] == ("SNAPSHOT_END", "hub", batches[-1])
    assert sender.burst_is_sent
    assert read(sender.next_frame(NOW)) == [("BATCH", "hub", batches[-1] + 1)]


def test_batches_of_others_do_not_wait_for_a_snapshot(tiny_pieces: None) -> None:
    hub = hub_with(A, batches=12)
    sender = sender_of(hub, {})
    told: list[Line] = []
    while not told or told[-1][0] != "SNAPSHOT_END":
        told += read(sender.next_frame(NOW))
        shift(hub, len(told))
    assert [line[:2] for line in told[:5]] == [
        ("BURST", "a"),
        ("BATCH", "hub"),
        ("SNAPSHOT", "a"),
        ("BATCH", "hub"),
        ("SNAPSHOT", "a"),
    ]
    assert told[-1] == ("SNAPSHOT_END", "a", 12)


def test_a_cursor_that_falls_off_the_log_during_the_snapshot(tiny_pieces: None) -> None:
    """The receiver is told to begin anew; of the first snapshot no end comes."""
    hub = hub_of(max_log_bytes=1500)
    for client in range(12):
        shift(hub, client)
    sender = sender_of(hub, {})
    told = read(sender.next_frame(NOW)) + read(sender.next_frame(NOW))
    assert [kind for kind, _, _ in told] == ["BURST", "SNAPSHOT"]
    for client in range(20, 60):
        shift(hub, client)
    told += said(sender)
    assert sender.sent == {"hub": "full (fell behind)"}
    assert [line for line in told if line[0] not in ("SNAPSHOT", "BATCH")] == [
        ("BURST", "hub", 12),
        ("BURST", "hub", 52),
        ("SNAPSHOT_END", "hub", 52),
    ]
    assert sender.burst_is_sent


def test_a_snapshot_that_others_have_brought_meanwhile_is_ended_at_once() -> None:
    """A leaf offers a hub what it lacks; of what several leaves offer it need not be sent all."""
    leaf = leaf_with(A, BB)
    theirs: Vector = {}
    sender = sender_of(leaf, theirs, peer=hub_of("other"))
    theirs[A] = at(leaf, A)
    told = said(sender)
    assert ("SNAPSHOT", "bb", 0) in told
    assert ("SNAPSHOT", "a", 0) not in told
    assert ("SNAPSHOT_END", "a", 3) in told
    assert sender.burst_is_sent


def test_everything_is_sent_anew_if_it_is_asked_for() -> None:
    hub = hub_with(A, BB)
    known = {A: at(hub, A), BB: at(hub, BB, 1)}
    assert [line for line in said(sender_of(hub, known)) if line[0] != "BURST"] == [
        ("BATCH", "bb", 2),
        ("BATCH", "bb", 3),
    ]
    sender = sender_of(hub, known, everything=True)
    assert sender.sent == dict.fromkeys(("a", "bb"), "full (asked for)")
    told = said(sender)
    for name in ("a", "bb"):
        assert ("SNAPSHOT", name, 0) in told
        assert ("SNAPSHOT_END", name, 3) in told


@pytest.mark.parametrize("batch_is_next", [True, False])
def test_the_ends_of_snapshots_come_after_what_was_written_meanwhile(*, batch_is_next: bool) -> None:
    """A row that was written over is in no snapshot: who counts on it is to have what wrote over it."""
    hub = hub_with(A, BB)
    announce(hub, 50)
    hub.mesh.flush(NOW)
    sender = sender_of(hub, {HUB: at(hub, HUB)})
    sender._batch_is_next = batch_is_next
    told: list[Line] = []
    while data := sender.next_frame(NOW):
        told += read(data)
        if told[-1][:2] == ("SNAPSHOT", "bb"):
            announce(hub, 60, torrent=1)
    kinds = [line[:2] for line in told if line[0] != "BURST"]
    assert kinds == [
        ("SNAPSHOT", "a"),
        ("SNAPSHOT", "bb"),
        ("BATCH", "hub"),
        ("SNAPSHOT_END", "a"),
        ("SNAPSHOT_END", "bb"),
    ]


def test_a_stream_that_is_learned_before_the_ends_is_sent_before_them() -> None:
    hub = hub_with(A)
    sender = sender_of(hub, {})
    told: list[Line] = []
    while data := sender.next_frame(NOW):
        told += read(data)
        if told[-1] == ("SNAPSHOT", "a", 0):
            bring(hub, BB)
    ends = [at for at, line in enumerate(told) if line[0] == "SNAPSHOT_END"]
    assert min(ends) > told.index(("SNAPSHOT", "bb", 0))


def test_streams_of_which_nothing_is_sent_are_passed_over_by_turns() -> None:
    """A narrowed leaf tracks none of their rows: looking for those of many streams takes long."""
    hub = hub_of()
    for number in range(3 * SNAPSHOTS_A_TURN):
        bring(hub, StreamId(f"s{number}", number), batches=1, first=number)
    sender = sender_of(hub, {}, interest={b"of no swarm at all  "})
    assert len(sender._fulls) == 3 * SNAPSHOTS_A_TURN
    most = 0
    while True:
        left = len(sender._fulls)
        if not sender.next_frame(NOW):
            break
        most = max(most, left - len(sender._fulls))
    assert most == SNAPSHOTS_A_TURN + 1
    assert sender.burst_is_sent


def test_the_end_of_a_stream_that_was_forgotten_claims_nothing() -> None:
    hub = hub_with(A, BB)
    sender = sender_of(hub, {})
    told = []
    while data := sender.next_frame(NOW):
        [(kind, payload)] = frames(data)
        message = decode(kind, payload)
        if isinstance(message, SnapshotPiece) and message.batch.stream == BB:
            hub.mesh._logs.forget(A)
        if isinstance(message, SnapshotEnd):
            told.append((message.stream, message.position))
    assert told == [(A, NOWHERE), (BB, at(hub, BB))]
