"""A node's own stream: what is sealed in it and when, and what the node says of itself."""

from __future__ import annotations

from meshtracker.model import Event
from meshtracker.swarm.completed_table import COMPLETED_TABLE
from meshtracker.swarm.peer_table import PEER_TABLE
from meshtracker.wire.completed_record import CompletedRecord, completed_records
from meshtracker.wire.peer_record import PeerRecord, groups, records
from meshtracker.wire.vector import BEGINNING, StreamId, chain
from tests.mouth_to_mouth import NOW, announce, node
from tests.node.support import (
    TABLE_NAMES,
    TORRENT,
    WALL_MS,
    batch_of,
    listener_of,
    opened,
    own_position,
    receive,
    record_of,
    sealed,
)


def test_flush_seals_what_waits_and_an_empty_batch_once_a_heartbeat() -> None:
    owner = node("n")
    woken: list[int] = []
    owner.mesh.on_new_batch = lambda: woken.append(1)
    owner.mesh.flush(NOW)
    for later in (1, 4.9):
        owner.mesh.flush(NOW + later)
    assert own_position(owner).sequence == 1
    owner.mesh.flush(NOW + 5)
    assert own_position(owner).sequence == 2
    announce(owner, 1, NOW + 6)
    owner.mesh.flush(NOW + 6)
    assert own_position(owner).sequence == 3
    assert len(woken) == 3
    assert [kind for kind, _ in sealed(owner, 3).sections] == [PEER_TABLE]
    assert sealed(owner, 2).sections == ()


def test_the_digest_of_its_own_stream_is_chained_over_the_payloads() -> None:
    owner = node("n")
    assert own_position(owner) == BEGINNING
    digest = BEGINNING.digest
    for client in range(3):
        announce(owner, client, NOW + client)
        owner.mesh.flush(NOW + client)
        frame = owner.mesh.frame(owner.mesh.own, client + 1)
        assert frame is not None
        digest = chain(digest, opened(frame)[1])
    assert own_position(owner) == (3, digest)


def test_a_full_batch_is_sealed_at_once() -> None:
    owner = node("n", mesh={"max_batch_bytes": 1000})
    for client in range(100):
        announce(owner, client)
    assert 3 <= owner.mesh.statistics().sealed_batches <= 5


def test_a_record_from_before_the_first_of_its_batch_begins_another() -> None:
    """A batch counts stamps from its first record on; one that was stamped over a row from the future may be that."""
    owner = listener_of()
    receive(owner, batch_of(PeerRecord(b"-MT0001-%012d" % 1 + b"\0\0\0e", WALL_MS + 50_000 << 16, 0, 6, b"a" * 6)))
    announce(owner, 1, info_hash=TORRENT, left=0)
    assert owner.mesh.statistics().sealed_batches == 0
    announce(owner, 2, info_hash=TORRENT)
    assert owner.mesh.statistics().sealed_batches == 1
    owner.mesh.flush(NOW)
    stamps = [
        record.stamp >> 16
        for sequence in (1, 2)
        for _, section in sealed(owner, sequence).sections
        for _, body in groups(section)
        for record in records(body, sealed(owner, sequence).base, strict=True)
        if record is not None
    ]
    assert stamps == [WALL_MS + 50_000, WALL_MS]


def test_completed_downloads_go_out_with_the_next_batch_in_a_section_of_their_own() -> None:
    owner = node("n")
    for client in (1, 2):
        announce(owner, client, left=0, event=Event.COMPLETED)
    announce(owner, 3, torrent=5, left=0, event=Event.COMPLETED)
    owner.mesh.flush(NOW)
    (peers, _), (completed, section) = sealed(owner, 1).sections
    assert (peers, completed) == (PEER_TABLE, COMPLETED_TABLE)
    assert list(completed_records(section)) == [
        CompletedRecord(bytes(20), 2, WALL_MS),
        CompletedRecord((5).to_bytes(20), 1, WALL_MS),
    ]
    owner.mesh.flush(NOW + 1)
    assert own_position(owner).sequence == 1


def test_more_completed_downloads_than_fit_one_batch_go_out_with_the_next_ones() -> None:
    owner = node("n", mesh={"max_batch_bytes": 300})
    for torrent in range(40):
        owner.mesh.note_completed(torrent.to_bytes(20), NOW)
    for step in range(10):
        owner.mesh.flush(NOW + step / 10)
    last = own_position(owner).sequence
    found: list[bytes] = []
    for sequence in range(1, last + 1):
        batch = sealed(owner, sequence)
        assert sum(len(section) for _, section in batch.sections) <= 300
        found += [record.info_hash for _, section in batch.sections for record in completed_records(section)]
    assert found == [torrent.to_bytes(20) for torrent in range(40)]


def test_hello_says_what_a_node_has_and_may() -> None:
    owner = node("n", incarnation=42)
    hello = owner.mesh.hello(NOW, versions=(3, 4), capabilities=("new",), may_speak=False)
    assert hello.stream == owner.mesh.own == StreamId("n", 42)
    assert (hello.clock_ms, hello.versions, hello.capabilities) == (WALL_MS, (3, 4), ("new",))
    assert (hello.tables, hello.may_speak, hello.forwards) == (TABLE_NAMES, False, False)


def test_stream_statistics_are_the_vector_for_people() -> None:
    owner = listener_of()
    receive(owner, batch_of(record_of(1), 3))
    [own, of_x] = owner.mesh.stream_statistics()
    assert (own.name, own.sequence, own.rows) == ("n", 0, 0)
    assert (of_x.name, of_x.incarnation, of_x.sequence, of_x.rows) == ("x", f"{500:016x}", 1, 2)
