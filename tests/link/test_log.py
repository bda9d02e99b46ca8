"""Logs keep the latest batches of all streams within one bound, and the digests that they chain up to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtracker.link.log import Logs
from meshtracker.wire.frame import HEADER
from meshtracker.wire.vector import BEGINNING, NOWHERE, Position, StreamId, chain

ENTRY_BYTES = 200
HEAD_BYTES = HEADER.size
A, B, C = (StreamId(name, 7) for name in "abc")


def frame_of(payload: bytes) -> bytes:
    """A frame's header is not part of what digests are made of."""
    return bytes(HEAD_BYTES) + payload


def logs_of(max_bytes: int = 10_000, position: Position = BEGINNING) -> Logs:
    logs = Logs(max_bytes=max_bytes)
    logs.start(A, position, 0.0)
    return logs


def test_positions_and_their_digests() -> None:
    logs = logs_of()
    assert logs.position(B) is None
    logs.start(B, Position(41, 99), 0.0)
    logs.append(B, frame_of(b"x"), 1.0)
    assert logs.vector() == {A: BEGINNING, B: Position(42, chain(99, b"x"))}
    assert logs.position(B) == Position(42, chain(99, b"x"))
    assert logs.frame(B, 42) == frame_of(b"x")


def test_two_streams_of_one_node_are_two() -> None:
    logs = logs_of()
    again = StreamId(A.name, A.incarnation + 1)
    logs.start(again, BEGINNING, 0.0)
    logs.append(again, frame_of(b"x"), 1.0)
    assert logs.position(A) == BEGINNING
    assert logs.frame(A, 1) is None
    assert logs.frame(again, 1) == frame_of(b"x")


@pytest.mark.parametrize(
    ("sequence", "is_held"), [(2, False), (3, True), (5, True), (6, True), (7, False), (-1, False)]
)
def test_the_digest_is_known_where_all_that_came_later_is_kept(sequence: int, *, is_held: bool) -> None:
    logs = logs_of(3 * (ENTRY_BYTES + HEAD_BYTES + 1))
    digests = [1]
    for number in range(1, 7):
        logs.append(A, frame_of(b"%d" % number), number)
        digests.append(chain(digests[-1], b"%d" % number))
    frames = [logs.frame(A, number) for number in range(9)]
    assert frames == [None] * 4 + [frame_of(text) for text in (b"4", b"5", b"6")] + [None] * 2
    assert logs.digest_at(A, sequence) == (digests[sequence] if is_held else None)
    assert logs.digest_at(B, sequence) is None


def test_what_is_chained_to_an_unknown_digest_is_unknown() -> None:
    logs = logs_of(position=Position(4, 0))
    logs.append(A, frame_of(b"x"), 1.0)
    assert logs.position(A) == Position(5, 0)
    # Known, that is, as a place from which all is kept, and not by what was read up to there.
    assert [logs.digest_at(A, sequence) for sequence in (3, 4, 5, 6)] == [None, 0, 0, None]


def test_other_batches_give_other_digests() -> None:
    logs, others = logs_of(), logs_of()
    for payload, other in ((b"one", b"one"), (b"two", b"TWO"), (b"three", b"three")):
        logs.append(A, frame_of(payload), 1.0)
        others.append(A, frame_of(other), 1.0)
    alike = [logs.digest_at(A, sequence) == others.digest_at(A, sequence) for sequence in range(4)]
    assert alike == [True, True, False, False]


def test_a_stream_that_begins_anew_keeps_nothing_of_the_old_one() -> None:
    logs = logs_of()
    logs.append(A, frame_of(b"old"), 1.0)
    logs.start(A, Position(3, 55), 1.0)
    assert logs.frame(A, 1) is None
    assert logs.digest_at(A, 0) is None
    assert logs.digest_at(A, 3) == 55
    logs.append(A, frame_of(b"new"), 2.0)
    assert logs.frame(A, 4) == frame_of(b"new")


def test_of_a_stream_that_is_forgotten_only_its_position_is_kept() -> None:
    logs = logs_of(1000)
    logs.append(A, frame_of(b"x"), 1.0)
    logs.forget(A)
    assert logs.vector() == {}
    assert (logs.position(A), logs.frame(A, 1), logs.digest_at(A, 1)) == (None, None, None)
    assert logs.silent_since(100.0) == []
    # Links tell the others that it is gone.
    assert logs.changed_after(0) == [A]
    assert logs.forgotten(A) == Position(1, chain(BEGINNING.digest, b"x"))
    assert logs.forgotten(B) is None
    # Its frames go as their turn comes, and no other stream's before.
    logs.start(A, NOWHERE, 2.0)
    assert logs.forgotten(A) is None
    for number in range(1, 20):
        logs.append(A, frame_of(bytes(50)), 2.0)
        assert logs.frame(A, number) is not None
        assert logs.statistics(2.0).bytes <= 1000


def test_which_streams_have_fallen_silent() -> None:
    logs = Logs(max_bytes=10_000)
    for now, stream in enumerate((A, B, C)):
        logs.start(stream, BEGINNING, float(now))
    assert logs.silent_since(2.0) == [A, B]
    logs.append(A, frame_of(b""), 2.0)
    assert logs.silent_since(2.0) == [B]
    logs.start(B, Position(5, 1), 3.0)
    assert logs.silent_since(3.0) == [A, C]
    assert logs.silent_since(0.0) == []


DEEDS = ["append", "append", "append", "start", "forget"]


@given(st.lists(st.tuples(st.sampled_from([A, B, C]), st.sampled_from(DEEDS), st.integers(0, 400)), max_size=80))
def test_the_bound_is_for_all_streams_and_the_oldest_go_first(steps: list[tuple[StreamId, str, int]]) -> None:
    logs = Logs(max_bytes=1500)
    kept: list[tuple[StreamId, int, int, bytes, int]] = []
    """Stream, beginning, sequence, frame, digest after it."""
    begins: dict[StreamId, int] = {}
    for now, (stream, deed, size) in enumerate(steps):
        position = logs.position(stream)
        if deed == "forget":
            if position is not None:
                logs.forget(stream)
                del begins[stream]
        elif deed == "start" or position is None:
            logs.start(stream, Position(size, size + 1), now)
            begins[stream] = now
        else:
            frame = frame_of(bytes(size))
            logs.append(stream, frame, now)
            digest = chain(position.digest, bytes(size))
            kept.append((stream, begins[stream], position.sequence + 1, frame, digest))
            assert logs.position(stream) == Position(position.sequence + 1, digest)
        while sum(len(frame) + ENTRY_BYTES for _, _, _, frame, _ in kept) > 1500:
            kept.pop(0)
        figures = logs.statistics(now)
        assert figures.batches == len(kept)
        assert figures.bytes == sum(len(frame) + ENTRY_BYTES for _, _, _, frame, _ in kept) <= figures.max_bytes
        assert logs.vector().keys() == begins.keys()
        for of, at in logs.vector().items():
            held = [entry[2:] for entry in kept if entry[:2] == (of, begins[of])]
            for number, frame, digest in held:
                assert logs.frame(of, number) == frame
                assert logs.digest_at(of, number) == digest
            first = at.sequence - len(held)
            assert logs.digest_at(of, first) is not None
            assert logs.digest_at(of, first - 1) is None
            assert logs.frame(of, first) is logs.frame(of, at.sequence + 1) is None


@given(
    st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from(["start", "append", "forget"])), max_size=40),
    st.integers(0, 45),
)
def test_it_tells_which_streams_have_changed(steps: list[tuple[str, str]], since: int) -> None:
    logs = Logs(max_bytes=1000)
    latest: dict[StreamId, int] = {}
    changes = 0
    for now, (name, deed) in enumerate(steps):
        stream = StreamId(name, 1)
        is_known = logs.position(stream) is not None
        if deed == "forget" and not is_known:
            continue
        changes += 1
        if deed == "forget":
            logs.forget(stream)
        elif deed == "start" or not is_known:
            logs.start(stream, BEGINNING, now)
        else:
            logs.append(stream, frame_of(bytes(300)), now)
        latest[stream] = changes
    assert logs.changes == changes
    after = sorted((number, stream) for stream, number in latest.items() if number > since)
    assert logs.changed_after(since) == [stream for _, stream in after]


def test_empty_batches_are_bounded_too() -> None:
    logs = logs_of(100 * (ENTRY_BYTES + HEAD_BYTES))
    for number in range(10_000):
        logs.append(A, frame_of(b""), float(number))
    assert logs.statistics(10_000.0).batches == 100
    assert logs.statistics(10_000.0).covered_seconds == 100.0


def test_a_frame_larger_than_the_log_passes_through() -> None:
    logs = logs_of(100)
    logs.append(A, frame_of(bytes(200)), 1.0)
    assert logs.position(A) == Position(1, chain(1, bytes(200)))
    assert logs.digest_at(A, 0) is None
    assert logs.digest_at(A, 1) == chain(1, bytes(200))
    assert logs.statistics(5.0).covered_seconds == 0.0
