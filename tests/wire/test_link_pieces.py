"""What takes several frames: vectors and interests of many, and what must fit one."""

from __future__ import annotations

import pytest

from meshtracker.wire.link import (
    PIECE_STREAMS,
    Burst,
    Heartbeat,
    Interest,
    InterestChange,
    Knowledge,
    StreamPlan,
    SwarmsEnd,
    encode_burst,
    encode_heartbeat,
    encode_interest,
    encode_knowledge,
    encode_swarms_end,
)
from meshtracker.wire.vector import MAX_NAME_BYTES, Position, StreamId, Vector
from tests.wire.link_support import LIMIT, MAX_MS, WORD, read


def many(count: int) -> Vector:
    """So many streams of the longest names."""
    largest = Position(LIMIT, WORD)
    return {StreamId(f"{number:0{MAX_NAME_BYTES}}", WORD): largest for number in range(count)}


@pytest.mark.parametrize(
    ("count", "sizes"),
    [
        (0, [0]),
        (1, [1]),
        (PIECE_STREAMS, [PIECE_STREAMS]),
        (PIECE_STREAMS + 1, [PIECE_STREAMS, 1]),
        (10_000, [PIECE_STREAMS] * 33 + [100]),
    ],
)
@pytest.mark.parametrize("everything", [False, True])
def test_a_vector_of_many_takes_several_frames(count: int, sizes: list[int], everything: bool) -> None:
    vector = many(count)
    pieces = [read(encoded) for encoded in encode_knowledge(vector, everything=everything)]
    joined: Vector = {}
    for piece in pieces:
        assert isinstance(piece, Knowledge)
        assert piece.everything is everything
        joined |= piece.vector
    assert [len(piece.vector) for piece in pieces if isinstance(piece, Knowledge)] == sizes
    assert [piece.more for piece in pieces if isinstance(piece, Knowledge)] == [True] * (len(sizes) - 1) + [False]
    assert joined == vector


def test_as_many_streams_as_a_piece_may_have_fit_every_frame() -> None:
    vector = many(PIECE_STREAMS)
    plans = [
        StreamPlan(stream=stream, position=position, after=LIMIT, full=True, reason="fell behind", conflict=True)
        for stream, position in vector.items()
    ]
    assert read(encode_burst(plans)) == Burst(tuple(plans))
    heartbeat = Heartbeat(clock_ms=MAX_MS, sent_frames=LIMIT, applied_frames=LIMIT, vector=vector)
    assert read(encode_heartbeat(heartbeat)) == heartbeat


def test_a_swarms_end_tells_as_much_as_fits() -> None:
    assert read(encode_swarms_end(many(2 * PIECE_STREAMS))) == SwarmsEnd(many(2 * PIECE_STREAMS))
    decoded = read(encode_swarms_end(many(10_000)))
    assert isinstance(decoded, SwarmsEnd)
    assert decoded.vector == many(2 * PIECE_STREAMS)


@pytest.mark.parametrize(("count", "sizes"), [(0, [0]), (3276, [3276]), (3277, [3276, 1]), (7000, [3276, 3276, 448])])
def test_an_interest_of_many_takes_several_frames(count: int, sizes: list[int]) -> None:
    info_hashes = tuple(number.to_bytes(20, "big") for number in range(count))
    changes = [read(encoded) for encoded in encode_interest(Interest.FETCH, info_hashes)]
    assert [len(change.info_hashes) for change in changes if isinstance(change, InterestChange)] == sizes
    assert (
        tuple(info_hash for change in changes if isinstance(change, InterestChange) for info_hash in change.info_hashes)
        == info_hashes
    )
