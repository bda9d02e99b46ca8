"""Streams in conflict: who answers, whose rows are kept, and which position both ends settle on."""

from __future__ import annotations

import contextlib

import pytest

from meshtracker.errors import LinkError
from meshtracker.link.proof.authentication import Credential
from meshtracker.node.node import Node
from meshtracker.wire.batch import decode_batch
from meshtracker.wire.frame import HEADER
from meshtracker.wire.vector import NOWHERE, Position
from tests.link.receiving import FOURTH, THIRD, begin, end, frame_of, plan, receiver_of, take
from tests.link.support import batch_of
from tests.mouth_to_mouth import NOW, Link, announce, node, rows, settle, synced


def told_otherwise(owner: Node, clients: range) -> Node:
    """A node that has heard a stream named third, of which others have heard the same numbers with other content."""
    third = node("third", incarnation=1)
    link = synced(third, owner)
    for client in clients:
        announce(third, client, torrent=client % 3)
        third.mesh.flush(NOW)
        settle(link)
    link.cut()
    return owner


def clients_of(owner: Node) -> set[bytes]:
    return {identity for _, _, identity in rows(owner)}


@pytest.mark.parametrize(
    ("forwards", "ones", "others"), [(True, 3, 3), (True, 3, 5), (True, 5, 3), (False, 3, 3), (False, 3, 5)]
)
def test_two_that_may_both_speak_have_the_rows_of_both_in_the_end(ones: int, others: int, *, forwards: bool) -> None:
    """Whoever knows more has the log that shows it."""
    hub = told_otherwise(node("hub", forwards=True), range(100, 100 + others))
    one = node("one", forwards=forwards)
    if forwards:
        told_otherwise(one, range(ones))
    else:
        synced(one, told_otherwise(node("else", forwards=True), range(ones))).cut()
    before = [clients_of(one), clients_of(hub)]
    assert [len(clients) for clients in before] == [ones, others]
    link = synced(one, hub)
    assert clients_of(one) == clients_of(hub) == before[0] | before[1]
    assert rows(one) == rows(hub)
    assert one.mesh.position(THIRD) == hub.mesh.position(THIRD) != NOWHERE
    assert any("full (conflict)" in end.statistics(NOW).resync for end in link.ends)
    # It is over: the next link finds nothing to do.
    link.cut()
    again = synced(one, hub)
    assert not any("third" in end.statistics(NOW).resync for end in again.ends)


OWN = Credential("the leaf's own")


def link_of_a_leaf_that_may_not_speak(leaf: Node, hub: Node) -> Link:
    """The hub takes all that link with the mesh's password for leaves that speak of themselves."""
    return synced(leaf, hub, hub_credential=Credential(OWN.password, hubs_are_listed=True), leaf_credential=OWN)


@pytest.mark.parametrize("others", [3, 5])
def test_a_leaf_that_may_not_speak_takes_the_hubs_position_and_keeps_its_rows(others: int) -> None:
    hub = told_otherwise(node("hub", forwards=True), range(100, 100 + others))
    leaf = node("leaf")
    synced(leaf, told_otherwise(node("else", forwards=True), range(3))).cut()
    announce(leaf, 77)
    leaf.mesh.flush(NOW)
    before = clients_of(hub)
    link = link_of_a_leaf_that_may_not_speak(leaf, hub)
    # Those that the hub lacks and takes from nobody but their own node are told to the operator.
    assert clients_of(leaf) > clients_of(hub)
    assert link.leaf.statistics(NOW).unshared_rows == 3 == len(clients_of(leaf) - clients_of(hub))
    # What the leaf's own clients did is its own to tell.
    assert [identity[:20] for identity in clients_of(hub) - before] == [b"-MT0001-%012d" % 77]
    assert leaf.mesh.position(THIRD) == hub.mesh.position(THIRD)
    assert "third: full (conflict)" in link.leaf.statistics(NOW).resync
    assert "third" not in link.hub.statistics(NOW).resync


def test_a_conflict_is_answered_by_who_may_and_nobody_drops_rows() -> None:
    for forwards, may_speak, answers in ((True, False, True), (False, True, True), (False, False, False)):
        here = node("here", forwards=forwards)
        first = receiver_of(here, may_speak=may_speak)
        assert first.batch(frame_of(THIRD, 1), NOW)
        assert take(first, FOURTH, 1)
        assert first.batch(frame_of(FOURTH, 2), NOW)
        begin(first, plan(conflict=True))
        assert (here.mesh.rows(THIRD), here.mesh.rows(FOURTH)) == (1, 1)
        first.snapshot(decode_batch(batch_of("third", 1, 9)[HEADER.size :]), NOW)
        end(first, THIRD, 1, 11, records=1)
        assert here.mesh.rows(THIRD) == 2
        assert first.conflicts == ([THIRD] if answers else [])
        assert first.unshared_rows == (not answers)


@pytest.mark.parametrize(("digest", "kept"), [(11, 99), (99, 99), (100, 100)])
def test_both_ends_of_a_conflict_settle_on_one_digest(digest: int, kept: int) -> None:
    here = node("here", forwards=True)
    here.mesh.finish_snapshot(THIRD, Position(5, 99), NOW, tables=("peers", "completed"), replaces=False)
    receiver = receiver_of(here)
    begin(receiver, plan(conflict=True))
    end(receiver, THIRD, 5, digest)
    assert here.mesh.position(THIRD) == Position(5, kept)


def test_who_takes_the_hubs_word_takes_its_position_even_if_it_knew_more() -> None:
    here = node("here")
    here.mesh.finish_snapshot(THIRD, Position(9, 99), NOW, tables=("peers", "completed"), replaces=False)
    receiver = receiver_of(here, may_speak=False)
    begin(receiver, plan(conflict=True))
    end(receiver, THIRD, 5, 11)
    assert here.mesh.position(THIRD) == Position(5, 11)


@pytest.mark.parametrize("is_believed", [True, False])
def test_a_conflict_of_a_stream_that_is_not_the_peers_is_for_who_may_speak(*, is_believed: bool) -> None:
    here = node("here")
    receiver_of(here).batch(frame_of(THIRD, 1), NOW)
    receiver = receiver_of(here, forwards=False, may_speak=False, is_believed=is_believed)
    with contextlib.nullcontext() if is_believed else pytest.raises(LinkError, match="stream of another node"):
        begin(receiver, plan(conflict=True))
    assert here.mesh.rows(THIRD) == 1
