"""The sending side: cursors, snapshots and fair turns."""

from __future__ import annotations

import pytest

from meshtracker.errors import CloseCode, LinkError
from meshtracker.link.sender import MAX_FETCHES, Sender
from meshtracker.node.node import Node
from meshtracker.swarm.access import Access
from meshtracker.swarm.peer_table import PEER_TABLE
from meshtracker.wire.batch import decode_batch
from meshtracker.wire.frame import FrameType
from meshtracker.wire.link import Burst, SnapshotEnd, SwarmsEnd, decode
from meshtracker.wire.peer_record import groups, records
from meshtracker.wire.vector import BEGINNING, NOWHERE, Position, StreamId, Vector
from tests.link.allow_lists import swarms_in
from tests.link.support import hello_of
from tests.mouth_to_mouth import NOW, announce, frames, live, node, rows, settle, synced

HUB, A, BB, X = StreamId("hub", 9), StreamId("a", 1), StreamId("bb", 1), StreamId("x", 7)


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """A snapshot of a few rows has several pieces."""
    monkeypatch.setattr("meshtracker.swarm.peer_table.PIECE_BYTES", 100)


def hub_of(name: str = "hub", *, max_log_bytes: int = 1 << 20) -> Node:
    return node(name, incarnation=9, forwards=True, mesh={"max_log_bytes": max_log_bytes})


def bring(owner: Node, stream: StreamId, *, batches: int = 3, first: int = 0) -> Node:
    """A node of that stream has told so many batches, and is gone."""
    leaf = node(stream.name, incarnation=stream.incarnation)
    link = synced(leaf, owner)
    for client in range(batches):
        announce(leaf, first + client + 1000 * len(stream.name), torrent=client)
        leaf.mesh.flush(NOW)
        settle(link)
    link.cut()
    return owner


def hub_with(*streams: StreamId, batches: int = 3, max_log_bytes: int = 1 << 20) -> Node:
    """A hub that knows so many batches of each stream, and has written nothing itself."""
    hub = hub_of(max_log_bytes=max_log_bytes)
    for stream in streams:
        bring(hub, stream, batches=batches)
    return hub


PEER = node("x", incarnation=7)


def sender_of(
    owner: Node,
    known: Vector,
    *,
    peer: Node = PEER,
    everything: bool = False,
    interest: set[bytes] | None = None,
    may_speak: bool = True,
) -> Sender:
    """What an owner sends to a peer that knows that much; ``may_speak``: does the peer believe it?"""
    hello = hello_of(peer, may_speak=may_speak)
    return Sender(owner.mesh, hello, known, everything=everything, interest=interest)


def at(owner: Node, stream: StreamId, sequence: int | None = None) -> Position:
    """A position that has read what this owner did: its own by default."""
    known = owner.mesh.position(stream)
    assert known is not None
    if sequence is None:
        return known
    digest = owner.mesh.digest_at(stream, sequence)
    assert digest is not None
    return Position(sequence, digest)


Line = tuple[str, str, int]
"""Kind, name of the stream, sequence."""


def read(data: bytes) -> list[Line]:
    """What one frame says."""
    [(kind, payload)] = frames(data)
    match decode(kind, payload):
        case Burst(plans):
            return [(kind.name, plan.stream.name, plan.position.sequence) for plan in plans]
        case SnapshotEnd(stream, position, _):
            return [(kind.name, stream.name, position.sequence)]
        case SwarmsEnd():
            return [(kind.name, "", 0)]
        case _:
            batch = decode_batch(payload)
            return [(kind.name, batch.stream.name, batch.sequence)]


def said(sender: Sender) -> list[Line]:
    """All that there is to send."""
    return [line for data in iter(lambda: sender.next_frame(NOW), b"") for line in read(data)]


# ---------------------------------------------------------------- the burst


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


# ---------------------------------------------------------------- who may speak of which stream


def leaf_with(*streams: StreamId, access: Access | None = None) -> Node:
    """A leaf that was linked to a hub with these streams."""
    leaf = node("leaf", incarnation=5, access=access or Access())
    synced(leaf, hub_with(*streams)).cut()
    announce(leaf, 7)
    leaf.mesh.flush(NOW)
    return leaf


@pytest.mark.parametrize("may_speak", [True, False])
def test_a_leaf_that_may_speak_offers_what_the_hub_lacks(*, may_speak: bool) -> None:
    leaf = leaf_with(A)
    sender = sender_of(leaf, {}, peer=hub_of("other"), may_speak=may_speak)
    names = {name for kind, name, _ in said(sender) if kind == "BURST"}
    assert names == ({"leaf", "a"} if may_speak else {"leaf"})
    assert sender.unshared_rows() == (0 if may_speak else 3)


def test_a_leaf_that_may_speak_does_not_send_streams_of_others_as_they_grow() -> None:
    """That is for hubs alone."""
    hub = hub_with(A)
    leaf = node("leaf", incarnation=5)
    link = synced(leaf, hub)
    sender = sender_of(leaf, {A: at(leaf, A, 3), leaf.mesh.own: BEGINNING}, peer=hub_of("other"))
    assert said(sender) == []
    again = synced(node("bb", incarnation=1), hub)
    shift(hub, 9)
    settle(link, again)
    assert rows(leaf) == rows(hub)
    assert said(sender) == []
    shift(leaf, 10)
    assert [name for _, name, _ in said(sender)] == ["leaf"]


def test_a_stream_that_is_offered_is_sent_as_far_as_it_was_offered() -> None:
    """A leaf goes on with it no further, however it grows meanwhile."""
    other = hub_of("other")
    third = node("a", incarnation=1)
    to_third = synced(third, other)
    leaf = node("leaf", incarnation=5)
    link = synced(leaf, other)
    for client in range(3):
        announce(third, client)
        third.mesh.flush(NOW)
        settle(to_third, link)
    sender = sender_of(leaf, {A: at(leaf, A, 1)}, peer=hub_of())
    announce(third, 50)
    third.mesh.flush(NOW)
    settle(to_third, link)
    assert at(leaf, A).sequence == 4
    assert said(sender) == [("BURST", "a", 3), ("BATCH", "a", 2), ("BATCH", "a", 3)]
    assert sender.burst_is_sent


def test_rows_that_cannot_be_shared_are_counted_until_the_peer_knows_them() -> None:
    leaf = leaf_with(A, BB)
    theirs: Vector = {BB: at(leaf, BB)}
    sender = sender_of(leaf, theirs, peer=hub_of("other"), may_speak=False)
    assert sender.unshared_rows() == 3
    theirs[A] = Position(2, 0)
    assert sender.unshared_rows() == 3
    theirs[A] = at(leaf, A)
    assert sender.unshared_rows() == 0


def test_what_is_offered_or_is_the_peers_own_is_not_counted_as_unshared() -> None:
    leaf = leaf_with(A)
    assert sender_of(leaf, {}, peer=hub_of("other")).unshared_rows() == 0
    assert sender_of(leaf, {}, peer=node("a", incarnation=1, forwards=True), may_speak=False).unshared_rows() == 0
    assert sender_of(hub_with(A), {}).unshared_rows() == 0


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


# ---------------------------------------------------------------- snapshots between batches


def shift(owner: Node, client: int) -> None:
    """A client of this node changes something, and a batch is sealed."""
    announce(owner, client, torrent=client % 16, left=0)
    owner.mesh.flush(NOW)


def test_batches_pass_between_the_pieces_of_their_own_snapshot(small_pieces: None) -> None:
    hub = hub_of()
    for client in range(8):
        shift(hub, client)
    sender = sender_of(hub, {})
    told = []
    for client in range(20, 80):
        told += read(sender.next_frame(NOW))
        if told[-1][0] == "SNAPSHOT_END":
            break
        shift(hub, client)
    # A piece and a batch by turns; the end is where the cursor is then, and what was made since follows.
    kinds = [kind for kind, _, _ in told]
    assert kinds[:6] == ["BURST", "SNAPSHOT", "SNAPSHOT", "BATCH", "SNAPSHOT", "BATCH"]
    batches = [sequence for kind, _, sequence in told if kind == "BATCH"]
    assert batches[0] > 8
    assert batches == list(range(batches[0], batches[0] + len(batches)))
    assert len(batches) >= 3
    assert told[-1] == ("SNAPSHOT_END", "hub", batches[-1])
    assert sender.burst_is_sent
    assert read(sender.next_frame(NOW)) == [("BATCH", "hub", batches[-1] + 1)]


def test_batches_of_others_do_not_wait_for_a_snapshot(small_pieces: None) -> None:
    hub = hub_with(A, batches=12)
    sender = sender_of(hub, {})
    told: list[Line] = []
    while not told or told[-1][0] != "SNAPSHOT_END":
        told += read(sender.next_frame(NOW))
        shift(hub, len(told))
    assert [line[:2] for line in told[:5]] == [
        ("BURST", "a"),
        ("BATCH", "hub"),
        ("SNAPSHOT", "a"),
        ("BATCH", "hub"),
        ("SNAPSHOT", "a"),
    ]
    assert told[-1] == ("SNAPSHOT_END", "a", 12)


def test_a_cursor_that_falls_off_the_log_during_the_snapshot(small_pieces: None) -> None:
    """The receiver is told to begin anew; of the first snapshot no end comes."""
    hub = hub_of(max_log_bytes=1500)
    for client in range(12):
        shift(hub, client)
    sender = sender_of(hub, {})
    told = read(sender.next_frame(NOW)) + read(sender.next_frame(NOW))
    assert [kind for kind, _, _ in told] == ["BURST", "SNAPSHOT"]
    for client in range(20, 60):
        shift(hub, client)
    told += said(sender)
    assert sender.sent == {"hub": "full (fell behind)"}
    assert [line for line in told if line[0] not in ("SNAPSHOT", "BATCH")] == [
        ("BURST", "hub", 12),
        ("BURST", "hub", 52),
        ("SNAPSHOT_END", "hub", 52),
    ]
    assert sender.burst_is_sent


def test_a_snapshot_that_others_have_brought_meanwhile_is_ended_at_once() -> None:
    """A leaf offers a hub what it lacks; of what several leaves offer it need not be sent all."""
    leaf = leaf_with(A, BB)
    theirs: Vector = {}
    sender = sender_of(leaf, theirs, peer=hub_of("other"))
    theirs[A] = at(leaf, A)
    told = said(sender)
    assert ("SNAPSHOT", "bb", 0) in told
    assert ("SNAPSHOT", "a", 0) not in told
    assert ("SNAPSHOT_END", "a", 3) in told
    assert sender.burst_is_sent


def test_everything_is_sent_anew_if_it_is_asked_for() -> None:
    hub = hub_with(A, BB)
    known = {A: at(hub, A), BB: at(hub, BB, 1)}
    assert [line for line in said(sender_of(hub, known)) if line[0] != "BURST"] == [
        ("BATCH", "bb", 2),
        ("BATCH", "bb", 3),
    ]
    sender = sender_of(hub, known, everything=True)
    assert sender.sent == dict.fromkeys(("a", "bb"), "full (asked for)")
    told = said(sender)
    for name in ("a", "bb"):
        assert ("SNAPSHOT", name, 0) in told
        assert ("SNAPSHOT_END", name, 3) in told


# ---------------------------------------------------------------- conflicts


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


# ---------------------------------------------------------------- interest


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


def test_batches_pass_between_what_was_fetched(small_pieces: None) -> None:
    hub = busy_hub(4)
    sender = sender_of(hub, {HUB: Position(5, 0)})
    sender.fetch(sorted(hashes(*range(4))), NOW)
    for client in range(200, 210):
        shift(hub, client)
    kinds = [kind for kind, _, _ in said(sender)]
    assert kinds[:4] == ["BATCH", "SWARMS", "BATCH", "SWARMS"]
    assert kinds.count("BATCH") == 10
    assert kinds.count("SWARMS_END") == 1
