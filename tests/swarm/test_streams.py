"""Streams as small numbers: given, counted, free again; and who wins."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from meshtracker.swarm.streams import OWN, Streams
from meshtracker.wire.vector import MAX_STREAMS, StreamId

SELF = StreamId("self", 1)
A, B, A2 = StreamId("a", 5), StreamId("b", 5), StreamId("a", 6)


def test_indexes_are_given_at_first_sight() -> None:
    streams = Streams(SELF)
    assert [streams.index(stream) for stream in (B, SELF, A, B, A2)] == [1, OWN, 2, 1, 3]
    assert streams.streams == [SELF, B, A, A2]
    assert [streams.stream(2), streams.name(3)] == [A, "a"]
    assert [streams.find(stream) for stream in (A2, StreamId("a", 7))] == [3, None]
    assert len(streams) == 4


def test_a_full_table_takes_nobody_until_a_stream_is_forgotten() -> None:
    streams = Streams(SELF, max_streams=3)
    assert [streams.index(stream) for stream in (A, B, A2)] == [1, 2, None]
    assert [streams.has_room(stream) for stream in (A, B, A2)] == [True, True, False]
    streams.forget(A)
    assert streams.has_room(A2)
    assert streams.index(A2) == 1
    assert streams.index(A) is None
    assert len(streams) == 3


def test_a_row_has_room_for_the_index_of_every_stream() -> None:
    assert MAX_STREAMS <= 1 << 16
    streams = Streams(SELF)
    for number in range(MAX_STREAMS - 1):
        assert streams.index(StreamId("n", number)) == number + 1
    assert streams.index(StreamId("n", MAX_STREAMS)) is None


def test_an_index_is_free_again_once_its_stream_is_forgotten() -> None:
    streams = Streams(SELF)
    for stream in (A, B):
        streams.index(stream)
    streams.forget(A)
    assert streams.streams == [SELF, None, B]
    assert streams.find(A) is None
    with pytest.raises(KeyError):
        streams.stream(1)
    assert streams.index(A2) == 1
    assert streams.rows(A2) == 0


def test_a_stream_in_use_is_not_forgotten() -> None:
    streams = Streams(SELF)
    index = streams.index(A)
    assert index is not None
    streams.count(index, 2)
    for stream in (A, SELF):
        with pytest.raises(ValueError, match="in use"):
            streams.forget(stream)
    streams.count(index, -2)
    streams.forget(A)


def test_rows_are_counted_by_stream_and_by_name() -> None:
    streams = Streams(SELF)
    for stream, rows in ((A, 3), (A2, 4), (B, 5)):
        index = streams.index(stream)
        assert index is not None
        streams.count(index, rows)
    assert [streams.rows(stream) for stream in (A, A2, B, SELF, StreamId("c", 1))] == [3, 4, 5, 0, 0]
    assert [streams.rows_of_name(name) for name in ("a", "b", "self", "c")] == [7, 5, 0, 0]


def test_a_node_that_begins_a_new_stream_keeps_the_rows_of_index_0() -> None:
    streams = Streams(SELF)
    streams.count(OWN, 6)
    after = StreamId("self", 2)
    streams.replace_own(after)
    assert (streams.stream(OWN), streams.rows(after), streams.rows_of_name("self")) == (after, 6, 6)
    # The one before is a stream like any other from now on.
    assert streams.find(SELF) is None
    assert streams.index(SELF) == 1
    streams.count(1, 2)
    assert (streams.rows(SELF), streams.rows_of_name("self")) == (2, 8)
    streams.count(1, -2)
    streams.forget(SELF)
    assert streams.rows_of_name("self") == 6


def test_another_tables_numbers_are_taken_over() -> None:
    streams = Streams(SELF)
    assert streams.adopt([None, A, None, B])
    assert streams.streams == [SELF, A, None, B]
    assert [streams.find(stream) for stream in (SELF, A, B)] == [OWN, 1, 3]
    assert streams.index(A2) == 2
    streams.count(3, 4)
    assert streams.rows_of_name("b") == 4


@pytest.mark.parametrize(
    "streams", [[None, A, SELF], [None, A, B, A2]], ids=["this node's own stream", "more streams than there may be"]
)
def test_numbers_that_do_not_fit_are_not_taken_over(streams: list[StreamId | None]) -> None:
    table = Streams(SELF, max_streams=3)
    assert not table.adopt(streams)
    assert table.streams == [SELF]


def test_a_node_that_has_met_somebody_takes_no_other_numbers() -> None:
    table = Streams(SELF)
    table.index(B)
    assert not table.adopt([None, A])
    assert table.streams == [SELF, B]


@pytest.mark.parametrize(
    ("new", "old", "wins"),
    [
        ((5, A), (4, B), True),
        ((4, B), (5, A), False),
        ((5, B), (5, A), True),
        ((5, A), (5, B), False),
        ((5, A), (5, A), False),
        ((5, A2), (5, A), True),
        ((5, A), (5, A2), False),
    ],
)
def test_the_later_stamp_wins_then_the_greater_stream(
    new: tuple[int, StreamId], old: tuple[int, StreamId], wins: bool
) -> None:
    """So all nodes decide alike, whatever numbers they gave."""
    for order in ((A, B, A2), (A2, B, A)):
        streams = Streams(SELF)
        indexes = {stream: streams.index(stream) or OWN for stream in order}
        assert streams.wins((new[0], indexes[new[1]]), (old[0], indexes[old[1]])) is wins


some_streams = st.builds(StreamId, st.sampled_from("abc"), st.integers(0, 2))


class StreamsMachine(RuleBasedStateMachine):
    """Against a plain dictionary of rows."""

    def __init__(self) -> None:
        super().__init__()
        self.own = SELF
        self.streams = Streams(SELF, max_streams=6)
        self.rows = {SELF: 0}

    @rule(stream=some_streams, rows=st.integers(0, 2))
    def meet(self, stream: StreamId, rows: int) -> None:
        has_room = self.streams.has_room(stream)
        assert has_room is (stream in self.rows or len(self.rows) < 6)
        index = self.streams.index(stream)
        assert (index is not None) is has_room
        if index is not None:
            self.streams.count(index, rows)
            self.rows[stream] = self.rows.get(stream, 0) + rows

    @precondition(lambda self: len(self.rows) > 1)
    @rule(data=st.data())
    def forget(self, data: st.DataObject) -> None:
        stream = data.draw(st.sampled_from(sorted(self.rows.keys() - {self.own})))
        index = self.streams.find(stream)
        assert index is not None
        self.streams.count(index, -self.rows.pop(stream))
        self.streams.forget(stream)

    @rule()
    def begin_anew(self) -> None:
        before, self.own = self.own, StreamId("self", self.own.incarnation + 1)
        self.streams.replace_own(self.own)
        self.rows[self.own] = self.rows.pop(before)

    @invariant()
    def is_the_same(self) -> None:
        assert {stream for stream in self.streams.streams if stream is not None} == set(self.rows)
        assert len(self.streams) == len(self.rows) <= len(self.streams.streams) <= 6
        assert self.streams.stream(OWN) == self.own
        for stream, rows in self.rows.items():
            assert self.streams.rows(stream) == rows
            index = self.streams.find(stream)
            assert index is not None
            assert self.streams.stream(index) == stream
        for name in ("a", "b", "c", "self"):
            held = sum(rows for stream, rows in self.rows.items() if stream.name == name)
            assert self.streams.rows_of_name(name) == held


TestStreams = StreamsMachine.TestCase
TestStreams.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
