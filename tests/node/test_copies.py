"""What a node remembers of a stream besides its position: what came without its batches, and what accounts for it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtracker.node.copies import Copies, Copy
from meshtracker.wire.vector import StreamId

X, Y = StreamId("x", 1), StreamId("y", 2)
stamps = st.integers(1, 100)


def test_a_record_lives_until_its_stream_is_forgotten() -> None:
    copies = Copies()
    assert copies.find(X) is None
    copies.of(X).is_narrowed = True
    assert copies.of(X) is copies.find(X)
    assert copies.any_narrowed()
    copies.forget(X)
    copies.forget(Y)
    assert copies.find(X) is None
    assert not copies.any_narrowed()


def test_streams_that_lack_rows_of_a_table() -> None:
    copies = Copies()
    copies.of(X).lacking = frozenset({"notes", "peers"})
    copies.of(Y).lacking = frozenset({"peers"})
    assert list(copies.lacking(("notes", "completed"))) == [X]
    assert list(copies.lacking(("peers",))) == [X, Y]
    assert list(copies.lacking(())) == []


@given(st.lists(stamps, min_size=1), stamps)
def test_rows_beside_a_stream_are_accounted_for_by_what_is_stamped_as_late(came: list[int], accounted: int) -> None:
    copies = Copies()
    copy = copies.of(X)
    for number, stamp in enumerate(came):
        copy.extend(stamp, float(number))
    assert (copy.reach, copy.reached_at) == (max(came), len(came) - 1)
    assert list(copies.untold()) == [X]
    copy.account_for(accounted)
    assert copy.reach == (max(came) if accounted < max(came) else 0)
    assert list(copies.untold()) == [X] * (copy.reach > 0)


@pytest.mark.parametrize(("later", "is_untold"), [(5, False), (6, True)])
def test_what_the_digest_tells_of_is_told_once(later: int, is_untold: bool) -> None:
    copies = Copies()
    copy = copies.of(X)
    copy.extend(5, 0.0)
    copy.told = copy.reach
    assert list(copies.untold()) == []
    copy.extend(later, 1.0)
    assert list(copies.untold()) == [X] * is_untold
    # The digest of the next batch does not tell of what it does not account for.
    copy.account_for(later - 1)
    assert list(copies.untold()) == [X]


def test_nothing_is_known_of_a_new_record() -> None:
    assert Copy() == Copies().of(X)
