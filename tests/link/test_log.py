"""Logs keep the latest batches of all origins within one bound."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtracker.link.log import Logs
from meshtracker.wire.vector import Position

ENTRY_BYTES = 150


def logs_of(max_bytes: int = 10_000) -> Logs:
    logs = Logs(max_bytes=max_bytes)
    logs.start("a", Position(7, 0))
    return logs


def test_positions() -> None:
    logs = logs_of()
    assert logs.position("b") is None
    logs.start("b", Position(8, 41))
    logs.append("b", b"x", 1.0)
    assert logs.vector() == {"a": Position(7, 0), "b": Position(8, 42)}
    assert logs.position("b") == Position(8, 42)
    assert logs.frame("b", 42) == b"x"


@pytest.mark.parametrize(
    ("position", "covered"),
    [
        (Position(7, 2), False),
        (Position(7, 3), True),
        (Position(7, 5), True),
        (Position(7, 6), True),
        (Position(7, 7), False),
        (Position(6, 5), False),
        (Position(8, 5), False),
    ],
)
def test_covers_at_its_edges(position: Position, covered: bool) -> None:
    logs = logs_of(3 * (ENTRY_BYTES + 1))
    for number in range(1, 7):
        logs.append("a", b"%d" % number, number)
    assert [logs.frame("a", number) for number in range(9)] == [None] * 4 + [b"4", b"5", b"6"] + [None] * 2
    assert logs.covers("a", position) is covered
    assert not logs.covers("b", position)


def test_a_restarted_stream_keeps_nothing_of_the_old_one() -> None:
    logs = logs_of()
    logs.append("a", b"old", 1.0)
    logs.start("a", Position(9, 3))
    assert logs.frame("a", 1) is None
    assert not logs.covers("a", Position(7, 0))
    assert logs.covers("a", Position(9, 3))
    logs.append("a", b"new", 2.0)
    assert logs.frame("a", 4) == b"new"


@given(
    st.lists(
        st.tuples(
            st.sampled_from("abc"), st.sampled_from(["append", "append", "append", "start"]), st.integers(0, 400)
        ),
        max_size=80,
    )
)
def test_bounded_over_all_origins_oldest_first(steps: list[tuple[str, str, int]]) -> None:
    logs = Logs(max_bytes=1500)
    kept: list[tuple[str, int, int, bytes]] = []
    life = 0
    for now, (origin, deed, size) in enumerate(steps):
        if deed == "start" or logs.position(origin) is None:
            life += 1
            logs.start(origin, Position(life, size))
        position = logs.position(origin)
        assert position is not None
        if deed == "append":
            frame = bytes(size)
            logs.append(origin, frame, now)
            kept.append((origin, position.incarnation, position.sequence + 1, frame))
        while sum(len(frame) + ENTRY_BYTES for *_, frame in kept) > 1500:
            kept.pop(0)
        figures = logs.statistics(now)
        assert figures.batches == len(kept)
        assert figures.bytes == sum(len(frame) + ENTRY_BYTES for *_, frame in kept) <= figures.max_bytes
        for name, at in logs.vector().items():
            held = [(number, frame) for by, of, number, frame in kept if (by, of) == (name, at.incarnation)]
            for number, frame in held:
                assert logs.frame(name, number) == frame
            first = at.sequence - len(held)
            assert logs.covers(name, Position(at.incarnation, first))
            assert not logs.covers(name, Position(at.incarnation, first - 1))


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.booleans()), max_size=40), st.integers(0, 45))
def test_it_tells_which_streams_have_changed(steps: list[tuple[str, bool]], since: int) -> None:
    logs = Logs(max_bytes=1000)
    changed: list[str] = []
    for life, (origin, is_start) in enumerate(steps):
        if is_start or logs.position(origin) is None:
            logs.start(origin, Position(life, 0))
        else:
            logs.append(origin, bytes(300), life)
        changed.append(origin)
    assert logs.changes == len(changed)
    latest = {origin: number for number, origin in enumerate(changed, 1)}
    after = sorted((number, origin) for origin, number in latest.items() if number > since)
    assert logs.changed_after(since) == [origin for _, origin in after]


def test_empty_batches_are_bounded_too() -> None:
    logs = logs_of(15_000)
    for number in range(10_000):
        logs.append("a", b"", float(number))
    assert logs.statistics(10_000.0).batches == 100
    assert logs.statistics(10_000.0).covered_seconds == 100.0


def test_a_frame_larger_than_the_log_passes_through() -> None:
    logs = logs_of(100)
    logs.append("a", bytes(200), 1.0)
    assert logs.position("a") == Position(7, 1)
    assert not logs.covers("a", Position(7, 0))
    assert logs.statistics(5.0).covered_seconds == 0.0
