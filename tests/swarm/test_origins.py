"""Names as small numbers, and who wins."""

from __future__ import annotations

import pytest

from meshtracker.errors import WireError
from meshtracker.swarm.origins import MAX_ORIGINS, Origins
from meshtracker.wire.frame import MAX_PAYLOAD_BYTES
from meshtracker.wire.link import Heartbeat, StreamPlan, encode_burst, encode_heartbeat, encode_knowledge
from meshtracker.wire.vector import MAX_NAME_BYTES, Position


def test_indexes_are_given_at_first_sight() -> None:
    origins = Origins("self")
    assert [origins.index(name) for name in ("b", "self", "a", "b")] == [1, 0, 2, 1]
    assert origins.names == ["self", "b", "a"]


def test_names_are_bounded() -> None:
    origins = Origins("self")
    for number in range(MAX_ORIGINS - 1):
        origins.index(f"n{number}")
    assert origins.index("n5") == 6
    with pytest.raises(WireError, match=str(MAX_ORIGINS)):
        origins.index("one-too-many")
    assert len(origins.names) == MAX_ORIGINS


def test_all_names_there_may_be_fit_the_frames_that_list_them() -> None:
    names = [f"{number:0{MAX_NAME_BYTES}}" for number in range(MAX_ORIGINS)]
    largest = Position((1 << 63) - 1, (1 << 63) - 1)
    plans = [StreamPlan(origin=name, position=largest, after=0, full=True, reason="new incarnation") for name in names]
    assert len(encode_burst(plans)) <= MAX_PAYLOAD_BYTES
    vector = dict.fromkeys(names, largest)
    heartbeat = Heartbeat(clock_ms=0, sent_frames=0, applied_frames=0, vector=vector)
    assert len(encode_heartbeat(heartbeat)) <= MAX_PAYLOAD_BYTES
    assert len(encode_knowledge(vector, everything=True)) <= MAX_PAYLOAD_BYTES


@pytest.mark.parametrize(
    ("new", "old", "wins"),
    [
        ((5, "a"), (4, "b"), True),
        ((4, "b"), (5, "a"), False),
        ((5, "b"), (5, "a"), True),
        ((5, "a"), (5, "b"), False),
        ((5, "a"), (5, "a"), False),
    ],
)
def test_the_later_stamp_wins_then_the_greater_name(new: tuple[int, str], old: tuple[int, str], wins: bool) -> None:
    for names in (("a", "b"), ("b", "a")):
        origins = Origins("self")
        for name in names:
            origins.index(name)
        assert origins.wins((new[0], origins.index(new[1])), (old[0], origins.index(old[1]))) is wins
