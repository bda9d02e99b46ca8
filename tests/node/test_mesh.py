"""The node's own stream, and what it makes of everybody else's."""

from __future__ import annotations

import pytest

from meshtracker.errors import LinkError, WireError
from meshtracker.model import PeerState
from meshtracker.swarm.access import Access
from meshtracker.wire.batch import Batch, decode_batch, encode_completed, encode_group, encode_record, groups, records
from meshtracker.wire.link import MAX_INTEREST
from meshtracker.wire.vector import Position
from tests.mouth_to_mouth import NOW, announce, node, rows
from tests.node.support import TORRENT, WALL_MS, batch_of, listener_of, opened, receive, record_of

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


# ---------------------------------------------------------------- what it tracks


def allow(*torrents: bytes) -> Access:
    return Access("allow", frozenset(torrents))


@pytest.mark.parametrize(
    ("forwards", "access", "interest"),
    [
        (False, allow(TORRENT), {TORRENT}),
        (False, allow(), set()),
        (False, Access(), None),
        (False, Access("deny", frozenset({TORRENT})), None),
        (True, allow(TORRENT), None),
    ],
)
def test_who_is_narrowed(forwards: bool, access: Access, interest: set[bytes] | None) -> None:
    assert node("n", forwards=forwards, access=access).mesh.interest() == interest


def test_a_long_list_is_no_interest() -> None:
    listed = frozenset(number.to_bytes(20, "big") for number in range(MAX_INTEREST))
    assert node("n", access=Access("allow", listed)).mesh.interest() == listed
    assert node("n", access=Access("allow", listed | {TORRENT})).mesh.interest() is None


def test_swarms_are_lacked_until_each_change_was_answered() -> None:
    mesh = node("n", access=allow(TORRENT)).mesh
    whole = mesh.tracks()
    assert mesh.lacks_swarms() == 0
    first, second = mesh.lack_swarms(), mesh.lack_swarms()
    assert mesh.lacks_swarms() == second
    mesh.have_swarms(first, {})
    assert mesh.lacks_swarms() == second
    # A snapshot on disk does not claim what it lacks: after a restart it is lacked still.
    assert mesh.tracks() == b""
    mesh.have_swarms(second, {})
    mesh.have_swarms(first, {})
    assert mesh.lacks_swarms() == 0
    assert mesh.tracks() == whole


def test_what_a_node_tracks_is_told_by_a_digest() -> None:
    one, other = node("a", access=allow(TORRENT)).mesh, node("b", access=allow(TORRENT)).mesh
    assert one.tracks() == other.tracks() != node("c").mesh.tracks()
    other.set_access(Access())
    assert one.tracks() != other.tracks() == node("c").mesh.tracks()
    # A hub takes all, whatever it serves.
    assert node("h", forwards=True, access=allow(TORRENT)).mesh.tracks() == node("c").mesh.tracks()


def test_records_of_another_list_are_dropped_from_then_on() -> None:
    owner = listener_of(access=allow())
    assert receive(owner, batch_of(record_of(1))) == 1
    assert not rows(owner)
    owner.mesh.set_access(allow(TORRENT))
    receive(owner, batch_of(record_of(2), sequence=2))
    assert len(rows(owner)) == 1


# ---------------------------------------------------------------- what comes


def test_batches_come_in_order_and_once() -> None:
    owner = listener_of()
    assert receive(owner, batch_of(record_of(1))) == 1
    assert receive(owner, batch_of(record_of(1))) is None
    assert receive(owner, batch_of(record_of(2), incarnation=499, sequence=9)) is None
    for wrong in (batch_of(sequence=3), batch_of(sequence=1, incarnation=501), batch_of(origin="stranger")):
        with pytest.raises(LinkError) as caught:
            receive(owner, wrong)
        assert caught.value.kind == "gap"
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
    with pytest.raises(LinkError, match="ahead of the clock of n") as caught:
        receive(owner, batch_of(record_of(stamp_ms=WALL_MS + limit_seconds * 1000 + 1)))
    assert owner.mesh.position("x") == (500, 0)
    assert owner.mesh.statistics().future_records == 1
    assert caught.value.kind == "future"
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


def earlier_life_of(*clients: int) -> Batch:
    """Rows of x, whose present life (600) is known."""
    return batch_of(*map(record_of, clients), 3, incarnation=500, sequence=9)


def test_a_hub_passes_on_as_its_own_what_is_news_of_a_stream_that_it_knows() -> None:
    hub = node("hub", forwards=True)
    hub.mesh.finish_snapshot("x", Position(600, 1))
    hub.mesh.apply_snapshot(batch_of(record_of(1), incarnation=600, sequence=2), NOW)
    assert hub.mesh.position("hub") == (1000, 0)

    hub.mesh.apply_snapshot(earlier_life_of(1, 2), NOW)

    frame = hub.mesh.frame("hub", 1)
    assert frame is not None
    batch = decode_batch(opened(frame)[1])
    assert [list(records(body, batch.base)) for _, body in groups(batch)] == [[record_of(2)]]
    assert {row[3] for row in rows(hub).values()} == {"x", "hub"}
    hub.mesh.apply_snapshot(earlier_life_of(1, 2), NOW)
    assert hub.mesh.position("hub") == (1000, 1)


def test_a_leaf_keeps_such_news_to_itself() -> None:
    leaf = node("leaf")
    leaf.mesh.finish_snapshot("x", Position(600, 1))
    leaf.mesh.apply_snapshot(earlier_life_of(1), NOW)
    assert leaf.mesh.position("leaf") == (1000, 0)
    assert {row[3] for row in rows(leaf).values()} == {"x"}
