"""The sending side: cursors, snapshots and fair turns."""

from __future__ import annotations

from meshtracker.link.feed import Feed
from meshtracker.node.node import Node
from meshtracker.wire.link import (
    MAX_PAYLOAD_BYTES,
    Batch,
    FrameDecoder,
    FrameType,
    Position,
    Vector,
    decode_batch,
    decode_burst,
    decode_snapshot_end,
)
from tests.mouth_to_mouth import NOW, announce, node, settle, synced


def hub_with(*names: str, batches: int = 3, max_log_bytes: int = 1 << 20) -> Node:
    """A hub that knows so many batches of each leaf."""
    hub = node("hub", forwards=True, mesh={"max_log_bytes": max_log_bytes})
    for name in names:
        leaf = node(name)
        link = synced(leaf, hub)
        for client in range(batches):
            announce(leaf, client + 1000 * len(name))
            leaf.mesh.flush(NOW)
        settle(link)
        link.cut()
    return hub


def feed_of(owner: Node, peer: Node, known: Vector) -> Feed:
    feed = Feed(owner.mesh, peer.mesh.hello(NOW), known)
    feed.holds_own = False
    return feed


def said(feed: Feed) -> list[tuple[str, str, int]]:
    """All that there is to send: kind, origin, sequence."""
    told = []
    decoder = FrameDecoder()
    decoder.max_payload_bytes = MAX_PAYLOAD_BYTES
    while data := feed.next_frame(NOW):
        [(kind, payload)] = decoder.feed(data)
        if kind is FrameType.BURST:
            told += [(kind.name, plan.origin, plan.position.sequence) for plan in decode_burst(payload)]
        elif kind is FrameType.SNAPSHOT_END:
            origin, position, _ = decode_snapshot_end(payload)
            told.append((kind.name, origin, position.sequence))
        else:
            batch = decode_batch(payload)
            told.append((kind.name, batch.origin, batch.sequence))
    return told


def test_streams_take_turns() -> None:
    hub = hub_with("a", "bb")
    known = {name: Position(1000, 0) for name in ("hub", "a", "bb")}
    assert said(feed_of(hub, node("x"), known)) == [
        ("BATCH", "a", 1),
        ("BATCH", "bb", 1),
        ("BATCH", "a", 2),
        ("BATCH", "bb", 2),
        ("BATCH", "a", 3),
        ("BATCH", "bb", 3),
    ]


def test_a_snapshot_comes_whole_and_then_what_came_since() -> None:
    hub = hub_with("a")
    feed = feed_of(hub, node("x"), {"hub": Position(1000, 0)})
    before = feed.burst_is_sent
    first = feed.next_frame(NOW)
    assert first[2] == FrameType.SNAPSHOT
    assert said(feed) == [("SNAPSHOT_END", "a", 3)]
    assert (before, feed.burst_is_sent) == (False, True)
    assert feed.sent == {"a": "full (new node)"}


def test_an_earlier_life_of_which_only_pieces_are_known_is_brought_before_the_burst_ends() -> None:
    owner = node("x")
    owner.mesh.apply_snapshot(Batch("a", 500, 9, 0, b""), NOW)
    feed = feed_of(owner, node("a"), {"x": Position(1000, 0)})
    assert not feed.burst_is_sent
    assert said(feed) == [("SNAPSHOT_END", "a", 0)]


def test_an_origin_that_is_new_or_starts_again_is_announced_before_its_data() -> None:
    hub = hub_with("a")
    feed = feed_of(hub, node("x"), {"hub": Position(1000, 0), "a": Position(1000, 3)})
    assert said(feed) == []
    assert feed.burst_is_sent
    synced(node("new"), hub).cut()
    assert said(feed) == [("BURST", "new", 0), ("SNAPSHOT_END", "new", 0)]
    synced(node("a", incarnation=2000), hub).cut()
    told = said(feed)
    assert told[0] == ("BURST", "a", told[-1][2])
    assert told[-1][0] == "SNAPSHOT_END"


def test_an_origin_that_starts_again_between_its_plan_and_its_snapshot() -> None:
    hub = hub_with("a")
    feed = feed_of(hub, node("x"), {})
    synced(node("a", incarnation=2000), hub).cut()
    told = said(feed)
    assert not feed._fulls
    assert [line[:2] for line in told if line[0] != "SNAPSHOT"] == [
        ("SNAPSHOT_END", "hub"),
        ("BURST", "a"),
        ("SNAPSHOT_END", "a"),
    ]
    assert feed.burst_is_sent


def test_a_cursor_that_fell_off_the_log_gets_a_snapshot() -> None:
    hub = hub_with("a", batches=20, max_log_bytes=1500)
    feed = feed_of(hub, node("x"), {"hub": Position(1000, 0), "a": Position(1000, 2)})
    assert feed.sent == {"a": "full (fell behind)"}
    assert said(feed)[-1] == ("SNAPSHOT_END", "a", 20)


def test_its_own_stream_waits_until_the_peer_has_brought_back_the_earlier_one() -> None:
    hub = hub_with("a")
    announce(hub, 5)
    hub.mesh.flush(NOW)
    feed = Feed(hub.mesh, node("x").mesh.hello(NOW), {"a": Position(1000, 3)})
    assert said(feed) == []
    assert not feed.burst_is_sent
    feed.holds_own = False
    assert said(feed)[-1] == ("SNAPSHOT_END", "hub", 1)


def test_nobody_is_sent_its_own_present_stream() -> None:
    hub = hub_with("a")
    feed = feed_of(hub, node("a"), {"hub": Position(1000, 0)})
    assert said(feed) == []
    assert feed.burst_is_sent


def test_a_leaf_speaks_of_itself_only() -> None:
    hub, leaf = hub_with("a"), node("leaf")
    synced(leaf, hub).cut()
    assert "a" in leaf.mesh.vector()
    assert {origin for _, origin, _ in said(feed_of(leaf, node("x"), {}))} == {"leaf"}


def test_a_feed_holds_no_data() -> None:
    hub = node("hub", forwards=True)
    feed = feed_of(hub, node("x"), {"hub": Position(1000, 0)})
    for client in range(2000):
        announce(hub, client)
        hub.mesh.flush(NOW)
    assert len(feed._cursors) == 1
    assert not feed._fulls
    assert len(said(feed)) == 2000
