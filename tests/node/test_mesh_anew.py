"""A stream that is begun anew: its rows, its stamps, and how often that may be."""

from __future__ import annotations

import pytest

from meshtracker.model import Event
from meshtracker.node.mesh import ANEW_SECONDS
from tests.mouth_to_mouth import NOW, announce, node, rows, settle, synced
from tests.node.support import WALL_MS, X, batch_of, completed_of, listener_of, own_position, receive, record_of, sealed


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
