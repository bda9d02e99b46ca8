"""Lies of a peer that has the password: each ends the link, and is counted under its code; and all has its bounds."""

from __future__ import annotations

import re

import attrs
import pytest

from meshtracker.errors import CloseCode
from meshtracker.link.proof.authentication import Credential
from meshtracker.link.receiver import Receiver
from meshtracker.link.sender import MAX_FETCHES
from meshtracker.link.session import MAX_TOLD_BURSTS
from meshtracker.link.transitions import State
from meshtracker.node.neighbours import MIN_PENALTY_SECONDS
from meshtracker.node.node import Node
from meshtracker.swarm.access import Access
from meshtracker.swarm.peer_table import PEER_TABLE
from meshtracker.wire.batch import Batch, encode_batch
from meshtracker.wire.frame import FrameType, frame
from meshtracker.wire.link import MAX_INTEREST, Interest, SnapshotEnd, encode_interest, encode_snapshot_end
from meshtracker.wire.vector import Position, StreamId
from tests.link.support import SYNCED, batch_of, burst_of, heartbeat_of, hello_of, linked, refused, sequences
from tests.mouth_to_mouth import NOW, PASSWORD, Link, node, rows, settle, synced

HUB, PEER, OTHER = StreamId("hub", 2000), StreamId("peer", 1000), StreamId("other", 1)
ANOTHER_LIFE = StreamId("peer", 1001)


def link_of_a_leaf() -> tuple[Link, Node]:
    """A link of a node that may speak for itself only, with a hub."""
    hub = node("hub", incarnation=HUB.incarnation, forwards=True)
    listed = Credential(PASSWORD, hubs_are_listed=True)
    return synced(node("peer", incarnation=PEER.incarnation), hub, hub_credential=listed), hub


def end_of(stream: StreamId, sequence: int, *, records: int = 0) -> bytes:
    return encode_snapshot_end(SnapshotEnd(stream, Position(sequence, 0), records=records))


LIES = [
    pytest.param(batch_of("other", 1, 1), CloseCode.FORGED, "peer sent the stream of another node, other", id="forged"),
    pytest.param(burst_of("other", 1), CloseCode.FORGED, "peer sent the stream of another node, other", id="burst"),
    pytest.param(
        encode_batch(FrameType.SNAPSHOT, Batch(OTHER, 0, 0, ())),
        CloseCode.FORGED,
        "peer sent the stream of another node, other",
        id="snapshot",
    ),
    pytest.param(
        end_of(OTHER, 1), CloseCode.FORGED, "peer sent the stream of another node, other", id="snapshot's end"
    ),
    pytest.param(batch_of("hub", 2000, 1), CloseCode.FORGED, "another node writes under this node's name", id="as hub"),
    pytest.param(burst_of("hub", 2000), CloseCode.FORGED, "another node writes under this node's name", id="hub burst"),
    pytest.param(
        burst_of("hub", 1999), CloseCode.FORGED, "peer sent the stream of another node, hub", id="as the hub's past"
    ),
    pytest.param(batch_of("peer", 1000, 9), CloseCode.GAP, "batch 9 of peer came after", id="gap"),
    pytest.param(batch_of("peer", 1001, 9), CloseCode.GAP, "batch 9 of peer came after", id="gap of another life"),
    pytest.param(
        burst_of("peer", 1000) + batch_of("peer", 1000, 6) + batch_of("peer", 1000, 8),
        CloseCode.GAP,
        "batch 8 of peer came after 6",
        id="gap within a snapshot",
    ),
    pytest.param(
        burst_of("peer", 1000) + batch_of("peer", 1000, 6) + end_of(PEER, 5),
        CloseCode.PROTOCOL,
        "a snapshot of peer ends at 5 after batch 6",
        id="a snapshot that ends before its batches",
    ),
    pytest.param(end_of(PEER, 4), CloseCode.PROTOCOL, "that no burst announced", id="no snapshot"),
    pytest.param(
        burst_of("peer", 1000, full=False) + end_of(PEER, 4),
        CloseCode.PROTOCOL,
        "that no burst announced",
        id="a partial resync is no snapshot",
    ),
    pytest.param(
        burst_of("peer", 1000) + end_of(PEER, 9, records=3),
        CloseCode.PROTOCOL,
        "holds 0 records where 3 were sent",
        id="wrong count",
    ),
    pytest.param(
        burst_of("peer", 1000) + end_of(ANOTHER_LIFE, 9),
        CloseCode.PROTOCOL,
        "that no burst announced",
        id="another life at its end",
    ),
    pytest.param(
        burst_of("peer", 1000) + encode_batch(FrameType.SNAPSHOT, Batch(ANOTHER_LIFE, 0, 0, ())),
        CloseCode.PROTOCOL,
        "that no burst announced",
        id="another life in its middle",
    ),
    pytest.param(
        batch_of("peer", 1000, 1, ahead_seconds=121),
        CloseCode.FUTURE,
        r"peer stamps its records 121 s ahead of the clock of hub: set the clocks",
        id="from the future",
    ),
    pytest.param(
        encode_batch(FrameType.SWARMS, Batch(OTHER, 0, 0, ())),
        CloseCode.PROTOCOL,
        "SWARMS without INTEREST FETCH",
        id="swarms",
    ),
    pytest.param(frame(FrameType.SWARMS_END), CloseCode.PROTOCOL, "SWARMS without INTEREST FETCH", id="end of swarms"),
    pytest.param(
        encode_interest(Interest.TRACK, [])[0],
        CloseCode.PROTOCOL,
        "INTEREST TRACK after VECTOR",
        id="narrowed too late",
    ),
    pytest.param(
        heartbeat_of(applied=1000),
        CloseCode.PROTOCOL,
        "a heartbeat confirms more than was sent",
        id="confirms too much",
    ),
    pytest.param(
        frame(FrameType.BATCH, b"\4peer"), CloseCode.PROTOCOL, "protocol error: a batch is cut short", id="rubbish"
    ),
    pytest.param(
        encode_batch(FrameType.BATCH, Batch(PEER, 1, 0, ((PEER_TABLE, b"x"),))),
        CloseCode.PROTOCOL,
        "protocol error: ",
        id="rubbish in a section",
    ),
]


@pytest.mark.parametrize(("lie", "code", "pattern"), LIES)
def test_a_lie_ends_the_link_and_its_stream_stays_as_it_was(lie: bytes, code: CloseCode, pattern: str) -> None:
    link, hub = link_of_a_leaf()
    before = sequences(hub)
    refused(link.hub, lie, pattern)
    assert sequences(hub) == before
    assert len(rows(hub)) == ("came after 6" in pattern or "after batch 6" in pattern)
    settle(link)
    assert link.leaf.reason == link.hub.reason
    assert (link.leaf.told_by_peer, link.leaf.refusal, link.leaf.code) == (True, None, code)
    assert link.hub.refusal is code
    link.cut()
    assert hub.links.refused() == {code.label: 1}


@pytest.mark.parametrize(("lie", "code", "pattern"), LIES)
def test_who_broke_the_protocol_has_to_wait_and_who_did_not_has_not(lie: bytes, code: CloseCode, pattern: str) -> None:
    link, hub = link_of_a_leaf()
    refused(link.hub, lie, pattern)
    settle(link)
    link.cut()
    again = Link(node("peer"), hub)
    settle(again)
    if not code.is_breach:
        assert again.states == SYNCED
        return
    assert again.leaf.code is CloseCode.PENALTY
    assert re.search(pattern, again.leaf.reason), again.leaf.reason
    again.cut()
    later = NOW + MIN_PENALTY_SECONDS
    assert synced(node("peer"), hub, later).states == SYNCED


@pytest.mark.parametrize("lie", [batch_of("other", 1, 1), burst_of("other", 1)])
def test_who_may_speak_of_others_is_believed(lie: bytes) -> None:
    link, hub = linked()
    link.hub.receive_data(lie, NOW)
    assert link.hub.state is State.SYNCED, link.hub.reason
    assert not hub.links.refused()


@pytest.mark.parametrize(
    ("interest", "number", "code", "pattern"),
    [
        (Interest.FETCH, MAX_FETCHES + 1, CloseCode.FLOOD, "requests for swarms at once"),
        (Interest.FETCH, MAX_FETCHES, None, ""),
        (Interest.DROP, 1000, None, ""),
    ],
)
def test_requests_for_swarms_are_bounded(interest: Interest, number: int, code: CloseCode | None, pattern: str) -> None:
    link, hub = linked()
    [asked] = encode_interest(interest, [bytes(20)])
    link.hub.receive_data(asked * number, NOW)
    assert link.hub.refusal is code
    assert pattern in link.hub.reason
    assert bool(hub.links.synced()) is not bool(code)


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
    assert link.hub.refusal is CloseCode.FLOOD


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
    link.leaf._receiver = Receiver(here.mesh, attrs.evolve(hello_of(there), forwards=False), may_speak=True)
    refused(link.leaf, encode_batch(FrameType.SWARMS, Batch(OTHER, 0, 0, ())), "a leaf sent swarms of other")
    assert link.leaf.refusal is CloseCode.FORGED


def test_a_batch_again_is_dropped() -> None:
    link, hub = link_of_a_leaf()
    batch = batch_of("peer", 1000, 1)
    for _ in range(3):
        link.hub.receive_data(batch, NOW)
    assert link.states == SYNCED
    assert len(rows(hub)) == 1
    assert link.hub.statistics(NOW).received_batches == 1
    assert sequences(hub)[PEER] == 1


def test_an_older_batch_with_other_records_is_dropped() -> None:
    link, hub = link_of_a_leaf()
    link.hub.receive_data(batch_of("peer", 1000, 1) + batch_of("peer", 1000, 2), NOW)
    before = rows(hub)
    link.hub.receive_data(batch_of("peer", 1000, 1, ahead_seconds=1), NOW)
    assert link.hub.state is State.SYNCED
    assert rows(hub) == before


def test_endless_bursts_do_not_fill_the_log() -> None:
    link, hub = linked()
    link.hub.notices()
    for sequence in range(2 * MAX_TOLD_BURSTS):
        link.hub.receive_data(burst_of("peer", 1000, sequence), NOW)
    levels = [notice.level for notice in link.hub.notices()]
    assert len(levels) == 2 * MAX_TOLD_BURSTS
    assert levels.count("info") <= MAX_TOLD_BURSTS
    assert hub.links.synced()
