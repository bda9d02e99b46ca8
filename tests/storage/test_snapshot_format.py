"""The bytes of a snapshot: round trip, every kind of damage, and a node that changes meanwhile."""

from __future__ import annotations

import struct
from hashlib import blake2b
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtracker.errors import SnapshotDamagedError
from meshtracker.node.mesh import QUIET_SECONDS
from meshtracker.storage import snapshot_format
from meshtracker.storage.snapshot_format import MAX_BLOCK_BYTES, PIECE_BYTES, Snapshot, decode, encode
from meshtracker.swarm.streams import OWN
from meshtracker.wire import bencode
from meshtracker.wire.vector import MAX_NAME_BYTES, MAX_STREAMS, NOWHERE, Position, StreamId, Vector
from tests.storage.support import START, announce, figures, fill, info_hash, make_node, rows, saved, wall_ms, write_as

OWN_STREAM, OTHER = StreamId("a", 7), StreamId("b", 8)
LARGEST = (1 << 64) - 1


def small_snapshot() -> bytes:
    node = make_node("a", 7)
    fill(node, swarms=2, clients=3, now=START)
    write_as(node, 0, OTHER, completed=4)
    node.mesh.flush(START)
    return b"".join(encode(node, START))


SMALL = small_snapshot()


def resealed(body: bytes) -> bytes:
    """With a checksum that holds, so that what lies behind it is tested."""
    return body + blake2b(body, digest_size=32).digest()


def rows_of(snapshot: Snapshot) -> dict[bytes, set[tuple[Any, ...]]]:
    """All peers of a snapshot, as `rows` tells those of a node."""
    return {
        swarm_hash: {
            (row.identity, row.stamp, snapshot.streams[row.origin], row.state, address)
            for pack in swarm.packs()
            for row, address in pack.entries()
        }
        for swarm_hash, swarm in snapshot.swarms.items()
    }


def figures_of(snapshot: Snapshot) -> dict[bytes, dict[str, tuple[int, int, StreamId | None]]]:
    """All completed downloads of a snapshot, as `figures` tells those of a node."""
    return {
        swarm_hash: {
            name: (total, at_ms, snapshot.streams[number]) for name, (total, at_ms, number) in swarm.completed.items()
        }
        for swarm_hash, swarm in snapshot.swarms.items()
        if swarm.completed
    }


def test_round_trip() -> None:
    node = make_node("a", 7)
    fill(node, swarms=3, clients=100, now=START)
    write_as(node, 1, OTHER, completed=4)
    node.mesh.flush(START)
    node.mesh.resume({OTHER: Position(3, LARGEST)}, START)

    snapshot = saved(node, START + 5)

    assert (snapshot.name, snapshot.at_ms) == ("a", wall_ms(START + 5))
    assert snapshot.vector == node.mesh.vector()
    assert snapshot.vector[OTHER] == Position(3, LARGEST)
    assert snapshot.vector[OWN_STREAM].sequence == 1
    assert snapshot.tracks == node.mesh.tracks()
    assert rows_of(snapshot) == rows(node)
    assert figures_of(snapshot) == figures(node)
    assert {key: swarm.counts() for key, swarm in snapshot.swarms.items()} == {
        key: swarm.counts() for key, swarm in node.registry.swarms.items()
    }


def test_the_stream_of_the_node_that_wrote_it_is_the_last() -> None:
    """It is closed, and the first number is that of the stream which the restoring node writes."""
    snapshot = decode(SMALL)
    assert snapshot.streams == (None, OTHER, OWN_STREAM)
    numbers = {row.origin for swarm in snapshot.swarms.values() for pack in swarm.packs() for row, _ in pack.entries()}
    assert numbers == {1, 2}
    assert snapshot.swarms[info_hash(0)].completed == {"a": (1, wall_ms(START), 2), "b": (4, wall_ms(START), 1)}


def test_a_number_that_is_free_is_free_in_the_snapshot() -> None:
    node = make_node("a", 7)
    fill(node, swarms=1, clients=3, now=START)
    for stream in (StreamId("gone", 1), OTHER):
        node.registry.streams.index(stream)
    node.registry.streams.forget(StreamId("gone", 1))
    assert saved(node).streams == (None, None, OTHER, OWN_STREAM)


def test_the_vector_leaves_out_what_is_not_all_here() -> None:
    """A stream whose rows of a table are lacking is not known after a restart either."""
    node = make_node("a", 7)
    node.registry.streams.index(OTHER)
    node.mesh.finish_snapshot(OTHER, Position(5, 6), START, tables=("peers",), replaces=True)
    assert saved(node).vector[OTHER] == NOWHERE
    node.mesh.begin_snapshot(OTHER)
    node.mesh.finish_snapshot(OTHER, Position(5, 6), START, tables=("peers", "completed"), replaces=True)
    assert saved(node).vector[OTHER] == Position(5, 6)


def test_decoded_packs_can_be_used() -> None:
    node = make_node("a", 7)
    fill(node, swarms=1, clients=100, now=START)  # enough for the packs to be indexed
    [swarm] = saved(node).swarms.values()
    for pack in swarm.packs():
        for position, (row, address) in enumerate(pack.entries()):
            assert pack.find(row.identity) == position
            assert pack.find_address(address) == (position if position < pack.live else -1)


def test_an_empty_node() -> None:
    assert saved(make_node("a", 7)).swarms == {}


def test_every_truncation_is_found() -> None:
    for length in range(len(SMALL)):
        with pytest.raises(SnapshotDamagedError):
            decode(SMALL[:length])


def test_every_flipped_bit_is_found() -> None:
    for position in range(len(SMALL)):
        for bit in range(8):
            damaged = bytearray(SMALL)
            damaged[position] ^= 1 << bit
            with pytest.raises(SnapshotDamagedError):
                decode(bytes(damaged))


def test_bytes_after_the_end_are_found() -> None:
    with pytest.raises(SnapshotDamagedError, match="checksum"):
        decode(SMALL + b"\0")
    with pytest.raises(SnapshotDamagedError, match="contradicts itself"):
        decode(resealed(SMALL[:-32] + b"\0"))


def test_another_version_is_named() -> None:
    for version in (1, 3):
        body = SMALL[:-32].replace(b"snapshot 2\n", b"snapshot %d\n" % version, 1)
        with pytest.raises(SnapshotDamagedError, match=f"of version {version}; this release reads version 2"):
            decode(resealed(body))


@given(st.binary(max_size=200))
def test_arbitrary_bytes_raise_no_other_error(data: bytes) -> None:
    for body in (data, b"meshtracker snapshot 2\n" + data):
        with pytest.raises(SnapshotDamagedError):
            decode(resealed(body))


@given(st.integers(0, len(SMALL) - 33), st.integers(1, 255))
def test_contradictions_under_a_right_checksum_raise_no_other_error(position: int, change: int) -> None:
    body = bytearray(SMALL[:-32])
    body[position] ^= change
    try:
        snapshot = decode(resealed(bytes(body)))
    except SnapshotDamagedError:
        return
    for swarm in snapshot.swarms.values():
        swarm.counts()


def test_pieces_are_small_whatever_the_swarm() -> None:
    node = make_node("a", 7)
    fill(node, swarms=1, clients=9000, now=START)
    pieces = list(encode(node, START))
    assert len(pieces) > 2
    assert max(map(len, pieces)) <= PIECE_BYTES
    assert len(decode(b"".join(pieces)).swarms[info_hash(0)].v4) == 9000


def test_the_node_may_change_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot_format, "PIECE_SWARMS", 1)
    node = make_node("a", 7)
    fill(node, swarms=4, clients=3, now=START)
    node.mesh.flush(START)
    vector = node.mesh.vector()
    made = bytearray()
    for count, piece in enumerate(encode(node, START), 1):
        made += piece
        if count == 2:
            announce(node, 0, 77, START + 1)  # written already
            announce(node, 3, 78, START + 1)  # yet to be written
            announce(node, 9, 79, START + 1)  # a new swarm
            node.registry.swarms.pop(info_hash(2))  # expired
            node.registry.streams.index(OTHER)
            node.mesh.flush(START + 1)

    snapshot = decode(bytes(made))

    assert snapshot.vector == vector  # as it was at the start
    assert snapshot.streams == (None, OTHER, OWN_STREAM)
    assert set(snapshot.swarms) == {info_hash(0), info_hash(1), info_hash(3)}
    assert len(snapshot.swarms[info_hash(0)].v4) == 3
    assert len(snapshot.swarms[info_hash(3)].v4) == 4


def test_no_stream_is_forgotten_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its last rows age out after they were copied, and another one must not take its number."""
    monkeypatch.setattr(snapshot_format, "PIECE_SWARMS", 1)
    node = make_node("a", 7)
    fill(node, swarms=3, clients=3, now=START)
    write_as(node, 0, OTHER)
    node.mesh.resume({OTHER: Position(5, 6)}, START)
    before = rows(node)[info_hash(0)]
    later = START + 2 * QUIET_SECONDS
    made = bytearray()
    for count, piece in enumerate(encode(node, START), 1):
        made += piece
        if count == 1:
            held = node.registry.swarms[info_hash(0)]
            for pack in held.packs():
                while len(pack):
                    node.registry.drop(held, pack, 0)
            node.mesh.flush(later)
            assert node.registry.streams.find(OTHER) is not None
            write_as(node, 2, StreamId("late", 9))

    assert rows_of(decode(bytes(made)))[info_hash(0)] == before
    node.mesh.flush(later + 1)
    assert node.registry.streams.find(OTHER) is None


def test_a_snapshot_that_is_given_up_holds_no_stream() -> None:
    node = make_node("a", 7)
    fill(node, swarms=3, clients=3, now=START)
    made = encode(node, START)
    next(made)
    assert node.registry.streams.holds == 1
    # Whoever made it lets go of it.
    del made
    assert node.registry.streams.holds == 0


# ---------------------------------------------------------------- contradictions


def forged(
    *,
    streams: Any = None,
    header: dict[bytes, Any] | None = None,
    swarms: bytes = b"",
    gap: bytes = b"",
    where: int | None = None,
) -> bytes:
    """A snapshot by hand whose checksum holds."""

    def block(value: Any) -> bytes:
        data = bencode.encode(value)
        return struct.pack("!I", len(data)) + data

    fields: dict[Any, Any] = {b"name": b"a", b"at": wall_ms(START), b"vector": [[b"b", 8, 3, 9]], b"tracks": b"x"}
    body = b"meshtracker snapshot 2\n" + block(fields | (header or {})) + swarms + b"\0"
    at = len(body) if where is None else where
    return resealed(body + block([[b"a", 7], [b"b", 8]] if streams is None else streams) + gap + struct.pack("!Q", at))


def test_one_that_is_made_by_hand_is_read() -> None:
    snapshot = decode(forged())
    assert snapshot == Snapshot("a", wall_ms(START), {OTHER: Position(3, 9)}, b"x", (None, OTHER, OWN_STREAM), {})


def swarm_by_hand(index: int, *, is_figure: bool) -> bytes:
    """A swarm with one row, or one figure, of the stream with that number."""
    if is_figure:
        return b"\1" + struct.pack("!20sIIH", b"h" * 20, 0, 0, 1) + struct.pack("!HQQ", index, 3, wall_ms(START))
    row = struct.pack("!24sQHB", b"i" * 24, wall_ms(START) << 16, index, 0)
    return b"\1" + struct.pack("!20sIIH", b"h" * 20, 1, 0, 0) + row + b"\1" * 6


@pytest.mark.parametrize("is_figure", [False, True])
def test_a_row_is_of_a_stream_that_is_listed(is_figure: bool) -> None:
    streams: list[list[Any]] = [[b"a", 7], [], [b"b", 8]]
    for index, stream in ((0, OWN_STREAM), (2, OTHER)):
        snapshot = decode(forged(streams=streams, swarms=swarm_by_hand(index, is_figure=is_figure)))
        [found] = snapshot.swarms.values()
        if is_figure:
            assert figures_of(snapshot) == {b"h" * 20: {stream.name: (3, wall_ms(START), stream)}}
        else:
            assert [snapshot.streams[row.origin] for row, _ in found.v4.entries()] == [stream]
    for index in (1, 4, 65535):
        with pytest.raises(SnapshotDamagedError, match="contradicts itself"):
            decode(forged(streams=streams, swarms=swarm_by_hand(index, is_figure=is_figure)))


@pytest.mark.parametrize(
    "streams",
    [
        pytest.param([], id="none at all"),
        pytest.param({}, id="no list"),
        pytest.param([[], [b"b", 8]], id="no own stream"),
        pytest.param([[b"b", 7]], id="own stream of another name"),
        pytest.param([[b"a", 7], [b"b"]], id="without an incarnation"),
        pytest.param([[b"a", 7], [b"b", 8, 9]], id="of three parts"),
        pytest.param([[b"a", 7], b"b"], id="a name alone"),
        pytest.param([[b"a", 7], [8, 8]], id="a number for a name"),
        pytest.param([[b"a", 7], [b"b", b"8"]], id="a text for an incarnation"),
        pytest.param([[b"a", 7], [b"b", -1]], id="a negative incarnation"),
        pytest.param([[b"a", 7], [b"\xff", 8]], id="a name that is no text"),
        pytest.param([[b"a", 7], [b"a", 7]], id="one twice"),
        pytest.param([[b"a", 7], *[[] for _ in range(MAX_STREAMS)]], id="too many"),
    ],
)
def test_streams_that_cannot_be_are_found(streams: Any) -> None:
    with pytest.raises(SnapshotDamagedError, match="contradicts itself"):
        decode(forged(streams=streams))


@pytest.mark.parametrize(
    "header",
    [
        {b"name": 1},
        {b"name": b"\xff"},
        {b"at": -1},
        {b"at": b"1"},
        {b"vector": {}},
        {b"vector": [[b"b", 8, 3]]},
        {b"vector": [[b"b", 8, 3, 9, 9]]},
        {b"vector": [[b"b", 8, -3, 9]]},
        {b"vector": [[1, 8, 3, 9]]},
        {b"vector": [[b"b", b"8", 3, 9]]},
        {b"tracks": 1},
    ],
)
def test_a_header_that_cannot_be_is_found(header: dict[bytes, Any]) -> None:
    with pytest.raises(SnapshotDamagedError, match="contradicts itself"):
        decode(forged(header=header))


@pytest.mark.parametrize(
    "forgery", [{"gap": b"x"}, {"where": 0}, {"where": 1 << 63}, {"swarms": b"\0"}, {"swarms": b"\2"}]
)
def test_parts_that_do_not_follow_each_other_are_found(forgery: dict[str, Any]) -> None:
    with pytest.raises(SnapshotDamagedError, match="contradicts itself"):
        decode(forged(**forgery))


def test_as_many_streams_as_there_may_be_fit() -> None:
    """With the longest names and the largest numbers."""
    node = make_node("a", 7)
    vector: Vector = {}
    for number in range(MAX_STREAMS - 1):
        stream = StreamId(f"{number:0{MAX_NAME_BYTES}}", LARGEST)
        assert node.registry.streams.index(stream)
        vector[stream] = Position((1 << 63) - 1, LARGEST)
    node.mesh.resume(vector, START)
    pieces = list(encode(node, START))
    snapshot = decode(b"".join(pieces))
    assert snapshot.vector == node.mesh.vector() | vector
    assert len(snapshot.streams) == MAX_STREAMS + 1
    assert max(map(len, pieces)) <= PIECE_BYTES
    assert sum(map(len, pieces)) < MAX_BLOCK_BYTES


def test_a_swarm_is_kept_for_its_figures_alone() -> None:
    node = make_node("a", 7)
    node.registry.merge_completed(info_hash(5), "a", (9, wall_ms(START), OWN))
    snapshot = saved(node)
    assert figures_of(snapshot) == {info_hash(5): {"a": (9, wall_ms(START), OWN_STREAM)}}
    assert snapshot.swarms[info_hash(5)].counts()[2] == 9
