"""The sending side: cursors, snapshots and fair turns."""

from __future__ import annotations

import pytest

from meshtracker.errors import LinkError
from meshtracker.link.feed import MAX_FETCHES, Feed
from meshtracker.node.node import Node
from meshtracker.wire.batch import Batch, decode_batch, groups, records
from meshtracker.wire.frame import FrameType
from meshtracker.wire.link import decode_burst, decode_snapshot_end
from meshtracker.wire.vector import Position, Vector
from tests.mouth_to_mouth import NOW, announce, frames, node, settle, synced


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """A snapshot of a few rows has several pieces."""
    monkeypatch.setattr("meshtracker.node.transfer.PIECE_BYTES", 100)


def hub_with(*names: str, batches: int = 3, max_log_bytes: int = 1 << 20) -> Node:
    """A hub that knows so many batches of each leaf."""
    hub = node("hub", forwards=True, mesh={"max_log_bytes": max_log_bytes})
    for name in names:
        leaf = node(name)
        link = synced(leaf, hub)
        for client in range(batches):
            announce(leaf, client + 1000 * len(name), torrent=client)
            leaf.mesh.flush(NOW)
        settle(link)
        link.cut()
    return hub


def feed_of(
    owner: Node, peer: Node, known: Vector, *, everything: bool = False, interest: set[bytes] | None = None
) -> Feed:
    feed = Feed(owner.mesh, peer.mesh.hello(NOW), known, everything=everything, interest=interest)
    feed.holds_own = False
    return feed


Line = tuple[str, str, int]
"""Kind, origin, sequence."""


def read(data: bytes) -> list[Line]:
    """What one frame says."""
    [(kind, payload)] = frames(data)
    match kind:
        case FrameType.BURST:
            return [(kind.name, plan.origin, plan.position.sequence) for plan in decode_burst(payload)]
        case FrameType.SNAPSHOT_END:
            origin, position, _ = decode_snapshot_end(payload)
            return [(kind.name, origin, position.sequence)]
        case FrameType.SWARMS_END:
            return [(kind.name, "", 0)]
        case _:
            batch = decode_batch(payload)
            return [(kind.name, batch.origin, batch.sequence)]


def said(feed: Feed) -> list[Line]:
    """All that there is to send."""
    return [line for data in iter(lambda: feed.next_frame(NOW), b"") for line in read(data)]


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
    feed = feed_of(hub, node("x"), {"a": Position(1000, 3)})
    feed.holds_own = True
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


# ---------------------------------------------------------------- snapshots between batches


def shift(owner: Node, client: int) -> None:
    """A client of this node changes something, and a batch is sealed."""
    announce(owner, client, torrent=client % 16, left=0)
    owner.mesh.flush(NOW)


def test_batches_pass_between_the_pieces_of_their_own_snapshot(small_pieces: None) -> None:
    hub = node("hub", forwards=True)
    for client in range(8):
        shift(hub, client)
    feed = feed_of(hub, node("x"), {})
    told = []
    for client in range(20, 80):
        told += read(feed.next_frame(NOW))
        if told[-1][0] == "SNAPSHOT_END":
            break
        shift(hub, client)
    # A piece and a batch by turns; the end is where the cursor is then, and what was made since follows.
    kinds = [kind for kind, _, _ in told]
    assert kinds[1:5] == ["SNAPSHOT", "BATCH", "SNAPSHOT", "BATCH"]
    batches = [sequence for kind, _, sequence in told if kind == "BATCH"]
    assert batches[0] > 8
    assert batches == list(range(batches[0], batches[0] + len(batches)))
    assert len(batches) >= 3
    assert told[-1] == ("SNAPSHOT_END", "hub", batches[-1])
    assert {sequence for kind, _, sequence in told if kind == "SNAPSHOT"} == {batches[0] - 1}
    assert feed.burst_is_sent
    assert read(feed.next_frame(NOW)) == [("BATCH", "hub", batches[-1] + 1)]


def test_batches_of_others_do_not_wait_for_a_snapshot(small_pieces: None) -> None:
    hub = hub_with("a", batches=12)
    feed = feed_of(hub, node("x"), {"hub": Position(1000, 0)})
    told: list[Line] = []
    while not told or told[-1][0] != "SNAPSHOT_END":
        told += read(feed.next_frame(NOW))
        shift(hub, len(told))
    assert [line[:2] for line in told[1:5]] == [
        ("SNAPSHOT", "a"),
        ("BATCH", "hub"),
        ("SNAPSHOT", "a"),
        ("BATCH", "hub"),
    ]
    assert told[-1] == ("SNAPSHOT_END", "a", 12)


def test_an_origin_that_starts_again_during_its_snapshot(small_pieces: None) -> None:
    """The receiver is told to begin anew; of the old snapshot no end comes."""
    hub = hub_with("a", batches=12)
    feed = feed_of(hub, node("x"), {"hub": Position(1000, 0)})
    told = read(feed.next_frame(NOW))
    synced(node("a", incarnation=2000), hub).cut()
    told += said(feed)
    assert [kind for kind, _, _ in told if kind not in ("SNAPSHOT", "BATCH")] == ["BURST", "SNAPSHOT_END"]
    again = [kind for kind, _, _ in told].index("BURST")
    assert {kind for kind, _, _ in told[:again]} == {"SNAPSHOT"}
    # All of it comes, not only what was missing of the first.
    assert len([kind for kind, _, _ in told[again:] if kind == "SNAPSHOT"]) >= 5
    assert feed.sent == {"a": "full (new incarnation)"}
    assert feed.burst_is_sent


def test_a_cursor_that_falls_off_the_log_during_the_snapshot(small_pieces: None) -> None:
    hub = node("hub", forwards=True, mesh={"max_log_bytes": 1500})
    for client in range(12):
        shift(hub, client)
    feed = feed_of(hub, node("x"), {})
    told = read(feed.next_frame(NOW))
    for client in range(20, 60):
        shift(hub, client)
    told += said(feed)
    assert feed.sent == {"hub": "full (fell behind)"}
    assert [line for line in told if line[0] not in ("SNAPSHOT", "BATCH")] == [
        ("BURST", "hub", 52),
        ("SNAPSHOT_END", "hub", 52),
    ]
    assert feed.burst_is_sent


def test_everything_is_sent_anew_if_it_is_asked_for() -> None:
    hub = hub_with("a", "bb")
    known = {"hub": Position(1000, 0), "a": Position(1000, 3), "bb": Position(1000, 1)}
    assert said(feed_of(hub, node("x"), known)) == [("BATCH", "bb", 2), ("BATCH", "bb", 3)]
    feed = feed_of(hub, node("x"), known, everything=True)
    assert feed.sent == dict.fromkeys(("hub", "a", "bb"), "full (asked for)")
    assert sorted(line for line in said(feed) if line[0] == "SNAPSHOT_END") == [
        ("SNAPSHOT_END", "a", 3),
        ("SNAPSHOT_END", "bb", 3),
        ("SNAPSHOT_END", "hub", 0),
    ]


# ---------------------------------------------------------------- interest


def hashes(*torrents: int) -> set[bytes]:
    return {torrent.to_bytes(20, "big") for torrent in torrents}


def contents(feed: Feed) -> set[bytes]:
    """Info-hashes of all groups that are sent."""
    found = set()
    for data in iter(lambda: feed.next_frame(NOW), b""):
        [(kind, payload)] = frames(data)
        if kind in (FrameType.BATCH, FrameType.SNAPSHOT, FrameType.SWARMS):
            found |= {info_hash for info_hash, _ in groups(decode_batch(payload))}
    return found


def busy_hub(torrents: int = 10) -> Node:
    """A batch for each torrent, and one with all of them."""
    hub = node("hub", forwards=True)
    for torrent in range(torrents):
        announce(hub, torrent, torrent=torrent)
        hub.mesh.flush(NOW)
    for torrent in range(torrents):
        announce(hub, torrent + 50, torrent=torrent)
    hub.mesh.flush(NOW)
    return hub


@pytest.mark.parametrize("known", [{}, {"hub": Position(1000, 0)}])
def test_only_what_the_peer_tracks_is_sent(known: Vector) -> None:
    hub = busy_hub()
    assert contents(feed_of(hub, node("x"), known)) == hashes(*range(10))
    assert contents(feed_of(hub, node("x"), known, interest=hashes(3, 4))) == hashes(3, 4)
    assert contents(feed_of(hub, node("x"), known, interest=set())) == set()
    assert contents(feed_of(hub, node("x"), known, interest=hashes(77))) == set()


def test_what_is_skipped_is_counted_and_leaves_no_gap() -> None:
    hub = busy_hub()
    known = {"hub": Position(1000, 0)}
    whole, narrowed = feed_of(hub, node("x"), known), feed_of(hub, node("x"), known, interest=hashes(3))
    all_bytes = b"".join(iter(lambda: whole.next_frame(NOW), b""))
    fewer_bytes = b"".join(iter(lambda: narrowed.next_frame(NOW), b""))
    sequences = [[decode_batch(payload).sequence for _, payload in frames(sent)] for sent in (all_bytes, fewer_bytes)]
    assert sequences == [list(range(1, 12))] * 2
    assert narrowed.skipped_bytes == len(all_bytes) - len(fewer_bytes) > 0
    assert whole.skipped_bytes == 0


def test_an_interest_that_grows_holds_from_the_next_batch_on() -> None:
    hub = busy_hub()
    wanted = hashes(3)
    feed = feed_of(hub, node("x"), {"hub": Position(1000, 10)}, interest=wanted)
    wanted |= hashes(4)
    assert contents(feed) == hashes(3, 4)


def test_what_is_fetched_comes_whole_and_ahead_of_a_snapshot() -> None:
    hub = busy_hub()
    synced_leaf = node("a")
    announce(synced_leaf, 7, torrent=3)
    announce(synced_leaf, 8, torrent=3)
    announce(synced_leaf, 8, torrent=3, left=0)
    synced_leaf.mesh.flush(NOW)
    synced(synced_leaf, hub).cut()
    feed = feed_of(hub, node("x"), {"hub": Position(1000, 11), "a": Position(1000, 1)}, interest=set())
    feed.fetch(sorted(hashes(3, 77, 4)), NOW)
    feed.fetch([], NOW)
    told, found = [], []
    for data in iter(lambda: feed.next_frame(NOW), b""):
        [(kind, payload)] = frames(data)
        told += read(data)
        if kind is FrameType.SWARMS:
            batch = decode_batch(payload)
            found += [
                (info_hash[-1], batch.origin) for info_hash, body in groups(batch) for _ in records(body, batch.base)
            ]
    assert sorted(found) == [(3, "a"), (3, "a"), (3, "hub"), (3, "hub"), (4, "hub"), (4, "hub")]
    assert [kind for kind, _, _ in told].count("SWARMS_END") == 2
    assert told[-1][0] == "SWARMS_END"
    assert {sequence for kind, _, sequence in told if kind == "SWARMS"} == {0}


def test_fetches_are_bounded() -> None:
    feed = feed_of(busy_hub(), node("x"), {"hub": Position(1000, 11)})
    for _ in range(MAX_FETCHES):
        feed.fetch([bytes(20)], NOW)
    with pytest.raises(LinkError) as caught:
        feed.fetch([bytes(20)], NOW)
    assert caught.value.kind == "flood"
    while feed.next_frame(NOW):
        pass
    feed.fetch([bytes(20)], NOW)


def test_batches_pass_between_what_was_fetched() -> None:
    hub = busy_hub(40)
    feed = feed_of(hub, node("x"), {"hub": Position(1000, 41)})
    feed.fetch(sorted(hashes(*range(40))), NOW)
    for client in range(200, 210):
        shift(hub, client)
    kinds = [kind for kind, _, _ in said(feed)]
    assert kinds[:4] == ["BATCH", "SWARMS", "BATCH", "SWARMS_END"]
    assert kinds.count("BATCH") == 10
