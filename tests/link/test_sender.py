"""The burst of a sender: which streams are in it, fair turns, and streams that are forgotten meanwhile."""

from __future__ import annotations

import pytest

from meshtracker.node.node import Node
from meshtracker.wire.link import SnapshotEnd, decode
from meshtracker.wire.vector import Position, StreamId, Vector
from tests.link.sending import BB, HUB, A, at, bring, hub_of, hub_with, leaf_with, read, said, sender_of, shift
from tests.mouth_to_mouth import NOW, frames, node


def test_streams_take_turns() -> None:
    hub = hub_with(A, BB)
    sender = sender_of(hub, {A: at(hub, A, 1), BB: at(hub, BB, 1)})
    assert said(sender) == [
        ("BURST", "a", 3),
        ("BURST", "bb", 3),
        ("BATCH", "a", 2),
        ("BATCH", "bb", 2),
        ("BATCH", "a", 3),
        ("BATCH", "bb", 3),
    ]
    assert sender.sent == dict.fromkeys(("a", "bb"), "partial after batch 1")
    assert sender.burst_is_sent


def test_a_snapshot_comes_whole() -> None:
    sender = sender_of(hub_with(A), {})
    is_sent = [sender.burst_is_sent]
    assert read(sender.next_frame(NOW)) == [("BURST", "a", 3)]
    assert read(sender.next_frame(NOW)) == [("SNAPSHOT", "a", 0)]
    is_sent.append(sender.burst_is_sent)
    assert said(sender) == [("SNAPSHOT_END", "a", 3)]
    is_sent.append(sender.burst_is_sent)
    assert is_sent == [False, False, True]
    assert sender.sent == {"a": "full (new node)"}


def test_the_end_of_a_snapshot_says_how_many_records_and_which_digest() -> None:
    hub = hub_with(A)
    sender = sender_of(hub, {})
    sent = frames(b"".join(iter(lambda: sender.next_frame(NOW), b"")))
    assert decode(*sent[-1]) == SnapshotEnd(A, at(hub, A), records=3)


def test_a_stream_that_begins_is_sent_from_its_first_batch_on() -> None:
    """Its digest is known to the peer then, as it would not be of a snapshot."""
    hub = hub_of()
    sender = sender_of(hub, {})
    assert sender.burst_is_sent
    assert said(sender) == []
    for client in range(2):
        shift(hub, client)
    assert said(sender) == [("BATCH", "hub", 1), ("BATCH", "hub", 2)]


def test_a_stream_that_comes_later_is_announced_before_its_data() -> None:
    hub = hub_with(A)
    sender = sender_of(hub, {A: at(hub, A)})
    assert said(sender) == []
    assert sender.burst_is_sent
    bring(hub, BB)
    assert said(sender) == [("BURST", "bb", 3), ("SNAPSHOT", "bb", 0), ("SNAPSHOT_END", "bb", 3)]
    # Another stream of a node that is known is another stream.
    bring(hub, StreamId("a", 2), first=50)
    assert said(sender) == [("BURST", "a", 3), ("SNAPSHOT", "a", 0), ("SNAPSHOT_END", "a", 3)]


def test_two_streams_of_one_node() -> None:
    """Of a node that was restarted, what it wrote before and what it writes now; neither is the later one."""
    hub = hub_of()
    for incarnation in (1, 2):
        bring(hub, StreamId("a", incarnation), first=50 * incarnation)
    sender = sender_of(hub, {StreamId("a", 2): at(hub, StreamId("a", 2), 1)})
    assert sorted(said(sender)) == [
        ("BATCH", "a", 2),
        ("BATCH", "a", 3),
        ("BURST", "a", 3),
        ("BURST", "a", 3),
        ("SNAPSHOT", "a", 0),
        ("SNAPSHOT_END", "a", 3),
    ]


def test_a_cursor_that_fell_off_the_log_gets_a_snapshot() -> None:
    hub = hub_with(A, batches=20, max_log_bytes=1500)
    sender = sender_of(hub, {A: Position(2, 22)})
    assert sender.sent == {"a": "full (fell behind)"}
    assert said(sender)[-1] == ("SNAPSHOT_END", "a", 20)


def test_nobody_is_sent_its_own_present_stream() -> None:
    hub = hub_with(A)
    assert said(sender_of(hub, {}, peer=node("a", incarnation=1))) == []
    # An earlier one is a stream like any other: what it lost in a restart.
    assert said(sender_of(hub, {}, peer=node("a", incarnation=2)))[-1] == ("SNAPSHOT_END", "a", 3)


def test_a_sender_holds_no_data() -> None:
    hub = hub_of()
    hub.mesh.flush(NOW)
    sender = sender_of(hub, {HUB: at(hub, HUB)})
    for client in range(2000):
        shift(hub, client)
    assert len(sender._cursors) == 1
    assert not sender._fulls
    assert len(said(sender)) == 2000


def test_many_streams_are_announced_in_several_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("meshtracker.link.sender.PIECE_STREAMS", 2)
    sender = sender_of(hub_with(*(StreamId(name, 1) for name in ("a", "bb", "ccc", "dddd", "eeeee"))), {})
    told = [read(data) for data in iter(lambda: sender.next_frame(NOW), b"")]
    assert [len(lines) for lines in told if lines[0][0] == "BURST"] == [2, 2, 1]
    # All are announced before the data of any.
    assert [lines[0][0] for lines in told[:4]] == ["BURST", "BURST", "BURST", "SNAPSHOT"]


def test_the_lag_is_of_streams_that_go_on() -> None:
    hub = hub_with(A, BB)
    theirs: Vector = {A: at(hub, A), BB: at(hub, BB, 1)}
    sender = sender_of(hub, theirs)
    assert sender.lag() == 2
    theirs[BB] = at(hub, BB)
    shift(hub, 5)
    assert sender.lag() == 1
    leaf = leaf_with(A)
    assert sender_of(leaf, {}, peer=hub_of("other")).lag() == at(leaf, leaf.mesh.own).sequence


# ---------------------------------------------------------------- streams that are forgotten


def lose_rows(owner: Node, stream: StreamId) -> None:
    """All rows of a stream age out."""
    index = owner.registry.streams.find(stream)
    for swarm in owner.registry.swarms.values():
        for pack in swarm.packs():
            for identity in [row.identity for row, _ in pack.entries() if row.origin == index]:
                owner.registry.drop(swarm, pack, pack.find(identity))


def test_a_stream_that_is_forgotten_before_its_snapshot_is_none_of_the_burst() -> None:
    hub = hub_of()
    bring(hub, A)
    lose_rows(hub, A)
    bring(hub, BB)
    sender = sender_of(hub, {})
    hub.mesh.flush(NOW + 61.0)
    assert hub.mesh.position(A) is None
    assert hub.mesh.position(BB) is not None
    told = said(sender)
    assert [line for line in told if line[1] != "hub"] == [
        ("BURST", "a", 3),
        ("BURST", "bb", 3),
        ("SNAPSHOT", "bb", 0),
        ("SNAPSHOT_END", "bb", 3),
    ]
    assert sender.burst_is_sent


def test_a_stream_that_is_forgotten_on_its_way_is_none_of_the_burst() -> None:
    hub = hub_with(A)
    lose_rows(hub, A)
    sender = sender_of(hub, {A: at(hub, A, 1)})
    assert read(sender.next_frame(NOW)) == [("BURST", "a", 3)]
    assert read(sender.next_frame(NOW)) == [("BATCH", "a", 2)]
    hub.mesh.flush(NOW + 61.0)
    assert [line for line in said(sender) if line[1] != "hub"] == []
    assert sender.burst_is_sent


def forgetful_hub() -> Node:
    """It knew three batches of a stream, and has forgotten it."""
    hub = hub_with(A)
    lose_rows(hub, A)
    hub.mesh.flush(NOW + 61.0)
    assert hub.mesh.has_forgotten(A)
    return hub


@pytest.mark.interpreted
def test_a_new_link_looks_at_no_stream_that_was_forgotten_before(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = forgetful_hub()
    assert A in hub.mesh.changed_after(0)
    sender = sender_of(hub, {})
    seen: list[StreamId] = []
    position = hub.mesh.position

    def seen_position(stream: StreamId) -> Position | None:
        seen.append(stream)
        return position(stream)

    monkeypatch.setattr(hub.mesh, "position", seen_position)
    assert said(sender) == [("BURST", "hub", 1), ("SNAPSHOT_END", "hub", 1)]
    assert set(seen) == {HUB}


def test_a_stream_that_was_forgotten_before_comes_whole_if_it_comes_back() -> None:
    known = at(hub_with(A), A)
    hub = forgetful_hub()
    sender = sender_of(hub, {A: known})
    said(sender)
    bring(hub, A, batches=4)
    assert said(sender) == [("BURST", "a", 4), ("SNAPSHOT", "a", 0), ("SNAPSHOT_END", "a", 4)]
