"""What a leaf offers of the streams of others, and rows that it cannot share."""

from __future__ import annotations

import pytest

from meshtracker.wire.vector import BEGINNING, Position, Vector
from tests.link.sending import BB, A, at, hub_of, hub_with, leaf_with, said, sender_of, shift
from tests.mouth_to_mouth import NOW, announce, node, rows, settle, synced


@pytest.mark.parametrize("may_speak", [True, False])
def test_a_leaf_that_may_speak_offers_what_the_hub_lacks(*, may_speak: bool) -> None:
    leaf = leaf_with(A)
    sender = sender_of(leaf, {}, peer=hub_of("other"), may_speak=may_speak)
    names = {name for kind, name, _ in said(sender) if kind == "BURST"}
    assert names == ({"leaf", "a"} if may_speak else {"leaf"})
    assert sender.unshared_rows() == (0 if may_speak else 3)


def test_a_leaf_that_may_speak_does_not_send_streams_of_others_as_they_grow() -> None:
    """That is for hubs alone."""
    hub = hub_with(A)
    leaf = node("leaf", incarnation=5)
    link = synced(leaf, hub)
    sender = sender_of(leaf, {A: at(leaf, A, 3), leaf.mesh.own: BEGINNING}, peer=hub_of("other"))
    assert said(sender) == []
    again = synced(node("bb", incarnation=1), hub)
    shift(hub, 9)
    settle(link, again)
    assert rows(leaf) == rows(hub)
    assert said(sender) == []
    shift(leaf, 10)
    assert [name for _, name, _ in said(sender)] == ["leaf"]


def test_a_stream_that_is_offered_is_sent_as_far_as_it_was_offered() -> None:
    """A leaf goes on with it no further, however it grows meanwhile."""
    other = hub_of("other")
    third = node("a", incarnation=1)
    to_third = synced(third, other)
    leaf = node("leaf", incarnation=5)
    link = synced(leaf, other)
    for client in range(3):
        announce(third, client)
        third.mesh.flush(NOW)
        settle(to_third, link)
    sender = sender_of(leaf, {A: at(leaf, A, 1)}, peer=hub_of())
    announce(third, 50)
    third.mesh.flush(NOW)
    settle(to_third, link)
    assert at(leaf, A).sequence == 4
    assert said(sender) == [("BURST", "a", 3), ("BATCH", "a", 2), ("BATCH", "a", 3)]
    assert sender.burst_is_sent


def test_rows_that_cannot_be_shared_are_counted_until_the_peer_knows_them() -> None:
    leaf = leaf_with(A, BB)
    theirs: Vector = {BB: at(leaf, BB)}
    sender = sender_of(leaf, theirs, peer=hub_of("other"), may_speak=False)
    assert sender.unshared_rows() == 3
    theirs[A] = Position(2, 0)
    assert sender.unshared_rows() == 3
    theirs[A] = at(leaf, A)
    assert sender.unshared_rows() == 0


def test_what_is_offered_or_is_the_peers_own_is_not_counted_as_unshared() -> None:
    leaf = leaf_with(A)
    assert sender_of(leaf, {}, peer=hub_of("other")).unshared_rows() == 0
    assert sender_of(leaf, {}, peer=node("a", incarnation=1, forwards=True), may_speak=False).unshared_rows() == 0
    assert sender_of(hub_with(A), {}).unshared_rows() == 0
