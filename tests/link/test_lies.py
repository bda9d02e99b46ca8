"""Lies of a peer that has the password: each ends the link, and is counted under its kind; and all has its bounds."""

from __future__ import annotations

import attrs
import pytest

from meshtracker.errors import LinkFault
from meshtracker.link.feed import MAX_FETCHES
from meshtracker.link.intake import Intake
from meshtracker.link.session import MAX_TOLD_BURSTS
from meshtracker.link.state import State
from meshtracker.swarm.access import Access
from meshtracker.wire.batch import Batch, encode_batch
from meshtracker.wire.frame import FrameType, frame
from meshtracker.wire.link import MAX_INTEREST, Interest, encode_interest, encode_snapshot_end
from meshtracker.wire.vector import Position
from tests.link.support import SYNCED, batch_of, burst_of, heartbeat_of, linked, refused
from tests.mouth_to_mouth import NOW, node, rows, settle, synced

LIES = [
    pytest.param(
        batch_of("other", 1, 1), "forged", "a leaf sent the stream of another node, other", id="forged origin"
    ),
    pytest.param(burst_of("other", 1), "forged", "a leaf sent the stream of another node, other", id="forged burst"),
    pytest.param(batch_of("hub", 1000, 1), "forged", "another node writes under this node's name", id="as the hub"),
    pytest.param(
        burst_of("hub", 2000), "forged", "another node writes under this node's name", id="as the hub's future"
    ),
    pytest.param(batch_of("peer", 1000, 9), "gap", "batch 9 of peer came after", id="gap"),
    pytest.param(batch_of("peer", 1001, 1), "gap", "batch 1 of peer came after", id="unannounced life"),
    pytest.param(batch_of("peer", 999, 9), "name", "knows a start of peer that is", id="past life"),
    pytest.param(
        burst_of("peer", 1000) + batch_of("peer", 1000, 6) + batch_of("peer", 1000, 8),
        "gap",
        "batch 8 of peer came after 6",
        id="gap within a snapshot",
    ),
    pytest.param(
        burst_of("peer", 1000) + batch_of("peer", 1001, 6),
        "gap",
        "a batch of peer is of another incarnation than the snapshot around it",
        id="other life within a snapshot",
    ),
    pytest.param(
        burst_of("peer", 1000) + batch_of("peer", 1000, 6) + encode_snapshot_end("peer", Position(1000, 5), records=0),
        "protocol",
        "a snapshot of peer ends at 5 after batch 6",
        id="a snapshot that ends before its batches",
    ),
    pytest.param(
        encode_snapshot_end("peer", Position(1000, 4), records=0),
        "protocol",
        "that no burst announced",
        id="no snapshot",
    ),
    pytest.param(
        burst_of("peer", 1000) + encode_snapshot_end("peer", Position(1000, 9), records=3),
        "protocol",
        "holds 0 records where 3 were sent",
        id="wrong count",
    ),
    pytest.param(
        burst_of("peer", 1000) + encode_snapshot_end("peer", Position(1001, 9), records=0),
        "protocol",
        "holds 0 records",
        id="other life at its end",
    ),
    pytest.param(
        burst_of("peer", 1000) + encode_batch(FrameType.SNAPSHOT, Batch("peer", 1001, 9, 0, b"")),
        "protocol",
        "of another incarnation than its burst said",
        id="other life in its middle",
    ),
    pytest.param(burst_of("peer", 2**62), "future", "the start of peer is dated", id="started in the future"),
    pytest.param(
        batch_of("peer", 1000, 1, ahead_seconds=61),
        "future",
        r"peer stamps its records 61 s ahead of the clock of hub: set the clocks",
        id="from the future",
    ),
    pytest.param(
        encode_batch(FrameType.SWARMS, Batch("other", 0, 0, 0, b"")),
        "protocol",
        "SWARMS that were not asked for",
        id="swarms",
    ),
    pytest.param(frame(FrameType.SWARMS_END), "protocol", "SWARMS_END without INTEREST FETCH", id="end of swarms"),
    pytest.param(
        encode_interest(Interest.TRACK, [])[0], "protocol", "INTEREST TRACK after VECTOR", id="narrowed too late"
    ),
    pytest.param(
        heartbeat_of(applied=1000), "protocol", "a heartbeat confirms more than was sent", id="confirms too much"
    ),
    pytest.param(frame(FrameType.BATCH, b"\4peer"), "protocol", "protocol error: a batch is cut short", id="rubbish"),
]


@pytest.mark.parametrize(("lie", "kind", "pattern"), LIES)
def test_a_lie_ends_the_link_and_its_stream_stays_as_it_was(lie: bytes, kind: LinkFault, pattern: str) -> None:
    link, hub = linked()
    before = hub.mesh.vector()
    refused(link.hub, lie, pattern)
    assert hub.mesh.vector() == before
    assert len(rows(hub)) == ("within" in pattern or "came after 6" in pattern or "ends at 5" in pattern)
    settle(link)
    assert link.leaf.reason == link.hub.reason
    assert (link.leaf.told_by_peer, link.leaf.refusal_kind) == (True, "")
    assert link.hub.refusal_kind == kind
    link.cut()
    assert hub.links.refused() == {kind: 1}


@pytest.mark.parametrize(
    ("interest", "number", "kind", "pattern"),
    [
        (Interest.FETCH, MAX_FETCHES + 1, "flood", "requests for swarms at once"),
        (Interest.FETCH, MAX_FETCHES, "", ""),
        (Interest.DROP, 1000, "", ""),
    ],
)
def test_requests_for_swarms_are_bounded(interest: Interest, number: int, kind: str, pattern: str) -> None:
    link, hub = linked()
    [asked] = encode_interest(interest, [bytes(20)])
    link.hub.receive_data(asked * number, NOW)
    assert link.hub.refusal_kind == kind
    assert pattern in link.hub.reason
    assert bool(hub.links.synced()) is not bool(kind)


def test_what_a_leaf_wants_is_bounded() -> None:
    access = Access("allow", frozenset({bytes(20)}))
    hub = node("hub", forwards=True)
    link = synced(node("peer", access=access), hub)
    hashes = [number.to_bytes(20, "big") for number in range(MAX_INTEREST)]
    for asked in encode_interest(Interest.FETCH, hashes):
        link.hub.receive_data(asked, NOW)
    assert link.hub.state is State.SYNCED, link.hub.reason
    while link.hub.data_to_send(NOW):
        pass
    [one_more] = encode_interest(Interest.FETCH, [b"x" * 20])
    link.hub.receive_data(encode_interest(Interest.DROP, hashes[:1])[0] + one_more, NOW)
    assert link.hub.state is State.SYNCED, link.hub.reason
    refused(link.hub, encode_interest(Interest.FETCH, hashes[:1])[0], f"more than {MAX_INTEREST} swarms named")
    assert link.hub.refusal_kind == "flood"


def test_a_hub_is_not_narrowed() -> None:
    link, _ = linked(forwards=True)
    refused(link.hub, encode_interest(Interest.FETCH, [bytes(20)])[0], "INTEREST of a hub, which is sent everything")


def test_a_leaf_has_no_swarms_to_send() -> None:
    """Even where they were asked for: a hub that became a leaf, say."""
    here = node("here", access=Access("allow", frozenset()))
    there = node("there", forwards=True)
    link = synced(here, there)
    here.set_access(Access("allow", frozenset({b"h" * 20})), NOW)
    assert link.leaf._fetches
    link.leaf._intake = Intake(here.mesh, attrs.evolve(there.mesh.hello(NOW), forwards=False))
    refused(link.leaf, encode_batch(FrameType.SWARMS, Batch("other", 0, 0, 0, b"")), "a leaf sent swarms of other")
    assert link.leaf.refusal_kind == "forged"


def test_a_batch_again_is_dropped() -> None:
    link, hub = linked()
    batch = batch_of("peer", 1000, 1)
    for _ in range(3):
        link.hub.receive_data(batch, NOW)
    assert link.states == SYNCED
    assert len(rows(hub)) == 1
    assert link.hub.statistics(NOW).received_batches == 1
    assert hub.mesh.position("peer") == (1000, 1)


def test_a_peer_cannot_invent_nodes_without_end() -> None:
    link, hub = linked(forwards=True)
    number = 0
    while link.hub.state is State.SYNCED:
        number += 1
        origin = f"invented-{number}"
        link.hub.receive_data(burst_of(origin, 5) + encode_snapshot_end(origin, Position(5, 5), records=0), NOW)
        assert number < 1000
    assert "node names" in link.hub.reason
    assert len(hub.mesh.vector()) <= 400
    # Those it knows can still be linked, with a vector that fits its frames.
    synced(node("peer", incarnation=2000), hub)


def test_endless_bursts_do_not_fill_the_log() -> None:
    link, hub = linked()
    link.hub.notices()
    for sequence in range(2 * MAX_TOLD_BURSTS):
        link.hub.receive_data(burst_of("peer", 1000, sequence), NOW)
    levels = [notice.level for notice in link.hub.notices()]
    assert len(levels) == 2 * MAX_TOLD_BURSTS
    assert levels.count("info") <= MAX_TOLD_BURSTS
    assert hub.links.synced()
