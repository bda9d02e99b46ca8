"""Which swarms a node tracks, what it lacks of them, and digests of batches that it is sent in part."""

from __future__ import annotations

import pytest

from meshtracker.node.mesh import QUIET_SECONDS
from meshtracker.swarm.access import Access
from meshtracker.wire.batch import DIGEST_SECTION, Batch, encode_batch
from meshtracker.wire.frame import FrameType
from meshtracker.wire.link import MAX_INTEREST
from meshtracker.wire.vector import BEGINNING, Position, StreamId, chain
from tests.mouth_to_mouth import NOW, node, rows
from tests.node.support import TORRENT, WALL_MS, X, allow, batch_of, have, listener_of, opened, receive, record_of


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
    have(owner, X, Position(4, 44))
    assert owner.mesh.keeps(X) is whole
    # Until it is sent again with nothing left out.
    owner.mesh.set_access(Access())
    assert owner.mesh.keeps(X) is whole
    have(owner, X, Position(3, 32))
    assert owner.mesh.keeps(X) is whole
    have(owner, X, Position(4, 44))
    assert owner.mesh.keeps(X)


def test_a_copy_is_narrowed_by_the_first_record_that_is_left_out_of_it() -> None:
    owner = node("n", access=Access("deny", frozenset({TORRENT})))
    receive(owner, batch_of())
    assert owner.mesh.keeps(X)
    receive(owner, batch_of(record_of(2), sequence=2))
    assert not owner.mesh.keeps(X)
    # Its own stream is not, nor what it has not heard of.
    assert owner.mesh.keeps(owner.mesh.own)
    assert owner.mesh.keeps(StreamId("stranger", 1))


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
