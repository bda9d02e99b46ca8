"""What is sent, from two vectors: every case is one line."""

from __future__ import annotations

import attrs
import pytest

from meshtracker.link.resync_plan import may_offer, plan_burst, plan_stream, resync_text
from meshtracker.node.node import Node
from meshtracker.swarm.access import Access
from meshtracker.wire.link import StreamPlan
from meshtracker.wire.vector import BEGINNING, NOWHERE, Position, StreamId, Vector
from tests.link.allow_lists import allow
from tests.link.support import batch_of, burst_of, hello_of
from tests.mouth_to_mouth import NOW, announce, node, synced

KEPT_FROM = 4
X, Y = StreamId("x", 1), StreamId("y", 3)


def hub_of() -> Node:
    """Its own stream is at 6, with batches from 5 on still in the log."""
    hub = node("hub", forwards=True, mesh={"max_log_bytes": 600})
    for client in range(6):
        announce(hub, client)
        hub.mesh.flush(NOW)
    assert [hub.mesh.digest_at(hub.mesh.own, at) is not None for at in (KEPT_FROM - 1, KEPT_FROM)] == [False, True]
    return hub


READ, OTHER, UNKNOWN = "what the hub wrote", "something else", "a digest that is not known"


def known_at(hub: Node, sequence: int, digest: str) -> Position:
    match digest:
        case "what the hub wrote":
            return Position(sequence, hub.mesh.digest_at(hub.mesh.own, sequence) or 0)
        case "something else":
            return Position(sequence, 12345)
        case _:
            return Position(sequence, 0)


@pytest.mark.parametrize(
    ("sequence", "digest", "planned"),
    [
        (None, UNKNOWN, "new node"),
        (0, UNKNOWN, "lacking"),
        (0, OTHER, "lacking"),
        # The log does not reach back: nobody can tell by the digest either.
        (1, UNKNOWN, "fell behind"),
        (KEPT_FROM - 1, UNKNOWN, "fell behind"),
        (KEPT_FROM - 1, OTHER, "fell behind"),
        (KEPT_FROM, READ, KEPT_FROM),
        (KEPT_FROM, UNKNOWN, KEPT_FROM),
        (KEPT_FROM, OTHER, "conflict"),
        (5, READ, 5),
        (5, UNKNOWN, 5),
        (5, OTHER, "conflict"),
        (6, READ, None),
        (6, UNKNOWN, None),
        (6, OTHER, "conflict"),
        # It knows more, and whether the same nobody here can tell.
        (7, UNKNOWN, None),
        (7, OTHER, None),
    ],
)
def test_how_a_stream_is_brought_up(sequence: int | None, digest: str, planned: str | int | None) -> None:
    hub = hub_of()
    position = hub.mesh.position(hub.mesh.own)
    assert position is not None
    assert position.sequence == 6
    plan = plan_stream(hub.mesh, hub.mesh.own, None if sequence is None else known_at(hub, sequence, digest))
    if planned is None:
        assert plan is None
        return
    assert plan is not None
    assert (plan.stream, plan.position) == (hub.mesh.own, position)
    assert plan.full is isinstance(planned, str)
    assert (plan.reason if plan.full else plan.after) == planned
    assert plan.conflict is (planned == "conflict")


@pytest.mark.parametrize(
    ("sequence", "digest", "planned"),
    [
        (None, UNKNOWN, "new node"),
        (0, UNKNOWN, "lacking"),
        (2, UNKNOWN, "asked for"),
        (5, READ, "asked for"),
        (5, OTHER, "asked for"),
        (6, READ, "asked for"),
        # It knows more of this stream, but lacks rows of swarms that it let in since.
        (7, UNKNOWN, "asked for"),
    ],
)
def test_everything_anew(sequence: int | None, digest: str, planned: str | None) -> None:
    hub = hub_of()
    known = None if sequence is None else known_at(hub, sequence, digest)
    plan = plan_stream(hub.mesh, hub.mesh.own, known, everything=True)
    assert (plan.reason if plan is not None else None) == planned
    assert plan is None or (plan.full, plan.after) == (True, 0)


def test_a_stream_whose_digest_is_not_known_here_is_never_in_conflict() -> None:
    """A node that was sent parts of batches cannot say that others read something else."""
    hub = node("hub", forwards=True)
    hub.mesh.resume({X: Position(6, 0)}, NOW)
    assert plan_stream(hub.mesh, X, Position(6, 12345)) is None
    plan = plan_stream(hub.mesh, X, Position(5, 12345))
    assert plan is not None
    assert plan.reason == "fell behind"


def test_a_stream_that_is_not_known_here_is_not_sent() -> None:
    assert plan_stream(node("hub", forwards=True).mesh, X, None, everything=True) is None


@pytest.mark.parametrize("known", [None, NOWHERE])
def test_a_stream_with_nothing_in_it_is_not_sent(known: Position | None) -> None:
    hub = node("hub", forwards=True)
    hub.mesh.resume({X: NOWHERE, Y: Position(0, 9)}, NOW)
    for stream in (hub.mesh.own, X, Y):
        assert plan_stream(hub.mesh, stream, known, everything=True) is None
    # Nothing is known to be complete, but something is here.
    third = node("third", forwards=True)
    link = synced(third, hub)
    hub_end = link.hub
    for data in (burst_of("x", 1), batch_of("x", 1, 5)):
        hub_end.receive_data(data, NOW)
    assert hub.mesh.position(X) == NOWHERE
    assert hub.mesh.rows(X) == 1
    plan = plan_stream(hub.mesh, X, known)
    assert plan is not None
    assert (plan.full, plan.position) == (True, NOWHERE)


# ---------------------------------------------------------------- which streams


def streams(
    owner: Node, peer: Node, theirs: Vector | None = None, *, everything: bool = False, may_speak: bool = True
) -> list[tuple[StreamId, bool]]:
    """The plan of a burst; ``may_speak``: does the peer believe what this node says of others?"""
    plans = plan_burst(owner.mesh, hello_of(peer, may_speak=may_speak), theirs or {}, everything=everything)
    return [(plan.stream, plan.full) for plan in plans]


def with_streams(owner: Node, vector: Vector) -> Node:
    owner.mesh.resume(vector, NOW)
    owner.mesh.flush(NOW)
    return owner


BOTH = {X: Position(2, 22), Y: Position(4, 44)}


def test_its_own_stream_comes_first() -> None:
    hub = with_streams(node("hub", forwards=True), BOTH)
    assert streams(hub, node("leaf")) == [(hub.mesh.own, True), (X, True), (Y, True)]
    known = {X: Position(2, 22), hub.mesh.own: BEGINNING, Y: Position(3, 0)}
    assert streams(hub, node("leaf"), known) == [(hub.mesh.own, True), (Y, True)]
    known[hub.mesh.own] = Position(1, 0)
    assert streams(hub, node("leaf"), known) == [(Y, True)]
    assert streams(hub, node("leaf"), known, everything=True) == [(hub.mesh.own, True), (X, True), (Y, True)]


@pytest.mark.parametrize("may_speak", [True, False])
def test_a_hub_sends_all_streams_whatever_it_may(*, may_speak: bool) -> None:
    """Who is a hub has proved that it may be one."""
    hub = with_streams(node("hub", forwards=True, access=allow(3)), BOTH)
    assert len(streams(hub, node("other", forwards=True), may_speak=may_speak)) == 3


@pytest.mark.parametrize(
    ("access", "may_speak", "sends_all"),
    [
        (Access(), True, True),
        (Access(), False, False),
        # Who keeps a part of what it is sent has no whole streams to offer.
        (allow(1, 2), True, False),
        (Access("deny", frozenset({bytes(20)})), True, False),
    ],
)
def test_when_a_leaf_sends_streams_of_others(access: Access, *, may_speak: bool, sends_all: bool) -> None:
    """A hub that has lost its data is brought it back by its leaves."""
    leaf = node("leaf", access=access)
    for stream, position in BOTH.items():
        leaf.mesh.finish_snapshot(stream, position, NOW, tables=leaf.mesh.tables.names)
    leaf.mesh.flush(NOW)
    sent = [stream for stream, _ in streams(leaf, node("hub", forwards=True), may_speak=may_speak)]
    assert sent == [leaf.mesh.own] + [X, Y] * sends_all


@pytest.mark.parametrize("is_sent", [True, False])
def test_a_leaf_sends_what_it_wrote_in_earlier_lives_unless_it_left_out_some(*, is_sent: bool) -> None:
    earlier = StreamId("leaf", 5)
    leaf = node("leaf", access=allow(3))
    vector = {earlier: Position(9, 0), X: Position(2, 0)}
    leaf.mesh.resume(vector, NOW, narrowed=() if is_sent else {earlier})
    leaf.mesh.flush(NOW)
    hub = node("hub", forwards=True)
    assert streams(leaf, hub, may_speak=False) == [(leaf.mesh.own, True)] + [(earlier, True)] * is_sent


@pytest.mark.parametrize("everything", [True, False])
def test_nobody_is_sent_the_stream_that_it_writes_and_everybody_those_that_it_wrote(*, everything: bool) -> None:
    leaf = node("leaf")
    earlier = StreamId("leaf", leaf.mesh.own.incarnation - 1)
    hub = with_streams(node("hub", forwards=True), {leaf.mesh.own: Position(9, 99), earlier: Position(3, 33)})
    assert streams(hub, leaf, everything=everything) == [(hub.mesh.own, True), (earlier, True)]
    assert not may_offer(hub.mesh, hello_of(leaf), leaf.mesh.own)
    assert may_offer(hub.mesh, attrs.evolve(hello_of(leaf), incarnation=77), leaf.mesh.own)


def test_a_plan_for_people() -> None:
    plan = StreamPlan(stream=X, position=Position(9, 0), after=4, full=False, reason="")
    assert resync_text(plan) == "partial after batch 4"
    assert resync_text(attrs.evolve(plan, full=True, after=0, reason="conflict")) == "full (conflict)"
