"""The throttle: who is blocked, for how long, and that it stays small."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from meshtracker.throttle import Throttle

HOST = b"\xc0\x00\x02\x01"
OTHER = b"\xc0\x00\x02\x02"


def make_throttle(*, limit: int = 3, max_sources: int = 100) -> Throttle:
    return Throttle(limit=limit, window_seconds=120.0, max_sources=max_sources)


def test_a_source_is_blocked_past_the_limit_until_its_window_is_over() -> None:
    throttle = make_throttle()
    assert [throttle.record(HOST, 10.0 + second) for second in range(5)] == [False, False, False, True, True]
    assert throttle.blocks(HOST, 129.9)
    assert not throttle.blocks(HOST, 130.0)
    assert not throttle.record(HOST, 130.0)
    assert not throttle.blocks(HOST, 130.0)


def test_the_limit_itself_is_allowed() -> None:
    throttle = make_throttle(limit=1)
    assert not throttle.record(HOST, 0.0)
    assert not throttle.blocks(HOST, 0.0)
    assert throttle.record(HOST, 0.0)
    assert throttle.blocks(HOST, 0.0)


def test_asking_is_no_offence() -> None:
    throttle = make_throttle()
    for _ in range(10):
        assert not throttle.blocks(HOST, 0.0)
    assert len(throttle) == 0


def test_one_source_does_not_answer_for_another() -> None:
    throttle = make_throttle()
    for _ in range(10):
        throttle.record(HOST, 0.0)
    assert not throttle.blocks(OTHER, 0.0)
    assert not throttle.record(OTHER, 0.0)


def test_a_64_is_one_source() -> None:
    throttle = make_throttle()
    site = b"\x20\x01\x0d\xb8" + bytes(4)
    for host in range(10):
        throttle.record(site + host.to_bytes(8), 0.0)
    assert throttle.blocks(site + b"\xff" * 8, 0.0)
    assert not throttle.blocks(b"\x20\x01\x0d\xb9" + bytes(12), 0.0)
    assert len(throttle) == 1


def test_a_full_table_forgets_the_source_whose_window_ends_first() -> None:
    throttle = make_throttle(limit=0, max_sources=3)
    for host in range(4):
        throttle.record(bytes((10, 0, 0, host)), float(host))
    assert [throttle.blocks(bytes((10, 0, 0, host)), 5.0) for host in range(4)] == [False, True, True, True]


def test_windows_that_are_over_are_forgotten() -> None:
    throttle = make_throttle(max_sources=1000)
    for host in range(500):
        throttle.record(host.to_bytes(4), 0.0)
    throttle.record(HOST, 200.0)
    assert len(throttle) == 1


@given(st.lists(st.tuples(st.integers(0, 20), st.floats(0, 60))), st.integers(1, 5))
def test_it_never_holds_more_than_it_may(offences: list[tuple[int, float]], max_sources: int) -> None:
    throttle = make_throttle(max_sources=max_sources)
    now = 0.0
    for host, pause in offences:
        now += pause
        throttle.record(host.to_bytes(4), now)
        assert len(throttle) <= max_sources


def test_a_source_that_offends_again_after_its_window_is_the_newest() -> None:
    throttle = make_throttle(limit=0, max_sources=2)
    throttle.record(HOST, 0.0)
    throttle.record(OTHER, 10.0)
    throttle.record(HOST, 125.0)
    throttle.record(b"\xc0\x00\x02\x03", 126.0)
    assert throttle.blocks(HOST, 126.0)
    assert not throttle.blocks(OTHER, 126.0)
