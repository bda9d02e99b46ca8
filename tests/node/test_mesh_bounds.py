"""Swarms, rows and streams that a peer names are bounded."""

from __future__ import annotations

import pytest

from meshtracker.errors import CloseCode, LinkError
from meshtracker.model import PeerState
from meshtracker.swarm.completed_table import COMPLETED_TABLE
from meshtracker.swarm.peer_table import PEER_TABLE
from meshtracker.wire.batch import Batch
from meshtracker.wire.completed_record import CompletedRecord, encode_completed
from meshtracker.wire.peer_record import encode_group, encode_record
from meshtracker.wire.vector import Position, StreamId
from tests.mouth_to_mouth import NOW, node, rows
from tests.node.support import WALL_MS, X, batch_of, have, listener_of, receive, record_of


def test_swarms_that_a_peer_names_are_bounded() -> None:
    owner = listener_of(max_peers=10)
    number = 0
    for sequence in range(1, 20):
        peers, completed = b"", b""
        for _ in range(50):
            number += 1
            info_hash = number.to_bytes(20, "big")
            if number % 2:
                completed += encode_completed(CompletedRecord(info_hash, number, WALL_MS))
            else:
                peers += encode_group(info_hash, encode_record(record_of(number % 250), WALL_MS << 16))
        receive(owner, Batch(X, sequence, WALL_MS << 16, ((PEER_TABLE, peers), (COMPLETED_TABLE, completed))))
    assert owner.registry.rows == 10
    assert len(owner.registry.swarms) <= 10


def test_rows_of_one_node_are_bounded() -> None:
    owner = listener_of(max_peers_per_node=3)
    assert receive(owner, batch_of(*map(record_of, range(1, 4))), is_direct=True) == 3
    # Of a relayed one the hub is not to blame: what is known is kept up, and no more is taken.
    later = [record_of(client, stamp_ms=WALL_MS + 1, state=PeerState.SEEDER) for client in range(3, 6)]
    assert receive(owner, batch_of(*later, sequence=2)) == 3
    assert len(rows(owner)) == 3
    assert owner.registry.statistics().refused_full == 2
    # Another life of that name has no room of its own.
    receive(owner, batch_of(record_of(9), stream=StreamId("x", 501)))
    assert len(rows(owner)) == 3
    with pytest.raises(LinkError, match=r"link\.max_peers_per_node") as caught:
        receive(owner, batch_of(record_of(7), sequence=3), is_direct=True)
    assert caught.value.code is CloseCode.FLOOD
    # An empty batch says that its node is alive, which it may.
    assert receive(owner, batch_of(sequence=3), is_direct=True) == 0


@pytest.mark.parametrize("way", ["batches", "pieces of snapshots", "ends of snapshots"])
def test_streams_that_a_peer_names_are_bounded(way: str) -> None:
    """As a session takes them: where there `has_room`. None of these has rows."""
    owner = node("n", max_streams=5)
    for number in range(50):
        stream = StreamId(f"x-{number}", number)
        if not owner.mesh.has_room(stream):
            continue
        match way:
            case "batches":
                receive(owner, batch_of(stream=stream))
            case "pieces of snapshots":
                owner.mesh.apply_rows(batch_of(stream=stream, sequence=0), NOW, is_direct=True, is_part=True)
            case _:
                have(owner, stream, Position(1, 1))
    assert len(owner.mesh.vector()) == 5


def test_streams_that_are_only_announced_leave_nothing_behind() -> None:
    owner = listener_of()
    for number in range(100):
        stream = StreamId("x", 10_000 + number)
        owner.mesh.begin_snapshot(stream)
        owner.mesh.note_rows_beside(stream, NOW)
        assert owner.mesh._copies.find(stream) is None
