from __future__ import annotations

from hashlib import blake2b

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtracker.errors import SnapshotDamagedError
from meshtracker.storage import snapshot_format
from meshtracker.storage.snapshot_format import PIECE_BYTES, Snapshot, decode, encode
from meshtracker.wire.vector import Position
from tests.storage.support import START, announce, fill, info_hash, make_node


def small_snapshot() -> bytes:
    node = make_node("a", 7)
    fill(node, swarms=2, clients=3, now=START)
    node.mesh.flush(START)
    return b"".join(encode(node))


SMALL = small_snapshot()


def resealed(body: bytes) -> bytes:
    """With a checksum that holds, so that what lies behind it is tested."""
    return body + blake2b(body, digest_size=32).digest()


def contents(snapshot: Snapshot) -> object:
    return {
        swarm_hash: (
            swarm.completed,
            swarm.counts(),
            [(bytes(pack.rows), bytes(pack.addresses)) for pack in swarm.packs()],
        )
        for swarm_hash, swarm in snapshot.swarms.items()
    }


def test_round_trip() -> None:
    node = make_node("a", 7)
    node.registry.origins.index("b")
    fill(node, swarms=3, clients=100, now=START)
    node.mesh.flush(START)
    node.mesh.resume({"b": Position(3, 9)})

    snapshot = decode(b"".join(encode(node)))

    assert (snapshot.name, snapshot.incarnation, snapshot.origins) == ("a", 7, ("a", "b"))
    assert snapshot.vector == {"a": Position(7, 1), "b": Position(3, 9)}
    assert snapshot.tracks == node.mesh.tracks()
    assert contents(snapshot) == contents(Snapshot("a", 7, {}, b"", (), node.registry.swarms))


def test_decoded_packs_can_be_used() -> None:
    node = make_node("a", 7)
    fill(node, swarms=1, clients=100, now=START)  # enough for the packs to be indexed
    [swarm] = decode(b"".join(encode(node))).swarms.values()
    for pack in swarm.packs():
        for position, (row, address) in enumerate(pack.entries()):
            assert pack.find(row.identity) == position
            assert pack.find_address(address) == (position if position < pack.live else -1)


def test_an_empty_node() -> None:
    assert decode(b"".join(encode(make_node("a", 7)))).swarms == {}


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
    with pytest.raises(SnapshotDamagedError, match="after its end"):
        decode(resealed(SMALL[:-32] + b"\0"))


def test_another_version_is_named() -> None:
    body = SMALL[:-32].replace(b"snapshot 1\n", b"snapshot 2\n", 1)
    with pytest.raises(SnapshotDamagedError, match="of version 2; this release reads version 1"):
        decode(resealed(body))


@given(st.binary(max_size=200))
def test_arbitrary_bytes_raise_no_other_error(data: bytes) -> None:
    for body in (data, b"meshtracker snapshot 1\n" + data):
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
    pieces = list(encode(node))
    assert len(pieces) > 2
    assert max(map(len, pieces)) <= PIECE_BYTES
    assert len(decode(b"".join(pieces)).swarms[info_hash(0)].v4) == 9000


def test_the_node_may_change_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot_format, "PIECE_SWARMS", 1)
    node = make_node("a", 7)
    fill(node, swarms=4, clients=3, now=START)
    node.mesh.flush(START)
    made = bytearray()
    for count, piece in enumerate(encode(node), 1):
        made += piece
        if count == 2:
            announce(node, 0, 77, START + 1)  # written already
            announce(node, 3, 78, START + 1)  # yet to be written
            announce(node, 9, 79, START + 1)  # a new swarm
            node.registry.swarms.pop(info_hash(2))  # expired
            node.registry.origins.index("late")
            node.mesh.flush(START + 1)

    snapshot = decode(bytes(made))

    assert snapshot.vector == {"a": Position(7, 1)}  # as it was at the start
    assert snapshot.origins == ("a", "late")
    assert set(snapshot.swarms) == {info_hash(0), info_hash(1), info_hash(3)}
    assert len(snapshot.swarms[info_hash(0)].v4) == 3
    assert len(snapshot.swarms[info_hash(3)].v4) == 4
