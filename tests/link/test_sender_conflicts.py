"""A peer that has read other batches, or is not where it was brought to, is sent all rows."""

from __future__ import annotations

import pytest

from meshtracker.wire.link import Burst, decode
from meshtracker.wire.vector import NOWHERE, Position, Vector
from tests.link.sending import BB, A, at, bring, hub_of, hub_with, leaf_with, said, sender_of
from tests.mouth_to_mouth import NOW, frames, live, node, rows, synced


def test_a_peer_that_has_read_other_batches_is_sent_all_rows() -> None:
    hub = hub_with(A)
    sender = sender_of(hub, {A: Position(2, 22)})
    assert sender.sent == {"a": "full (conflict)"}
    [(kind, payload), *_] = frames(sender.next_frame(NOW))
    burst = decode(kind, payload)
    assert isinstance(burst, Burst)
    assert [plan.conflict for plan in burst.plans] == [True]
    assert said(sender) == [("SNAPSHOT", "a", 0), ("SNAPSHOT_END", "a", 3)]


WHOLE = [("BURST", "a", 3), ("SNAPSHOT", "a", 0), ("SNAPSHOT_END", "a", 3)]


@pytest.mark.parametrize(
    ("position", "sent"),
    [
        (Position(2, 22), WHOLE),
        (Position(3, 33), WHOLE),
        # Less far than it was brought to, by batches of which nothing can be said: it goes on from there.
        (Position(2, 0), [("BURST", "a", 3), ("BATCH", "a", 3)]),
        # Of nothing it is sent all.
        (NOWHERE, WHOLE),
        (Position(3, 0), []),
        (Position(4, 44), []),
    ],
)
def test_a_heartbeat_shows_that_the_peer_is_not_where_it_was_brought_to(
    position: Position, sent: list[tuple[str, str, int]]
) -> None:
    hub = hub_with(A)
    theirs: Vector = {A: at(hub, A)}
    sender = sender_of(hub, theirs)
    assert said(sender) == []
    theirs[A] = position
    sender.compare([BB], 9)
    assert said(sender) == []
    sender.compare([A], 9)
    # Told again while it is under way it is sent once.
    sender.compare([A], 9)
    assert said(sender) == sent


def test_a_conflict_of_a_stream_that_is_not_sent_on_is_not_answered() -> None:
    leaf = leaf_with(A)
    theirs: Vector = {A: at(leaf, A), leaf.mesh.own: at(leaf, leaf.mesh.own)}
    sender = sender_of(leaf, theirs, peer=hub_of("other"))
    theirs[A] = Position(3, 33)
    sender.compare([A], 9)
    assert said(sender) == []


def test_an_answer_is_sent_whatever_the_peer_knows() -> None:
    leaf = leaf_with(A)
    theirs: Vector = {A: at(leaf, A), leaf.mesh.own: at(leaf, leaf.mesh.own)}
    sender = sender_of(leaf, theirs, peer=hub_of("other"))
    assert said(sender) == []
    sender.answer(BB)
    assert said(sender) == []
    sender.answer(A)
    sender.answer(A)
    assert said(sender) == [("BURST", "a", 3), ("SNAPSHOT", "a", 0), ("SNAPSHOT_END", "a", 3)]
    assert sender.sent == {"a": "full (answer)"}


def test_a_conflict_between_two_hubs_is_settled_for_their_leaves_too() -> None:
    """Whichever digest they settle on, all that hang on either have the rows of both in the end."""
    one, other = bring(hub_of("one"), A), bring(hub_of("other"), A, first=100)
    leaves = [node("c"), node("d")]
    links = [synced(leaf, hub) for leaf, hub in zip(leaves, (one, other), strict=True)]
    links.append(synced(one, other))
    live(links, [one, other, *leaves], NOW, 20.0)
    assert len(rows(one)) == 6
    assert rows(one) == rows(other)
    assert [owner.mesh.position(A) for owner in (other, *leaves)] == [one.mesh.position(A)] * 3
    assert [rows(leaf) for leaf in leaves] == [rows(one)] * 2
