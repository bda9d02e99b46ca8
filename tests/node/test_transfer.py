"""Snapshots of an origin and whole swarms, as a mesh gives them to its links."""

from __future__ import annotations

from meshtracker.model import Event, PeerState
from meshtracker.node.node import Node
from meshtracker.wire.batch import Batch, PeerRecord, decode_batch, groups, records
from meshtracker.wire.frame import MAX_PAYLOAD_BYTES, FrameType
from meshtracker.wire.vector import Position
from tests.mouth_to_mouth import LOCALHOST6, NOW, announce, node, rows
from tests.node.support import TORRENT, batch_of, listener_of, opened, receive, record_of

Contents = list[tuple[bytes, PeerRecord | int]]
"""Records, each with its info-hash."""


def contents(payload: bytes) -> tuple[Batch, Contents]:
    batch = decode_batch(payload)
    return batch, [(info_hash, record) for info_hash, body in groups(batch) for record in records(body, batch.base)]


def pieces_of(owner: Node, origin: str, interest: set[bytes] | None = None) -> tuple[list[bytes], Contents]:
    """Frames and records of a snapshot."""
    position = owner.mesh.position(origin) or Position(0, 0)
    pieces, found = [], []
    for encoded, count in owner.mesh.snapshot(origin, position, NOW, interest):
        kind, payload = opened(encoded)
        batch, items = contents(payload)
        assert kind is FrameType.SNAPSHOT
        assert (batch.origin, batch.incarnation, batch.sequence) == (origin, *position)
        assert count == len(items)
        pieces.append(encoded)
        found += items
    return pieces, found


def test_a_snapshot_holds_all_rows_of_one_origin() -> None:
    owner = listener_of()
    for client in range(3000):
        announce(owner, client, torrent=client % 5, address=LOCALHOST6, left=client % 2)
    announce(owner, 5, event=Event.STOPPED)
    announce(owner, 9, left=0, event=Event.COMPLETED, torrent=4)
    receive(owner, batch_of(record_of(1), 7))
    frames, found = pieces_of(owner, "n")
    assert len(frames) > 3
    assert max(map(len, frames)) <= MAX_PAYLOAD_BYTES
    peers = {(info_hash, record.identity) for info_hash, record in found if not isinstance(record, int)}
    assert len(peers) == 3000
    assert [record for _, record in found if isinstance(record, int)] == [1]
    assert [record for _, record in pieces_of(owner, "x")[1]] == [7, record_of(1)]


def test_what_is_too_old_is_not_sent() -> None:
    owner = node("n")
    announce(owner, 1, NOW - 4501)
    announce(owner, 2, NOW - 4499)
    assert [record.identity[:20] for _, record in pieces_of(owner, "n")[1] if not isinstance(record, int)] == [
        b"-MT0001-%012d" % 2
    ]


def test_a_snapshot_is_made_in_small_steps() -> None:
    owner = node("n")
    for client in range(20_000):
        announce(owner, client % 5000, torrent=client % 9000, left=1 + client // 9000)
    receiver = listener_of()
    steps = list(owner.mesh.snapshot("x", Position(1, 1), NOW, None))
    # It holds nothing of that origin, and yet pauses while it looks.
    assert len(steps) > 4
    assert receiver.mesh.apply_snapshot(decode_batch(opened(steps[0][0])[1]), NOW) == 0


def test_a_snapshot_of_what_the_peer_tracks() -> None:
    owner = node("n")
    for client in range(300):
        announce(owner, client, torrent=client % 10)
    tracked = {torrent.to_bytes(20, "big") for torrent in (3, 4, 99)}
    _, found = pieces_of(owner, "n", tracked)
    assert {info_hash for info_hash, _ in found} == {torrent.to_bytes(20, "big") for torrent in (3, 4)}
    assert len(found) == 60
    assert pieces_of(owner, "n", set()) == ([], [])


def test_rows_that_come_while_a_snapshot_is_read() -> None:
    """It may or may not hold them; what was there before and stays it holds."""
    owner = node("n")
    for client in range(3000):
        announce(owner, client, torrent=client % 5)
    found = []
    for step, (encoded, _) in enumerate(owner.mesh.snapshot("n", Position(1000, 0), NOW, None)):
        found += [record.identity for _, record in contents(opened(encoded)[1])[1] if isinstance(record, PeerRecord)]
        for client in range(5):
            announce(owner, 5000 + 10 * step + client, torrent=client)
            announce(owner, 100 * client + step, torrent=(100 * client + step) % 5, event=Event.STOPPED)
    assert {identity[:20] for identity in found} >= {b"-MT0001-%012d" % client for client in range(500, 3000)}


def swarms_of(owner: Node, *torrents: bytes) -> list[tuple[Batch, Contents]]:
    frames = [opened(encoded) for encoded in owner.mesh.swarms(torrents, NOW)]
    assert {kind for kind, _ in frames} <= {FrameType.SWARMS}
    return [contents(payload) for _, payload in frames]


def test_swarms_hold_all_rows_of_all_origins() -> None:
    owner = listener_of()
    receive(owner, batch_of(record_of(1), record_of(2, state=PeerState.REMOVED), 7))
    for client in range(700):
        announce(owner, client, info_hash=TORRENT, address=LOCALHOST6 if client % 2 else b"\x7f\0\0\1")
        announce(owner, client, torrent=5)
    announce(owner, 3, info_hash=TORRENT, event=Event.COMPLETED, left=0)
    announce(owner, 4, info_hash=TORRENT, event=Event.STOPPED)
    sent = swarms_of(owner, TORRENT, b"unknown".rjust(20))
    assert {batch.origin for batch, _ in sent} == {"n", "x"}
    assert {(batch.incarnation, batch.sequence) for batch, _ in sent} == {(0, 0)}
    empty = node("e")
    for batch, _ in sent:
        assert len(batch.body) < MAX_PAYLOAD_BYTES / 2
        empty.mesh.apply_snapshot(batch, NOW)
    assert rows(empty) == {key: row for key, row in rows(owner).items() if key[0] == TORRENT}
    # Client 3 has an address in either family.
    assert len(rows(empty)) == 703
    assert empty.scrape([TORRENT]) == owner.scrape([TORRENT])
    # Nobody's stream is any further known for it.
    assert set(empty.mesh.vector().values()) == {Position(0, 0), Position(1000, 0)}
    assert swarms_of(owner) == []


def test_swarms_are_without_what_is_too_old() -> None:
    owner = node("n")
    announce(owner, 1, NOW - 4501)
    announce(owner, 2, NOW - 4499)
    [(_, found)] = swarms_of(owner, bytes(20))
    assert len(found) == 1
