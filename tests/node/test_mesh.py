"""The node's own stream, and what it makes of everybody else's."""

from __future__ import annotations

import pytest

from meshtracker.errors import LinkError, WireError
from meshtracker.model import Event, PeerState
from meshtracker.node.node import Node
from meshtracker.swarm.access import Access
from meshtracker.wire.link import (
    MAX_PAYLOAD_BYTES,
    Batch,
    FrameDecoder,
    FrameType,
    PeerRecord,
    Position,
    decode_batch,
    decode_snapshot_end,
    encode_batch,
    encode_completed,
    encode_group,
    encode_record,
    groups,
    records,
)
from tests.mouth_to_mouth import LOCALHOST6, NOW, WALL_OFFSET_SECONDS, announce, node, rows

WALL_MS = int((NOW + WALL_OFFSET_SECONDS) * 1000)
TORRENT = b"h" * 20


def opened(encoded: bytes) -> tuple[FrameType, bytes]:
    decoder = FrameDecoder()
    decoder.max_payload_bytes = MAX_PAYLOAD_BYTES
    [(kind, payload)] = decoder.feed(encoded)
    return kind, payload


def batch_of(
    *items: PeerRecord | int, origin: str = "x", incarnation: int = 500, sequence: int = 1, base_ms: int = WALL_MS
) -> Batch:
    base = base_ms << 16
    body = b"".join(encode_completed(item) if isinstance(item, int) else encode_record(item, base) for item in items)
    return Batch(origin, incarnation, sequence, base, encode_group(TORRENT, body))


def record_of(client: int = 1, *, stamp_ms: int = WALL_MS, state: int = PeerState.LEECHER) -> PeerRecord:
    return PeerRecord(bytes([client]) * 24, stamp_ms << 16, state, 6, b"" if state == PeerState.REMOVED else b"a" * 6)


def receive(owner: Node, batch: Batch, now: float = NOW) -> int | None:
    return owner.mesh.apply_batch(batch, opened(encode_batch(FrameType.BATCH, batch))[1], now)


def listener_of(**options: object) -> Node:
    """A node that knows of origin x."""
    made = node("n", **options)  # type: ignore[arg-type]
    made.mesh.finish_snapshot("x", Position(500, 0))
    return made


# ---------------------------------------------------------------- its own stream


def test_flush_seals_what_waits_and_an_empty_batch_once_a_heartbeat() -> None:
    owner = node("n")
    woken: list[int] = []
    owner.mesh.on_new_batch = lambda: woken.append(1)
    owner.mesh.flush(NOW)
    for later in (1, 4.9):
        owner.mesh.flush(NOW + later)
    assert owner.mesh.position("n") == (1000, 1)
    owner.mesh.flush(NOW + 5)
    assert owner.mesh.position("n") == (1000, 2)
    announce(owner, 1, NOW + 6)
    owner.mesh.flush(NOW + 6)
    assert owner.mesh.position("n") == (1000, 3)
    assert len(woken) == 3
    sealed = owner.mesh.frame("n", 3)
    assert sealed is not None
    assert len(list(groups(decode_batch(opened(sealed)[1])))) == 1


def test_a_full_batch_is_sealed_at_once() -> None:
    owner = node("n", mesh={"max_batch_bytes": 1000})
    for client in range(100):
        announce(owner, client)
    assert 3 <= owner.mesh.statistics().sealed_batches <= 5


# ---------------------------------------------------------------- snapshots


def pieces_of(owner: Node, origin: str) -> tuple[list[bytes], list[tuple[bytes, PeerRecord | int]], int]:
    """Frames, records and the count at the end."""
    position = owner.mesh.position(origin) or Position(0, 0)
    frames = list(owner.mesh.snapshot(origin, position, NOW))
    found = []
    for encoded in frames[:-1]:
        kind, payload = opened(encoded)
        assert kind is FrameType.SNAPSHOT
        batch = decode_batch(payload)
        found += [(info_hash, record) for info_hash, body in groups(batch) for record in records(body, batch.base)]
    kind, payload = opened(frames[-1])
    assert kind is FrameType.SNAPSHOT_END
    return frames, found, decode_snapshot_end(payload)[2]


def test_a_snapshot_holds_all_rows_of_one_origin() -> None:
    owner = listener_of()
    for client in range(3000):
        announce(owner, client, torrent=client % 5, address=LOCALHOST6, left=client % 2)
    announce(owner, 5, event=Event.STOPPED)
    announce(owner, 9, left=0, event=Event.COMPLETED, torrent=4)
    receive(owner, batch_of(record_of(1), 7))
    frames, found, count = pieces_of(owner, "n")
    assert count == len(found)
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
    steps = list(owner.mesh.snapshot("x", Position(1, 1), NOW))
    # It holds nothing of that origin, and yet pauses while it looks.
    assert len(steps) > 4
    assert receiver.mesh.apply_snapshot(decode_batch(opened(steps[0])[1]), NOW) == 0


# ---------------------------------------------------------------- what comes


def test_batches_come_in_order_and_once() -> None:
    owner = listener_of()
    assert receive(owner, batch_of(record_of(1))) == 1
    assert receive(owner, batch_of(record_of(1))) is None
    assert receive(owner, batch_of(record_of(2), incarnation=499, sequence=9)) is None
    for wrong in (batch_of(sequence=3), batch_of(sequence=1, incarnation=501), batch_of(origin="stranger")):
        with pytest.raises(LinkError):
            receive(owner, wrong)
    assert receive(owner, batch_of(record_of(2), sequence=2)) == 1
    assert owner.mesh.position("x") == (500, 2)
    assert len(rows(owner)) == 2
    assert owner.mesh.statistics().applied_batches == 2
    assert owner.mesh.frame("x", 2) is not None


def test_a_batch_that_is_half_rubbish_is_not_taken_for_known() -> None:
    owner = listener_of()
    whole = batch_of(record_of(1))
    broken = Batch(whole.origin, whole.incarnation, whole.sequence, whole.base, whole.body + b"rubbish")
    with pytest.raises(WireError):
        receive(owner, broken)
    assert owner.mesh.position("x") == (500, 0)
    assert receive(owner, whole) == 1


@pytest.mark.parametrize(("forwards", "limit_seconds"), [(True, 60), (False, 120)])
def test_stamps_from_the_future(forwards: bool, limit_seconds: int) -> None:
    """A leaf takes what a hub whose clock is between its own and the origin's let pass."""
    owner = node("n", forwards=forwards)
    owner.mesh.finish_snapshot("x", Position(500, 0))
    with pytest.raises(LinkError, match="ahead of the clock of n"):
        receive(owner, batch_of(record_of(stamp_ms=WALL_MS + limit_seconds * 1000 + 1)))
    assert owner.mesh.position("x") == (500, 0)
    assert owner.mesh.statistics().future_records == 1
    assert not rows(owner)
    receive(owner, batch_of(record_of(stamp_ms=WALL_MS + limit_seconds * 1000)))
    # A client of this node that says something new now must win everywhere.
    announce(owner, 1, peer_id=b"\1" * 20, info_hash=TORRENT, key=0x01010101, left=0)
    [(_, stamp, state, origin)] = rows(owner).values()
    assert (state, origin) == (PeerState.SEEDER, "n")
    assert stamp > (WALL_MS + limit_seconds * 1000) << 16


def test_what_has_aged_out_does_not_come_back() -> None:
    owner = listener_of()
    old_ms = WALL_MS - 4500 * 1000 - 1
    assert receive(owner, batch_of(record_of(1, stamp_ms=old_ms), record_of(2), base_ms=old_ms)) == 2
    assert len(rows(owner)) == 1
    assert owner.mesh.statistics().stale_records == 1


def test_a_removal_wins_over_an_older_announce_that_comes_later() -> None:
    owner = listener_of()
    receive(owner, batch_of(record_of(1, stamp_ms=WALL_MS + 5, state=PeerState.REMOVED)))
    receive(owner, batch_of(record_of(1, stamp_ms=WALL_MS + 4), sequence=2))
    assert owner.registry.peers == 0
    assert owner.registry.tombstones == 1


def test_a_leaf_drops_what_it_does_not_serve_and_a_hub_does_not() -> None:
    closed = Access("deny", frozenset({TORRENT}))
    for forwards, held in ((False, 0), (True, 1)):
        owner = node("n", forwards=forwards, access=closed)
        owner.mesh.finish_snapshot("x", Position(500, 0))
        assert receive(owner, batch_of(record_of(1), 3)) == 2
        assert len(rows(owner)) == held
        assert owner.mesh.statistics().dropped_records == 2 - 2 * held


def test_swarms_that_a_peer_names_are_bounded() -> None:
    owner = node("n", max_peers=10)
    owner.mesh.finish_snapshot("x", Position(500, 0))
    number = 0
    for sequence in range(1, 20):
        body = b""
        for _ in range(50):
            number += 1
            total = encode_completed(number)
            record = encode_record(record_of(number % 250), WALL_MS << 16)
            body += encode_group(number.to_bytes(20, "big"), total if number % 2 else record)
        receive(owner, Batch("x", 500, sequence, WALL_MS << 16, body))
    # As many with rows, and before them as many that had nothing but a number of downloads.
    assert len(owner.registry.swarms) <= 20


def test_names_that_a_peer_speaks_of_are_bounded() -> None:
    owner = node("n")
    for number in range(399):
        owner.mesh.meet(f"node-{number}")
    owner.mesh.meet("node-0")
    with pytest.raises(WireError):
        owner.mesh.meet("one-too-many")


# ---------------------------------------------------------------- after a restart


def test_resume() -> None:
    owner = node("n")
    owner.mesh.resume({"n": Position(900, 4), "x": Position(500, 3)})
    assert owner.mesh.hello(NOW).previous == (900, 4)
    assert owner.mesh.vector() == {"n": Position(1000, 0), "x": Position(500, 3)}
    assert receive(owner, batch_of(record_of(1), sequence=4)) == 1


def test_what_is_brought_back_goes_out_again_if_it_is_news() -> None:
    owner = node("n")
    earlier = batch_of(record_of(1), 5, origin="n", incarnation=900, sequence=7)
    assert receive(owner, earlier) == 2
    assert owner.mesh.position("n") == (1000, 1)
    sealed = owner.mesh.frame("n", 1)
    assert sealed is not None
    again = decode_batch(opened(sealed)[1])
    assert (again.incarnation, again.sequence, again.body) == (1000, 1, earlier.body)
    # The next peer brings the same.
    owner.mesh.apply_snapshot(earlier, NOW)
    owner.mesh.finish_snapshot("n", Position(900, 7))
    assert owner.mesh.position("n") == (1000, 1)
    assert owner.mesh.hello(NOW).previous is None


def test_rows_of_a_snapshot_that_broke_off_are_still_known_of() -> None:
    owner = node("n")
    owner.mesh.apply_snapshot(batch_of(record_of(1)), NOW)
    assert owner.mesh.vector()["x"] == Position(0, 0)
    owner.mesh.finish_snapshot("x", Position(500, 1))
    assert owner.mesh.vector()["x"] == Position(500, 1)
    owner.mesh.finish_snapshot("x", Position(499, 9))
    assert owner.mesh.vector()["x"] == Position(500, 1)
