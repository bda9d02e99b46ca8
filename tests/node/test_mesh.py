"""The node's own stream, and what it makes of everybody else's."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtracker.errors import CloseCode, LinkError, WireError
from meshtracker.model import Event, PeerState
from meshtracker.node.mesh import ANEW_SECONDS, DIRECT_MARGIN, QUIET_SECONDS, RELAYED_MARGIN
from meshtracker.node.node import Node
from meshtracker.swarm.access import Access
from meshtracker.swarm.completed_table import COMPLETED_TABLE
from meshtracker.swarm.peer_table import PEER_TABLE
from meshtracker.wire.batch import DIGEST_SECTION, Batch, Section, decode_batch, encode_batch
from meshtracker.wire.completed_record import CompletedRecord, completed_records, encode_completed
from meshtracker.wire.frame import FrameType
from meshtracker.wire.link import MAX_INTEREST
from meshtracker.wire.peer_record import PeerRecord, encode_group, encode_record, groups, records
from meshtracker.wire.vector import BEGINNING, NOWHERE, Position, StreamId, chain, differ
from tests.mouth_to_mouth import NOW, announce, node, rows, settle, synced
from tests.node.support import TABLE_NAMES, TORRENT, WALL_MS, X, batch_of, have, listener_of, opened, receive, record_of

MAX_FUTURE_MS = 60_000
"""`MeshPolicy.max_future_seconds` by default."""
UNKNOWN = 77
"""Kind of a table that nobody has."""


def sealed(owner: Node, sequence: int) -> Batch:
    """A batch of a node's own stream."""
    frame = owner.mesh.frame(owner.mesh.own, sequence)
    assert frame is not None
    return decode_batch(opened(frame)[1])


def own_position(owner: Node) -> Position:
    """How far a node's own stream is."""
    position = owner.mesh.position(owner.mesh.own)
    assert position is not None
    return position


# ---------------------------------------------------------------- its own stream


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


@pytest.mark.parametrize(
    ("forwards", "access", "whole"),
    [
        (True, allow(TORRENT), True),
        (False, Access(), True),
        (False, allow(TORRENT), False),
        (False, Access("deny", frozenset({TORRENT})), False),
    ],
)
def test_who_keeps_all_that_it_is_sent(forwards: bool, access: Access, whole: bool) -> None:
    owner = node("n", forwards=forwards, access=access)
    assert owner.mesh.is_whole is whole
    lacked = owner.mesh.lack_swarms()
    assert owner.mesh.is_whole is forwards
    owner.mesh.have_swarms(lacked, {})
    assert owner.mesh.is_whole is whole


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


@pytest.mark.parametrize(("known", "has"), [(None, False), (2, False), (3, True), (4, True)])
def test_a_hub_that_knew_less_does_not_make_up_for_what_is_lacked(known: int | None, has: bool) -> None:
    owner = node("n")
    have(owner, X, Position(3, 9))
    lacked = owner.mesh.lack_swarms()
    owner.mesh.have_swarms(lacked, {} if known is None else {X: Position(known, 0)})
    assert (owner.mesh.lacks_swarms() == 0) is has


def test_of_a_stream_that_was_forgotten_meanwhile_nothing_is_lacked() -> None:
    owner = node("n")
    have(owner, X, Position(3, 9))
    lacked = owner.mesh.lack_swarms()
    owner.mesh.flush(NOW + 2 * QUIET_SECONDS)
    assert owner.mesh.position(X) is None
    owner.mesh.have_swarms(lacked, {})
    assert owner.mesh.lacks_swarms() == 0


def test_what_a_node_tracks_is_told_by_a_digest() -> None:
    one, other = node("a", access=allow(TORRENT)).mesh, node("b", access=allow(TORRENT)).mesh
    assert one.tracks() == other.tracks() != node("c").mesh.tracks()
    other.set_access(Access())
    assert one.tracks() != other.tracks() == node("c").mesh.tracks()
    # A hub takes all, whatever it serves.
    assert node("h", forwards=True, access=allow(TORRENT)).mesh.tracks() == node("c").mesh.tracks()


def test_records_of_another_list_are_dropped_from_then_on() -> None:
    owner = listener_of(access=allow())
    assert receive(owner, batch_of(record_of(1), 3)) == 2
    assert not rows(owner)
    assert owner.registry.completions == 0
    owner.mesh.set_access(allow(TORRENT))
    receive(owner, batch_of(record_of(2), 3, sequence=2))
    assert len(rows(owner)) == 1
    assert owner.registry.completions == 1


def told(digest: int, content: Batch) -> Batch:
    """A batch as a hub sends it of which it has left something out."""
    return Batch(
        content.stream, content.sequence, content.base, ((DIGEST_SECTION, digest.to_bytes(8)), *content.sections)
    )


def test_who_is_sent_parts_of_batches_has_their_digests_from_its_hub() -> None:
    owner = listener_of(access=allow(TORRENT))
    receive(owner, told(77, batch_of(record_of(1))))
    assert owner.mesh.position(X) == Position(1, 77)
    assert owner.mesh.digest_at(X, 1) == 77
    # A batch of which nothing was left out speaks for itself.
    receive(owner, batch_of(record_of(2), sequence=2))
    assert owner.mesh.position(X) == Position(
        2, chain(77, opened(encode_batch(FrameType.BATCH, batch_of(record_of(2), sequence=2)))[1])
    )
    assert owner.mesh.statistics().unknown_sections == 0
    # What it tracks later changes nothing of what it knows.
    before = owner.mesh.vector()
    owner.mesh.set_access(Access())
    assert owner.mesh.vector() == before


@pytest.mark.parametrize("digest", [b"", bytes(7), bytes(9)])
def test_a_digest_of_another_length_is_none(digest: bytes) -> None:
    owner = listener_of(access=allow(TORRENT))
    batch = Batch(X, 1, WALL_MS << 16, ((DIGEST_SECTION, digest),))
    receive(owner, batch)
    payload = opened(encode_batch(FrameType.BATCH, batch))[1]
    assert owner.mesh.position(X) == Position(1, chain(BEGINNING.digest, payload))


def test_who_is_sent_whole_batches_takes_nobodys_word_for_their_digests() -> None:
    owner = listener_of()
    batch = told(77, batch_of(record_of(1)))
    receive(owner, batch)
    payload = opened(encode_batch(FrameType.BATCH, batch))[1]
    assert owner.mesh.position(X) == Position(1, chain(BEGINNING.digest, payload))


# ---------------------------------------------------------------- what comes


def test_batches_come_in_order_and_once() -> None:
    owner = listener_of()
    assert receive(owner, batch_of(record_of(1))) == 1
    assert receive(owner, batch_of(record_of(1))) is None
    with pytest.raises(LinkError) as caught:
        receive(owner, batch_of(sequence=3))
    assert caught.value.code is CloseCode.GAP
    assert receive(owner, batch_of(record_of(2), sequence=2)) == 1
    assert len(rows(owner)) == 2
    assert owner.mesh.statistics().applied_batches == 2
    frame = owner.mesh.frame(X, 2)
    assert frame is not None
    assert opened(frame) == opened(encode_batch(FrameType.BATCH, batch_of(record_of(2), sequence=2)))
    digest = BEGINNING.digest
    for sequence in (1, 2):
        digest = chain(digest, opened(owner.mesh.frame(X, sequence) or b"")[1])
    assert owner.mesh.position(X) == (2, digest)


def test_two_lives_of_one_name_are_two_streams() -> None:
    """Neither is the later one: incarnations are not compared."""
    owner = listener_of()
    receive(owner, batch_of(record_of(1)))
    for incarnation in (499, 501):
        stream = StreamId("x", incarnation)
        receive(owner, batch_of(record_of(incarnation - 490), stream=stream))
        assert owner.mesh.rows(stream) == 1
    assert owner.mesh.rows(X) == 1
    assert {stream for stream in owner.mesh.vector() if stream.name == "x"} == {
        X,
        StreamId("x", 499),
        StreamId("x", 501),
    }


def test_a_stream_that_is_not_known_is_taken_up_at_its_first_batch() -> None:
    owner = node("n")
    with pytest.raises(LinkError, match="batch 9 of x came after 0") as caught:
        receive(owner, batch_of(record_of(1), sequence=9))
    assert caught.value.code is CloseCode.GAP
    assert owner.mesh.position(X) is None
    first = batch_of(record_of(2))
    assert receive(owner, first) == 1
    payload = opened(encode_batch(FrameType.BATCH, first))[1]
    assert owner.mesh.position(X) == Position(1, chain(BEGINNING.digest, payload))


def test_a_stream_that_was_forgotten_is_taken_up_where_it_was() -> None:
    owner = node("n")
    have(owner, X, Position(8, 88))
    assert not owner.mesh.has_forgotten(X)
    owner.mesh.flush(NOW + QUIET_SECONDS + 1)
    assert owner.mesh.position(X) is None
    assert owner.mesh.has_forgotten(X)
    for sequence in (1, 8):
        assert receive(owner, batch_of(record_of(1), sequence=sequence)) is None
    with pytest.raises(LinkError, match="batch 10 of x came after 8"):
        receive(owner, batch_of(record_of(1), sequence=10))
    assert owner.mesh.position(X) is None
    following = batch_of(record_of(1), sequence=9)
    assert receive(owner, following) == 1
    assert owner.mesh.position(X) == Position(9, chain(88, opened(encode_batch(FrameType.BATCH, following))[1]))
    assert not owner.mesh.has_forgotten(X)


def test_a_batch_that_is_half_rubbish_is_not_taken_for_known() -> None:
    owner = listener_of()
    whole = batch_of(record_of(1))
    [(kind, section)] = whole.sections
    with pytest.raises(WireError):
        receive(owner, Batch(X, 1, whole.base, ((kind, section + b"rubbish"),)), is_direct=True)
    assert owner.mesh.position(X) == BEGINNING
    assert receive(owner, whole, is_direct=True) == 1


def test_a_relayed_section_that_cannot_be_read_is_passed_over_and_passed_on() -> None:
    """The hub on the way may have no such table, so it is not to blame."""
    owner = listener_of(forwards=True)
    damaged = batch_of(record_of(1), others=((COMPLETED_TABLE, b"rubbish"),))
    assert receive(owner, damaged) == 1
    assert len(rows(owner)) == 1
    assert owner.mesh.statistics().left_out_records == 1
    assert opened(owner.mesh.frame(X, 1) or b"")[1] == opened(encode_batch(FrameType.BATCH, damaged))[1]


def test_a_record_with_an_address_that_no_peer_can_have() -> None:
    impossible = PeerRecord(b"i" * 24, WALL_MS << 16, 0, 6, b"\xe0\0\0\1\x1a\xe1")
    owner = listener_of()
    with pytest.raises(WireError, match="an address that no peer can have"):
        receive(owner, batch_of(record_of(1), impossible), is_direct=True)
    assert not rows(owner)
    assert receive(owner, batch_of(record_of(1), impossible)) == 2
    assert len(rows(owner)) == 1
    assert owner.mesh.statistics().left_out_records == 1


@pytest.mark.parametrize("items", [(record_of(1),), (7,)], ids=["peers", "completed"])
def test_a_node_that_stamps_its_own_records_far_ahead_is_refused(items: tuple[PeerRecord | int, ...]) -> None:
    margin_ms = DIRECT_MARGIN * MAX_FUTURE_MS
    owner = listener_of()

    def ahead(milliseconds: int) -> Batch:
        moved = [record_of(1, stamp_ms=WALL_MS + milliseconds) if isinstance(i, PeerRecord) else i for i in items]
        return batch_of(*moved, at_ms=WALL_MS + milliseconds)

    with pytest.raises(LinkError, match="x stamps its records 120 s ahead of the clock of n") as caught:
        receive(owner, ahead(margin_ms + 1), is_direct=True)
    assert caught.value.code is CloseCode.FUTURE
    assert owner.mesh.position(X) == BEGINNING
    assert owner.mesh.statistics().future_records == 1
    assert owner.registry.rows == 0
    assert receive(owner, ahead(margin_ms), is_direct=True) == 1
    assert owner.registry.rows == 1


@pytest.mark.parametrize("forwards", [True, False])
def test_relayed_records_that_are_stamped_far_ahead_are_left_out_and_the_link_stays(forwards: bool) -> None:
    margin_ms = RELAYED_MARGIN * MAX_FUTURE_MS
    owner = listener_of(forwards=forwards)
    batch = batch_of(
        record_of(1), record_of(2, stamp_ms=WALL_MS + margin_ms), record_of(3, stamp_ms=WALL_MS + margin_ms + 1)
    )
    assert receive(owner, batch) == 3
    assert {identity[0] for _, _, identity in rows(owner)} == {1, 2}
    figures = owner.mesh.statistics()
    assert (figures.future_records, figures.stale_records) == (1, 1)
    # It is known all the same, and others may judge for themselves.
    position = owner.mesh.position(X)
    assert position is not None
    assert position.sequence == 1
    receive(owner, batch_of(5, sequence=2, at_ms=WALL_MS + margin_ms + 1))
    assert owner.registry.completions == 0
    receive(owner, batch_of(5, sequence=3, at_ms=WALL_MS + margin_ms))
    assert owner.registry.completions == 1


def test_rows_of_a_snapshot_are_judged_like_batches() -> None:
    owner = node("n")
    far = WALL_MS + DIRECT_MARGIN * MAX_FUTURE_MS + 1
    with pytest.raises(LinkError) as caught:
        owner.mesh.apply_rows(batch_of(record_of(1, stamp_ms=far), sequence=0), NOW, is_direct=True)
    assert caught.value.code is CloseCode.FUTURE
    assert owner.mesh.position(X) is None
    assert owner.mesh.apply_rows(batch_of(record_of(1, stamp_ms=far), sequence=0), NOW, is_direct=False) == (1, 1)
    # How many records there were, and how many of them were news.
    again = batch_of(record_of(1, stamp_ms=far), record_of(2), sequence=0)
    assert owner.mesh.apply_rows(again, NOW, is_direct=False) == (2, 1)
    assert len(rows(owner)) == 2


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
        owner = listener_of(forwards=forwards, access=closed)
        assert receive(owner, batch_of(record_of(1), 3)) == 2
        assert len(rows(owner)) == owner.registry.completions == held
        assert owner.mesh.statistics().dropped_records == 2 - 2 * held


def test_sections_of_unknown_tables_are_relayed_unread_and_counted() -> None:
    owner = listener_of(forwards=True)
    batch = batch_of(record_of(1), others=((UNKNOWN, b"no table here can read this"), (UNKNOWN + 1, b"")))
    for is_direct, sequence in ((True, 1), (False, 2)):
        sent = Batch(X, sequence, batch.base, batch.sections)
        assert receive(owner, sent, is_direct=is_direct) == 1
        assert opened(owner.mesh.frame(X, sequence) or b"") == opened(encode_batch(FrameType.BATCH, sent))
    assert owner.mesh.statistics().unknown_sections == 4
    assert len(rows(owner)) == 1


def test_sections_of_unknown_tables_come_through_a_hub_to_a_node_that_may_know_them() -> None:
    hub, other = node("hub", forwards=True), node("other")
    link = synced(other, hub)
    receive(hub, batch_of(record_of(1)))
    settle(link)
    sent = batch_of(sequence=2, others=((UNKNOWN, b"of a later release"),))
    receive(hub, sent)
    settle(link)
    assert decode_batch(opened(other.mesh.frame(X, 2) or b"")[1]) == sent
    assert other.mesh.statistics().unknown_sections == 1


def test_rows_of_a_table_that_their_sender_lacks_are_lacking_here() -> None:
    owner = node("n")
    owner.mesh.finish_snapshot(X, Position(5, 9), NOW, tables=("peers",), replaces=False)
    assert owner.mesh.vector_for(("peers",))[X] == Position(5, 9)
    # To a node that has that table the stream is not known: it sends all of it.
    assert owner.mesh.vector_for(TABLE_NAMES)[X] == NOWHERE
    assert owner.mesh.vector()[X] == Position(5, 9)
    owner.mesh.finish_snapshot(X, Position(5, 9), NOW, tables=TABLE_NAMES, replaces=False)
    assert owner.mesh.vector_for(TABLE_NAMES)[X] == Position(5, 9)


def test_of_a_stream_with_records_that_have_aged_out_nothing_is_missing() -> None:
    owner = listener_of()
    at_ms = WALL_MS - 4_500_001
    receive(owner, batch_of(record_of(1, stamp_ms=at_ms), record_of(2), base_ms=at_ms))
    assert owner.mesh.vector_for(TABLE_NAMES)[X] == owner.mesh.position(X)
    assert len(rows(owner)) == 1


def test_of_a_stream_some_records_of_which_are_from_the_future_all_is_asked_for_anew() -> None:
    """This clock or another was wrong: what was left out may be right when the link is made anew."""
    owner = listener_of()
    at_ms = WALL_MS + RELAYED_MARGIN * MAX_FUTURE_MS + 1
    receive(owner, batch_of(record_of(1, stamp_ms=at_ms), record_of(2), base_ms=min(at_ms, WALL_MS)))
    position = owner.mesh.position(X)
    assert position is not None
    assert position.sequence == 1
    assert owner.mesh.vector()[X] == position
    assert owner.mesh.vector_for(TABLE_NAMES)[X] == NOWHERE
    owner.mesh.begin_snapshot(X)
    owner.mesh.apply_rows(batch_of(record_of(2), sequence=0), NOW, is_direct=False)
    have(owner, X, Position(1, position.digest))
    assert owner.mesh.vector_for(TABLE_NAMES)[X] == position


def test_a_snapshot_that_breaks_off_does_not_bring_what_was_left_out() -> None:
    owner = listener_of()
    receive(owner, batch_of(record_of(1, stamp_ms=WALL_MS + RELAYED_MARGIN * MAX_FUTURE_MS + 1)))
    owner.mesh.begin_snapshot(X)
    owner.mesh.apply_rows(batch_of(record_of(2), sequence=0), NOW, is_direct=False)
    # The link is cut here: at the next one all is to be asked for again.
    assert owner.mesh.vector_for(TABLE_NAMES)[X] == NOWHERE


def test_rows_beside_a_stream_change_its_digest_so_that_others_are_sent_them() -> None:
    owner = listener_of()
    receive(owner, batch_of(record_of(1)))
    before, change = owner.mesh.position(X), owner.mesh.changed_after(0)[0]
    owner.mesh.note_rows_beside(X, NOW, at_once=True)
    after = owner.mesh.position(X)
    assert before is not None
    assert after is not None
    assert after.sequence == before.sequence
    assert differ(after.digest, before.digest)
    assert [stream for stream, _ in owner.mesh.changed_after(change)[1]] == [X]
    # Two that took in the same have the same digest.
    other = listener_of()
    receive(other, batch_of(record_of(1)))
    other.mesh.note_rows_beside(X, NOW, at_once=True)
    assert other.mesh.position(X) == after
    # Of one that was all unknown it can be told too.
    unread = StreamId("unread", 1)
    have(owner, unread, NOWHERE)
    owner.mesh.note_rows_beside(unread, NOW, at_once=True)
    position = owner.mesh.position(unread)
    assert position is not None
    assert position.sequence == 0
    assert position.digest not in (0, BEGINNING.digest)
    owner.mesh.note_rows_beside(StreamId("stranger", 1), NOW, at_once=True)
    assert owner.mesh.position(StreamId("stranger", 1)) is None


def test_a_node_that_is_not_whole_tells_of_no_rows_beside_a_stream() -> None:
    owner = listener_of(access=allow(TORRENT))
    receive(owner, batch_of(record_of(1)))
    before = owner.mesh.position(X)
    owner.mesh.note_rows_beside(X, NOW, at_once=True)
    assert owner.mesh.position(X) == before


def test_rows_that_the_streams_own_node_may_be_about_to_complete_are_told_of_once_it_is_silent() -> None:
    owner = listener_of()
    receive(owner, batch_of(record_of(1)))
    before = owner.mesh.position(X)
    owner.mesh.note_rows_beside(X, NOW, at_once=False)
    owner.mesh.flush(NOW + QUIET_SECONDS - 1)
    assert owner.mesh.position(X) == before
    owner.mesh.flush(NOW + QUIET_SECONDS + 1)
    after = owner.mesh.position(X)
    assert before is not None
    assert after is not None
    assert after.sequence == before.sequence
    assert differ(after.digest, before.digest)
    # Once.
    owner.mesh.flush(NOW + 3 * QUIET_SECONDS)
    assert owner.mesh.position(X) == after


def test_rows_of_a_stream_that_is_sent_whole_meanwhile_are_beside_nothing() -> None:
    owner = listener_of()
    receive(owner, batch_of(record_of(1)))
    owner.mesh.note_rows_beside(X, NOW, at_once=False)
    have(owner, X, Position(4, 44))
    owner.mesh.flush(NOW + 2 * QUIET_SECONDS)
    assert owner.mesh.position(X) == Position(4, 44)


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


# ---------------------------------------------------------------- all or nothing


def state_of(owner: Node) -> tuple[Any, ...]:
    """All that a batch may change."""
    completed = {
        info_hash: dict(swarm.completed) for info_hash, swarm in owner.registry.swarms.items() if swarm.completed
    }
    log = owner.mesh.logs
    return (
        owner.mesh.vector(),
        rows(owner),
        completed,
        owner.registry.statistics(),
        log.statistics(NOW),
        log.changes,
        owner.registry.streams.streams[:],
        owner.mesh.statistics().applied_batches,
    )


_DAMAGED = st.one_of(
    st.binary(max_size=80),
    st.integers(0, 60).map(lambda cut: batch_of(record_of(2), record_of(3)).sections[0][1][:cut]),
    st.just(batch_of(record_of(2)).sections[0][1] + b"\0"),
)
_SECTIONS: st.SearchStrategy[list[Section]] = st.lists(
    st.one_of(
        st.tuples(st.sampled_from((PEER_TABLE, COMPLETED_TABLE, UNKNOWN)), _DAMAGED),
        st.sampled_from(batch_of(record_of(2), record_of(3, stamp_ms=WALL_MS + 10**6), 4, 5).sections),
        st.sampled_from(batch_of(9, at_ms=WALL_MS + 10**6).sections),
    ),
    max_size=4,
)


@given(
    sections=_SECTIONS,
    sequence=st.integers(1, 5),
    stream=st.sampled_from((X, StreamId("x", 501), StreamId("n", 4))),
    is_direct=st.booleans(),
    as_rows=st.booleans(),
    exhausted=st.booleans(),
)
def test_a_batch_that_is_not_taken_changes_nothing_at_all(
    sections: list[Section], sequence: int, stream: StreamId, is_direct: bool, as_rows: bool, exhausted: bool
) -> None:
    owner = listener_of(max_peers_per_node=1 if exhausted else 1000)
    receive(owner, batch_of(record_of(1)))
    before = state_of(owner)
    batch = Batch(stream, sequence, WALL_MS << 16, tuple(sections))
    try:
        if as_rows:
            taken: int | None = owner.mesh.apply_rows(batch, NOW, is_direct=is_direct)[0]
        else:
            taken = receive(owner, batch, is_direct=is_direct)
    except (LinkError, WireError):
        taken = None
    if taken is None:
        assert state_of(owner) == before
    elif not as_rows:
        position = owner.mesh.position(stream)
        assert position is not None
        assert position.sequence == sequence


# ---------------------------------------------------------------- streams that come and go


def test_a_stream_without_rows_is_forgotten_once_it_is_quiet_and_its_index_is_used_again() -> None:
    owner = listener_of()
    receive(owner, batch_of(record_of(1), record_of(2)))
    gone = StreamId("gone", 7)
    receive(owner, batch_of(record_of(3), stream=gone))
    index = owner.registry.streams.find(gone)
    assert index is not None
    # All its clients are another node's now.
    receive(owner, batch_of(record_of(3, stamp_ms=WALL_MS + 1), sequence=2))
    assert owner.mesh.rows(gone) == 0
    owner.mesh.flush(NOW + QUIET_SECONDS)
    assert owner.mesh.position(gone) is not None
    owner.mesh.flush(NOW + QUIET_SECONDS + 1.1)
    assert owner.mesh.position(gone) is None
    assert owner.registry.streams.find(gone) is None
    # It has rows, and stays although it is quiet.
    assert owner.mesh.position(X) is not None
    later = StreamId("later", 8)
    receive(owner, batch_of(record_of(4), stream=later), NOW + QUIET_SECONDS + 2)
    assert owner.registry.streams.find(later) == index
    assert {row[3] for row in rows(owner).values()} == {"x", "later"}
    assert owner.mesh.statistics().streams == 3


def test_a_stream_without_rows_that_grows_is_kept() -> None:
    owner = listener_of()
    for step in range(30):
        now = NOW + 5.0 * (step + 1)
        receive(owner, batch_of(sequence=step + 1), now)
        owner.mesh.flush(now)
    assert owner.mesh.position(X) is not None


def test_no_stream_is_forgotten_while_a_snapshot_is_written_that_holds_its_number() -> None:
    owner = listener_of()
    owner.registry.streams.holds += 1
    owner.mesh.flush(NOW + 2 * QUIET_SECONDS)
    assert owner.mesh.position(X) is not None
    owner.registry.streams.holds -= 1
    owner.mesh.flush(NOW + 2 * QUIET_SECONDS + 1.1)
    assert owner.mesh.position(X) is None


def test_its_own_stream_is_never_forgotten() -> None:
    owner = node("n", mesh={"heartbeat_seconds": 1000.0})
    owner.mesh.flush(NOW + 20 * QUIET_SECONDS)
    assert owner.mesh.position(owner.mesh.own) is not None


def test_with_slow_heartbeats_a_stream_is_given_more_time() -> None:
    owner = listener_of(mesh={"heartbeat_seconds": 30.0})
    owner.mesh.flush(NOW + 12 * 30.0)
    assert owner.mesh.position(X) is not None
    owner.mesh.flush(NOW + 12 * 30.0 + 1.1)
    assert owner.mesh.position(X) is None


def test_figures_of_completed_downloads_keep_their_stream() -> None:
    owner = listener_of()
    receive(owner, batch_of(5))
    owner.mesh.flush(NOW + 10 * QUIET_SECONDS)
    assert owner.mesh.rows(X) == 1
    assert owner.mesh.position(X) is not None


def test_restarts_without_end_leave_no_streams_behind() -> None:
    owner = listener_of(max_streams=4)
    for life in range(100):
        now = NOW + life * 2 * QUIET_SECONDS
        stream = StreamId("x", 1000 + life)
        batch = batch_of(record_of(1, stamp_ms=WALL_MS + life), stream=stream)
        assert owner.mesh.has_room(stream)
        receive(owner, batch, now)
        owner.mesh.flush(now)
    assert owner.mesh.statistics().streams <= 3
    assert len(owner.mesh.vector()) <= 3
    assert len(owner.registry.streams.streams) <= 4


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
                owner.mesh.apply_rows(batch_of(stream=stream, sequence=0), NOW, is_direct=True)
            case _:
                have(owner, stream, Position(1, 1))
    assert len(owner.mesh.vector()) == 5


# ---------------------------------------------------------------- after a restart


def test_resume() -> None:
    owner = node("n")
    before = StreamId("n", 900)
    owner.mesh.resume({before: Position(4, 77), X: Position(3, 88)}, NOW)
    # What it wrote before is a stream like any other.
    assert owner.mesh.vector() == {owner.mesh.own: BEGINNING, before: Position(4, 77), X: Position(3, 88)}
    assert receive(owner, batch_of(record_of(1), sequence=4)) == 1
    assert receive(owner, batch_of(record_of(2), stream=before, sequence=5)) == 1


def test_a_stream_that_has_rows_and_no_position_is_known_after_a_restart_as_one_that_lacks_all() -> None:
    owner = node("n")
    owner.registry.streams.index(X)
    owner.mesh.resume({}, NOW)
    assert owner.mesh.vector()[X] == NOWHERE
    owner.mesh.flush(NOW + 2 * QUIET_SECONDS)
    assert owner.registry.streams.find(X) is None


def test_a_narrowed_node_goes_on_with_its_digests() -> None:
    owner = node("n", access=allow(TORRENT))
    owner.mesh.resume({X: Position(3, 88)}, NOW)
    assert owner.mesh.vector()[X] == Position(3, 88)


def test_rows_of_a_snapshot_that_broke_off_are_still_known_of() -> None:
    owner = node("n")
    owner.mesh.apply_rows(batch_of(record_of(1), sequence=0), NOW, is_direct=False)
    assert owner.mesh.vector()[X] == NOWHERE
    have(owner, X, Position(1, 5))
    assert owner.mesh.vector()[X] == Position(1, 5)
    # Another hub's, which knew less.
    have(owner, X, Position(0, 9))
    assert owner.mesh.vector()[X] == Position(1, 5)
    # This node's rows were dropped for the hub's: its position holds, though it is less.
    owner.mesh.finish_snapshot(X, Position(0, 9), NOW, tables=TABLE_NAMES, replaces=True)
    assert owner.mesh.vector()[X] == Position(0, 9)


def completed_of(owner: Node, torrent: bytes = bytes(20)) -> int:
    """As a scrape says it."""
    return owner.scrape([torrent])[0].downloaded


def test_completed_downloads_are_taken_over_by_the_next_life() -> None:
    """It has lost all, and counts on from what its hub knows."""
    hub, other = node("hub", forwards=True), node("other")
    first = node("a")
    link, to_other = synced(first, hub), synced(other, hub)
    for client in range(3):
        announce(first, client, left=0, event=Event.COMPLETED)
    first.flush(NOW)
    settle(link, to_other)
    link.cut()

    later = NOW + 10
    second = node("a")
    link = synced(second, hub, later)
    assert completed_of(second) == 3
    announce(second, 9, later, left=0, event=Event.COMPLETED)
    assert completed_of(second) == 4
    second.flush(later)
    settle(link, to_other, now=later)
    assert [completed_of(owner) for owner in (second, hub, other)] == [4, 4, 4]
    # The figure is the new life's everywhere, so that the old one can be forgotten with its last peer.
    for owner in (hub, other):
        completed = owner.registry.swarms[bytes(20)].completed
        assert completed is not None
        assert owner.registry.streams.stream(completed["a"][2]) == second.mesh.own


def test_a_life_that_takes_over_a_figure_says_so_though_nobody_completes_another_download() -> None:
    hub, first = node("hub", forwards=True), node("a")
    link = synced(first, hub)
    announce(first, 1, left=0, event=Event.COMPLETED)
    first.flush(NOW)
    settle(link)
    announce(first, 1, NOW + 1, event=Event.STOPPED)
    first.flush(NOW + 1)
    settle(link, now=NOW + 1)
    link.cut()
    second = node("a")
    link = synced(second, hub, NOW + 10)
    # Its earlier life may be another node of its name that is alive, until it is silent.
    now = NOW + 10 + QUIET_SECONDS
    second.flush(now)
    settle(link, now=now)
    assert hub.mesh.rows(first.mesh.own) == 2
    now += 1
    second.flush(now)
    settle(link, now=now)
    completed = hub.registry.swarms[bytes(20)].completed
    assert completed is not None
    assert completed["a"][0] == 1
    assert hub.registry.streams.stream(completed["a"][2]) == second.mesh.own
    assert hub.mesh.rows(first.mesh.own) == 1  # the tombstone


def test_a_figure_of_its_own_from_a_snapshot_is_said_anew() -> None:
    owner = node("n")
    before = StreamId("n", 900)
    index = owner.registry.streams.index(before)
    assert index is not None
    owner.registry.merge_completed(TORRENT, "n", (5, WALL_MS, index))
    owner.mesh.resume({before: Position(4, 77)}, NOW)
    owner.mesh.take_over_completed(NOW + 1)
    owner.mesh.flush(NOW)
    [(kind, section)] = sealed(owner, 1).sections
    assert kind == COMPLETED_TABLE
    assert [record.total for record in completed_records(section)] == [5]
    assert owner.mesh.rows(before) == 0


# ---------------------------------------------------------------- a stream that is begun anew


@pytest.mark.parametrize("clock_was_wrong", [True, False])
def test_a_stream_that_is_begun_anew_has_all_rows_of_its_own(*, clock_was_wrong: bool) -> None:
    owner = listener_of()
    receive(owner, batch_of(record_of(1), 3))
    for client in (1, 2):
        announce(owner, client)
    announce(owner, 2, event=Event.STOPPED)
    before, stamps = owner.mesh.own, {row[1] for row in rows(owner).values() if row[3] == "n"}
    owner.mesh.begin_anew(NOW + 1, clock_was_wrong=clock_was_wrong)
    own = owner.mesh.own
    assert own.name == before.name
    assert own.incarnation != before.incarnation
    assert own_position(owner).sequence == 1
    assert sealed(owner, 1).sections == ()
    assert (owner.mesh.rows(own), owner.mesh.rows(before), owner.mesh.rows(X)) == (2, 0, 2)
    # A clock that was right has stamped them, so they are as old as before.
    begun = {row[1] for row in rows(owner).values() if row[3] == "n"}
    if clock_was_wrong:
        assert {stamp >> 16 for stamp in begun} == {WALL_MS + 1000}
    else:
        assert begun == {stamp + 1 for stamp in stamps}
    # Nothing of others is doubted if it was.
    position = owner.mesh.position(X)
    assert position is not None
    assert position.sequence == (0 if clock_was_wrong else 1)
    assert owner.mesh.statistics().began_anew == 1
    # What was noted before goes with the rows, not with a batch.
    owner.mesh.flush(NOW + 1)
    assert own_position(owner).sequence == 1


def test_a_stream_that_is_begun_anew_comes_to_all() -> None:
    hub, leaf, other = node("hub", forwards=True), node("leaf"), node("other")
    links = [synced(leaf, hub), synced(other, hub)]
    for client in range(5):
        announce(leaf, client, left=0, event=Event.COMPLETED)
    leaf.flush(NOW)
    settle(*links)
    leaf.mesh.begin_anew(NOW + 1, clock_was_wrong=True)
    leaf.links.reset_all("the clock", NOW + 1)
    settle(*links, now=NOW + 1)
    links[0].cut()
    again = synced(leaf, hub, NOW + 1)
    settle(again, links[1], now=NOW + 1)
    for owner in (hub, other):
        assert rows(owner) == rows(leaf)
        assert owner.mesh.rows(leaf.mesh.own) == 5 + 1  # the figure of completed downloads
        assert completed_of(owner) == 5


def test_who_hears_that_somebody_else_wrote_in_its_name_begins_anew_after_waits_that_grow() -> None:
    mesh, now = node("n").mesh, NOW
    wanted = [mesh.wants_anew]
    for times in range(4):
        wait_seconds = ANEW_SECONDS * 2**times if times else 0.0
        mesh.want_anew()
        wanted.append(mesh.wants_anew)
        assert mesh.may_begin_anew(now + wait_seconds)
        if times:
            # Whoever lies again must wait.
            assert not mesh.may_begin_anew(now + wait_seconds - 0.1)
        now += wait_seconds
        mesh.begin_anew(now, clock_was_wrong=False)
        wanted.append(mesh.wants_anew)
    assert wanted == [False, *[True, False] * 4]


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
