"""What is sent, from two vectors: every case is one line."""

from __future__ import annotations

import pytest

from meshtracker.link.plan import plan_burst, plan_stream
from meshtracker.node.node import Node
from meshtracker.wire.vector import Position
from tests.mouth_to_mouth import NOW, announce, node

KEPT_FROM = 4


def hub_of() -> Node:
    """Its own stream is at (1000, 6), with batches from 5 on still in the log."""
    hub = node("hub", forwards=True, mesh={"max_log_bytes": 500})
    for client in range(6):
        announce(hub, client)
        hub.mesh.flush(NOW)
    return hub


@pytest.mark.parametrize(
    ("known", "planned"),
    [
        (None, "new node"),
        (Position(999, 500), "new incarnation"),
        (Position(1000, 0), "fell behind"),
        (Position(1000, KEPT_FROM - 1), "fell behind"),
        (Position(1000, KEPT_FROM), KEPT_FROM),
        (Position(1000, 5), 5),
        (Position(1000, 6), None),
        (Position(1000, 7), None),
        (Position(1001, 0), None),
    ],
)
def test_how_a_stream_is_brought_up(known: Position | None, planned: str | int | None) -> None:
    hub = hub_of()
    position = hub.mesh.position("hub")
    assert position == (1000, 6)
    plan = plan_stream(hub.mesh, "hub", position, known)
    if planned is None:
        assert plan is None
        return
    assert plan is not None
    assert plan.position == position
    assert plan.full is isinstance(planned, str)
    assert (plan.reason if plan.full else plan.after) == planned


@pytest.mark.parametrize(
    ("known", "reason"),
    [
        (None, "new node"),
        (Position(999, 500), "new incarnation"),
        (Position(1000, 0), "asked for"),
        (Position(1000, 5), "asked for"),
        (Position(1000, 6), "asked for"),
        # Another way has brought more of it: it is sent what is here.
        (Position(1000, 7), "asked for"),
        (Position(1001, 0), None),
    ],
)
def test_everything_anew(known: Position | None, reason: str | None) -> None:
    hub = hub_of()
    plan = plan_stream(hub.mesh, "hub", Position(1000, 6), known, everything=True)
    assert (plan.reason if plan is not None else None) == reason
    assert plan is None or (plan.full, plan.after) == (True, 0)


def streams(
    owner: Node, peer: Node, theirs: dict[str, Position] | None = None, *, everything: bool = False
) -> list[tuple[str, bool]]:
    plans = plan_burst(owner.mesh, peer.mesh.hello(NOW), theirs or {}, everything=everything)
    return [(plan.origin, plan.full) for plan in plans]


def test_a_hub_sends_all_streams_a_leaf_its_own() -> None:
    hub, leaf = node("hub", forwards=True), node("leaf")
    for owner in (hub, leaf):
        owner.mesh.resume({"x": Position(1, 2), "y": Position(3, 4)})
    assert streams(hub, leaf) == [("hub", True), ("x", True), ("y", True)]
    assert streams(leaf, hub) == [("leaf", True)]
    known = {"x": Position(1, 2), "hub": Position(1000, 0), "y": Position(3, 1)}
    assert streams(hub, leaf, known) == [("y", True)]
    assert streams(hub, leaf, known, everything=True) == [("hub", True), ("x", True), ("y", True)]
    assert streams(leaf, hub, {"leaf": Position(1000, 0)}, everything=True) == [("leaf", True)]


@pytest.mark.parametrize(
    ("held", "previous", "brought"),
    [
        (Position(1000, 9), None, False),  # its present life: it knows better
        (Position(1001, 9), None, False),
        (Position(500, 9), None, True),
        (Position(500, 9), Position(500, 9), False),
        (Position(500, 9), Position(500, 8), True),
        (Position(500, 9), Position(400, 99), True),
        # It was away for a whole life: what it kept of the one before nobody knows.
        (Position(500, 9), Position(600, 1), True),
    ],
)
def test_a_nodes_own_stream_from_before_its_restart(held: Position, previous: Position | None, brought: bool) -> None:
    hub, leaf = node("hub", forwards=True), node("leaf")
    hub.mesh.resume({"leaf": held})
    if previous is not None:
        leaf.mesh.resume({"leaf": previous})
    assert (("leaf", True) in streams(hub, leaf)) is brought
    # If everything is wanted, of any life all that is known: some of it may not have been tracked.
    assert ("leaf", True) in streams(hub, leaf, everything=True)
    # Leaves bring back a hub's stream just so.
    leaf, hub = node("leaf", forwards=True), node("hub")
    hub.mesh.resume({"leaf": held})
    if previous is not None:
        leaf.mesh.resume({"leaf": previous})
    assert (("leaf", True) in streams(hub, leaf)) is brought


@pytest.mark.parametrize(("forwards", "sent"), [(True, [("hub", True), ("x", True)]), (False, [("hub", True)])])
def test_an_earlier_life_is_sent_to_hubs(*, forwards: bool, sent: list[tuple[str, bool]]) -> None:
    hub, peer = node("hub", forwards=True), node("peer", forwards=forwards)
    hub.mesh.resume({"x": Position(500, 9)})
    assert streams(hub, peer, {"x": Position(600, 1)}) == sent
    assert streams(hub, peer, {"x": Position(500, 9)}) == [("hub", True)]
