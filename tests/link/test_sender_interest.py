"""A peer that tracks some swarms is sent these alone, and what it fetches comes whole."""

from __future__ import annotations

import pytest

from meshtracker.errors import CloseCode, LinkError
from meshtracker.link.sender import MAX_FETCHES, Sender
from meshtracker.node.node import Node
from meshtracker.swarm.peer_table import PEER_TABLE
from meshtracker.wire.batch import decode_batch
from meshtracker.wire.frame import FrameType
from meshtracker.wire.link import SwarmsEnd, decode
from meshtracker.wire.peer_record import groups, records
from meshtracker.wire.vector import BEGINNING, Position, Vector
from tests.link.allow_lists import swarms_in
from tests.link.sending import HUB, A, hub_of, read, said, sender_of, shift
from tests.mouth_to_mouth import NOW, announce, frames, node, settle, synced


def hashes(*torrents: int) -> set[bytes]:
    return {torrent.to_bytes(20, "big") for torrent in torrents}


def contents(sender: Sender) -> set[bytes]:
    """Info-hashes of all groups that are sent."""
    found: set[bytes] = set()
    for data in iter(lambda: sender.next_frame(NOW), b""):
        [(kind, payload)] = frames(data)
        if kind in (FrameType.BATCH, FrameType.SNAPSHOT, FrameType.SWARMS):
            found |= swarms_in(payload)
    return found


def busy_hub(torrents: int = 10) -> Node:
    """A batch for each torrent, and one with all of them."""
    hub = hub_of()
    for torrent in range(torrents):
        announce(hub, torrent, torrent=torrent)
        hub.mesh.flush(NOW)
    for torrent in range(torrents):
        announce(hub, torrent + 50, torrent=torrent)
    hub.mesh.flush(NOW)
    return hub


@pytest.mark.parametrize("known", [{}, {HUB: BEGINNING}, {HUB: Position(1, 0)}])
def test_only_what_the_peer_tracks_is_sent(known: Vector) -> None:
    hub = busy_hub()
    assert contents(sender_of(hub, known)) == hashes(*range(10))
    assert contents(sender_of(hub, known, interest=hashes(3, 4))) == hashes(3, 4)
    assert contents(sender_of(hub, known, interest=set())) == set()
    assert contents(sender_of(hub, known, interest=hashes(77))) == set()


def test_what_is_skipped_is_counted_and_leaves_no_gap() -> None:
    hub = busy_hub()
    known = {HUB: Position(1, 0)}
    whole, narrowed = sender_of(hub, known), sender_of(hub, known, interest=hashes(3))
    all_bytes = b"".join(iter(lambda: whole.next_frame(NOW), b""))
    fewer_bytes = b"".join(iter(lambda: narrowed.next_frame(NOW), b""))
    sequences = [
        [decode_batch(payload).sequence for kind, payload in frames(sent) if kind is FrameType.BATCH]
        for sent in (all_bytes, fewer_bytes)
    ]
    assert sequences == [list(range(2, 12))] * 2
    assert narrowed.skipped_bytes == len(all_bytes) - len(fewer_bytes) > 0
    assert whole.skipped_bytes == 0


def test_an_interest_that_grows_holds_from_the_next_batch_on() -> None:
    hub = busy_hub()
    wanted = hashes(3)
    sender = sender_of(hub, {HUB: Position(10, 0)}, interest=wanted)
    wanted |= hashes(4)
    assert contents(sender) == hashes(3, 4)


def test_what_is_fetched_comes_whole_and_ahead_of_a_snapshot() -> None:
    hub = busy_hub()
    leaf = node("a", incarnation=1)
    link = synced(leaf, hub)
    announce(leaf, 7, torrent=3)
    announce(leaf, 8, torrent=3)
    announce(leaf, 8, torrent=3, left=0)
    leaf.mesh.flush(NOW)
    settle(link)
    link.cut()
    sender = sender_of(hub, {HUB: Position(11, 0), A: Position(1, 0)}, interest=set())
    sender.fetch(sorted(hashes(3, 77, 4)), NOW)
    sender.fetch([], NOW)
    told, found = [], []
    for data in iter(lambda: sender.next_frame(NOW), b""):
        [(kind, payload)] = frames(data)
        told += read(data)
        if kind is FrameType.SWARMS:
            batch = decode_batch(payload)
            [(table, section)] = batch.sections
            assert table == PEER_TABLE
            found += [
                (info_hash[-1], batch.stream.name)
                for info_hash, body in groups(section)
                for _ in records(body, batch.base, strict=True)
            ]
    assert sorted(found) == [(3, "a"), (3, "a"), (3, "hub"), (3, "hub"), (4, "hub"), (4, "hub")]
    assert [kind for kind, _, _ in told].count("SWARMS_END") == 2
    assert told[-1][0] == "SWARMS_END"
    assert {sequence for kind, _, sequence in told if kind == "SWARMS"} == {0}


def test_the_end_of_what_is_fetched_says_what_the_sender_knew_at_its_beginning() -> None:
    hub = busy_hub()
    sender = sender_of(hub, {HUB: Position(11, 0)})
    known = hub.mesh.vector()
    sender.fetch(sorted(hashes(3)), NOW)
    shift(hub, 99)
    ends = [
        message
        for data in iter(lambda: sender.next_frame(NOW), b"")
        if isinstance(message := decode(*frames(data)[0]), SwarmsEnd)
    ]
    assert ends == [SwarmsEnd(known)]


def test_fetches_are_bounded() -> None:
    sender = sender_of(busy_hub(), {HUB: Position(11, 0)})
    for _ in range(MAX_FETCHES):
        sender.fetch([bytes(20)], NOW)
    with pytest.raises(LinkError) as caught:
        sender.fetch([bytes(20)], NOW)
    assert caught.value.code is CloseCode.FLOOD
    while sender.next_frame(NOW):
        pass
    sender.fetch([bytes(20)], NOW)


def test_batches_pass_between_what_was_fetched(tiny_pieces: None) -> None:
    hub = busy_hub(4)
    sender = sender_of(hub, {HUB: Position(5, 0)})
    sender.fetch(sorted(hashes(*range(4))), NOW)
    for client in range(200, 210):
        shift(hub, client)
    kinds = [kind for kind, _, _ in said(sender)]
    assert kinds[:4] == ["BATCH", "SWARMS", "BATCH", "SWARMS"]
    assert kinds.count("BATCH") == 10
    assert kinds.count("SWARMS_END") == 1
