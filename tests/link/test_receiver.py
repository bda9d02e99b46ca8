"""Who may send what over a link, how a snapshot is held together, and what becomes of streams that are in conflict."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import attrs
import pytest

from meshtracker.errors import CloseCode, LinkError
from meshtracker.link.proof.authentication import Credential
from meshtracker.link.receiver import Receiver
from meshtracker.link.sender import Sender
from meshtracker.node.node import Node
from meshtracker.wire.batch import Batch, decode_batch, encode_batch
from meshtracker.wire.frame import HEADER, FrameType
from meshtracker.wire.link import BatchFrame, Burst, SnapshotEnd, SnapshotPiece, StreamPlan, decode, encode_burst
from meshtracker.wire.vector import BEGINNING, MAX_STREAMS, NOWHERE, Position, StreamId, Vector, chain
from tests.link.support import batch_of, hello_of
from tests.mouth_to_mouth import NOW, Link, announce, frames, node, rows, settle, synced

THIRD, FOURTH = StreamId("third", 1), StreamId("fourth", 2)


def plan(stream: StreamId = THIRD, *, full: bool = True, conflict: bool = False) -> StreamPlan:
    """A stream that a peer announces."""
    reason = "new node" if full else ""
    after = 0 if full else 3
    return StreamPlan(stream=stream, position=Position(5, 55), after=after, full=full, reason=reason, conflict=conflict)


def begin(receiver: Receiver, *plans: StreamPlan) -> list[str]:
    return receiver.burst(Burst(plans), NOW)


def end(receiver: Receiver, stream: StreamId, sequence: int, digest: int = 0, *, records: int = 0) -> None:
    receiver.end_snapshot(SnapshotEnd(stream, Position(sequence, digest), records), NOW)


def frame_of(stream: StreamId, sequence: int) -> BatchFrame:
    """A batch with one peer."""
    payload = batch_of(stream.name, stream.incarnation, sequence)[HEADER.size :]
    return BatchFrame(decode_batch(payload), payload)


def take(receiver: Receiver, stream: StreamId, sequence: int) -> bool:
    """An empty batch comes."""
    batch = Batch(stream, sequence, 0, ())
    return receiver.batch(BatchFrame(batch, encode_batch(FrameType.BATCH, batch)[HEADER.size :]), NOW)


def receiver_of(
    here: Node | None = None, *, forwards: bool = True, may_speak: bool = True, is_believed: bool = True
) -> Receiver:
    """What ``here`` takes from ``there``. ``is_believed``: what there says of others; ``may_speak``: here, to there."""
    there = node("there", incarnation=77, forwards=forwards)
    hello = hello_of(there, may_speak=is_believed)
    return Receiver((here or node("here")).mesh, attrs.evolve(hello, may_speak=may_speak), may_speak=is_believed)


THERE = StreamId("there", 77)


# ---------------------------------------------------------------- who may speak of which stream


@pytest.mark.parametrize(
    ("stream", "is_believed", "is_taken"),
    [
        (THERE, True, True),
        (THERE, False, True),
        # An earlier life of the peer, or another stream of its name: it is the peer's to speak of.
        (StreamId("there", 1), False, True),
        (THIRD, True, True),
        (THIRD, False, False),
        # An earlier life of this node, which it lost.
        (StreamId("here", 1), True, True),
        (StreamId("here", 1), False, False),
    ],
)
def test_who_may_speak_of_which_stream(stream: StreamId, *, is_believed: bool, is_taken: bool) -> None:
    batch = Batch(stream, 0, 0, ())

    def receiver() -> Receiver:
        return receiver_of(forwards=False, is_believed=is_believed)

    said: list[Callable[[], object]] = [
        lambda: begin(receiver(), plan(stream)),
        lambda: receiver().batch(frame_of(stream, 1), NOW),
        lambda: take(receiver(), stream, 1),
    ]
    for say in said:
        if is_taken:
            say()
            continue
        with pytest.raises(LinkError, match=f"^there sent the stream of another node, {stream.name}$") as caught:
            say()
        assert caught.value.code is CloseCode.FORGED
    unannounced: list[Callable[[], object]] = [
        lambda: receiver().snapshot(batch, NOW),
        lambda: end(receiver(), stream, 0),
    ]
    for say in unannounced:
        with pytest.raises(LinkError) as caught:
            say()
        assert caught.value.code is (CloseCode.PROTOCOL if is_taken else CloseCode.FORGED)


@pytest.mark.parametrize("is_believed", [True, False])
def test_nobody_writes_in_this_nodes_present_stream(*, is_believed: bool) -> None:
    here = node("here")
    receiver = receiver_of(here, is_believed=is_believed)
    said: list[Callable[[], object]] = [
        lambda: begin(receiver, plan(here.mesh.own)),
        lambda: take(receiver, here.mesh.own, 1),
        lambda: receiver.snapshot(Batch(here.mesh.own, 0, 0, ()), NOW),
        lambda: end(receiver, here.mesh.own, 9),
    ]
    for say in said:
        with pytest.raises(LinkError, match="another node writes under this node's name, here") as caught:
            say()
        assert caught.value.code is CloseCode.FORGED
    assert here.mesh.position(here.mesh.own) == BEGINNING


def test_who_began_to_speak_of_a_stream_is_checked_before_anything_is_kept() -> None:
    here = node("here")
    receiver = receiver_of(here, is_believed=False)
    with pytest.raises(LinkError):
        receiver.batch(frame_of(THIRD, 1), NOW)
    assert here.mesh.vector().keys() == {here.mesh.own}
    assert rows(here) == {}


def test_swarms_come_from_hubs_only_and_say_nothing_of_streams() -> None:
    here = node("here")
    batch = Batch(THIRD, 0, 0, ())
    with pytest.raises(LinkError, match="a leaf sent swarms of third") as caught:
        receiver_of(here, forwards=False).swarms(batch, NOW)
    assert caught.value.code is CloseCode.FORGED
    here.mesh.finish_snapshot(THIRD, Position(5, 55), NOW, tables=("peers", "completed"), replaces=False)
    hub = receiver_of(here)
    hub.swarms(batch, NOW)
    hub.swarms(attrs.evolve(batch, stream=FOURTH), NOW)
    assert here.mesh.position(THIRD) == Position(5, 55)
    # Some of its rows may be known, and of its stream nothing.
    assert here.mesh.position(FOURTH) == NOWHERE
    # This node's own rows are among those of a swarm; it knows them better.
    hub.swarms(decode_batch(batch_of("here", here.mesh.own.incarnation, 0)[HEADER.size :]), NOW)
    assert rows(here) == {}


def test_the_operator_is_told_how_each_stream_comes() -> None:
    receiver = receiver_of()
    assert begin(receiver, plan(THERE), plan(THIRD, full=False)) == [
        "there: full resync: new node",
        "third: partial resync after batch 3",
    ]
    assert receiver.resync == {"there": "full (new node)", "third": "partial after batch 3"}


# ---------------------------------------------------------------- snapshots


def test_a_snapshot_is_announced_whole_and_counted() -> None:
    owner = node("there", forwards=True)
    for client in range(30):
        announce(owner, client)
    owner.mesh.flush(NOW)
    here = node("here")
    sender = Sender(owner.mesh, hello_of(here), {}, everything=False, interest=None)
    sent = frames(b"".join(iter(lambda: sender.next_frame(NOW), b"")))
    assert [kind for kind, _ in sent] == [FrameType.BURST, FrameType.SNAPSHOT, FrameType.SNAPSHOT_END]
    burst, piece, last = (decode(kind, payload) for kind, payload in sent)
    assert isinstance(burst, Burst)
    assert isinstance(piece, SnapshotPiece)
    assert isinstance(last, SnapshotEnd)

    receiver = Receiver(here.mesh, hello_of(owner), may_speak=True)
    with pytest.raises(LinkError, match="that no burst announced"):
        receiver.snapshot(piece.batch, NOW)
    receiver.burst(burst, NOW)
    with pytest.raises(LinkError, match="holds 0 records where 30 were sent"):
        receiver.end_snapshot(last, NOW)
    receiver.snapshot(piece.batch, NOW)
    assert here.mesh.position(owner.mesh.own) == NOWHERE
    receiver.end_snapshot(last, NOW)
    assert (receiver.records, here.registry.peers) == (30, 30)
    assert here.mesh.position(owner.mesh.own) == owner.mesh.position(owner.mesh.own)
    with pytest.raises(LinkError, match="that no burst announced"):
        receiver.end_snapshot(last, NOW)


def test_snapshots_at_once_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("meshtracker.link.receiver.MAX_STREAMS", 3)
    receiver = receiver_of()
    for number in range(3):
        begin(receiver, plan(StreamId("third", number)))
    # One that begins again is not another one.
    begin(receiver, plan(StreamId("third", 0)))
    with pytest.raises(LinkError, match="more than 3 snapshots at once") as caught:
        begin(receiver, plan(StreamId("third", 3)))
    assert caught.value.code is CloseCode.FLOOD
    assert MAX_STREAMS > 1000


def test_a_batch_ahead_of_its_snapshot_counts_once_the_snapshot_is_complete() -> None:
    here = node("here").mesh
    receiver = Receiver(here, hello_of(node("there", forwards=True)), may_speak=True)
    begin(receiver, plan())
    for sequence in (6, 7, 8):
        assert take(receiver, THIRD, sequence)
        assert here.position(THIRD) == NOWHERE
    assert receiver.batches == 3
    with pytest.raises(LinkError, match="ends at 7 after batch 8"):
        end(receiver, THIRD, 7)
    end(receiver, THIRD, 8, 88)
    assert here.position(THIRD) == Position(8, 88)
    take(receiver, THIRD, 9)
    assert here.frame(THIRD, 9) is not None
    position = here.position(THIRD)
    assert position is not None
    assert position.sequence == 9
    assert position.digest not in (0, 88)


def test_what_follows_on_what_is_known_is_passed_on_at_once() -> None:
    """A snapshot that was asked for, of a stream that is known: its batches need not wait."""
    here = node("here")
    receiver = receiver_of(here)
    tables = ("peers", "completed")
    here.mesh.finish_snapshot(THIRD, Position(5, 55), NOW, tables=tables, replaces=False)
    begin(receiver, plan())
    assert take(receiver, THIRD, 6)
    known = here.mesh.position(THIRD)
    assert known is not None
    assert known.sequence == 6
    assert here.mesh.frame(THIRD, 6) is not None
    # It had come from elsewhere before.
    here.mesh.finish_snapshot(THIRD, Position(9, 99), NOW, tables=tables, replaces=False)
    assert not take(receiver, THIRD, 7)
    assert here.mesh.position(THIRD) == Position(9, 99)
    end(receiver, THIRD, 7)
    assert here.mesh.position(THIRD) == Position(9, 99)


def test_a_gap_between_the_batches_around_a_snapshot() -> None:
    receiver = receiver_of()
    begin(receiver, plan())
    take(receiver, THIRD, 6)
    with pytest.raises(LinkError, match="batch 8 of third came after 6") as caught:
        take(receiver, THIRD, 8)
    # Two sources of one stream may make one: it is nobody's fault.
    assert caught.value.code is CloseCode.GAP
    assert not caught.value.code.is_breach


@pytest.mark.parametrize(
    ("sequences", "pattern"), [((1, 3), "batch 3 of third came after 1"), ((2,), "batch 2 of third came after 0")]
)
def test_a_gap_without_a_snapshot(sequences: tuple[int, ...], pattern: str) -> None:
    """What is not brought by a snapshot comes from its first batch on."""
    here = node("here")
    receiver = receiver_of(here)
    for sequence in sequences[:-1]:
        assert take(receiver, THIRD, sequence)
    before = here.mesh.vector()
    with pytest.raises(LinkError, match=pattern) as caught:
        take(receiver, THIRD, sequences[-1])
    assert caught.value.code is CloseCode.GAP
    assert here.mesh.vector() == before


def test_a_stream_that_comes_from_its_first_batch_on_is_known_by_its_digest() -> None:
    here = node("here")
    first = frame_of(THIRD, 1)
    receiver_of(here).batch(first, NOW)
    assert here.mesh.position(THIRD) == Position(1, chain(BEGINNING.digest, first.payload))


def test_a_snapshot_that_is_begun_again_forgets_what_had_come_of_the_first() -> None:
    here = node("here")
    receiver = receiver_of(here)
    begin(receiver, plan())
    receiver.snapshot(decode_batch(batch_of("third", 1, 0)[HEADER.size :]), NOW)
    take(receiver, THIRD, 6)
    begin(receiver, plan())
    take(receiver, THIRD, 4)
    end(receiver, THIRD, 4, 44, records=0)
    known = here.mesh.position(THIRD)
    assert known is not None
    # The row of the first is in no batch that the second was told to hold: others are to compare theirs.
    assert (known.sequence, known.digest != 44) == (4, True)


def test_a_continued_stream_ends_its_snapshot() -> None:
    receiver = receiver_of()
    begin(receiver, plan())
    begin(receiver, plan(full=False))
    with pytest.raises(LinkError, match="that no burst announced"):
        end(receiver, THIRD, 5)


def test_two_streams_of_one_node_are_two_snapshots() -> None:
    here = node("here")
    receiver = receiver_of(here)
    later = StreamId("third", 2)
    begin(receiver, plan(), plan(later))
    take(receiver, THIRD, 8)
    take(receiver, later, 2)
    end(receiver, later, 2, 22)
    end(receiver, THIRD, 8, 88)
    assert (here.mesh.position(THIRD), here.mesh.position(later)) == (Position(8, 88), Position(2, 22))


# ---------------------------------------------------------------- streams for which there is no room


def full_node() -> Node:
    """A node that knows as many streams as it can."""
    here = node("here")
    streams = here.registry.streams
    while streams.has_room(StreamId("other", len(streams))):
        streams.index(StreamId("other", len(streams)))
    return here


def test_what_there_is_no_room_for_is_counted_and_left_out() -> None:
    """The link stays: its other streams are worth having."""
    here = full_node()
    receiver = receiver_of(here)
    begin(receiver, plan())
    assert not receiver.batch(frame_of(THIRD, 6), NOW)
    receiver.snapshot(decode_batch(batch_of("third", 1, 0)[HEADER.size :]), NOW)
    end(receiver, THIRD, 6, records=1)
    receiver.swarms(decode_batch(batch_of("third", 1, 0)[HEADER.size :]), NOW)
    assert receiver.refused_records == 5
    assert (receiver.records, receiver.batches) == (0, 0)
    assert here.mesh.position(THIRD) is None
    assert rows(here) == {}


def test_a_stream_that_was_refused_stays_so_for_the_link() -> None:
    """A part of it must not be taken for all of it."""
    here = full_node()
    receiver = receiver_of(here)
    begin(receiver, plan())
    receiver.snapshot(decode_batch(batch_of("third", 1, 0)[HEADER.size :]), NOW)
    here.registry.streams.forget(StreamId("other", 5))
    assert here.registry.streams.has_room(THIRD)
    end(receiver, THIRD, 6)
    assert not receiver.batch(frame_of(THIRD, 7), NOW)
    assert here.mesh.position(THIRD) is None
    # Another link brings it.
    again = receiver_of(here)
    begin(again, plan())
    end(again, THIRD, 7, 77)
    assert here.mesh.position(THIRD) == Position(7, 77)


def test_a_stream_that_was_refused_is_not_missed() -> None:
    here = full_node()
    receiver = receiver_of(here)
    begin(receiver, plan())
    theirs = {THIRD: Position(50, 0)}
    assert receiver.lacks(theirs) == 0
    assert theirs == {}


# ---------------------------------------------------------------- what is lacking

KNOWN = {THIRD: Position(5, 55), THERE: Position(3, 33), FOURTH: NOWHERE}
UNKNOWN = StreamId("unknown", 9)


@pytest.mark.parametrize(
    ("theirs", "lacking"),
    [
        ({}, 0),
        (KNOWN, 0),
        ({THIRD: Position(4, 44)}, 0),
        # The same batch, read otherwise, is not missing: the digests say what is to be done.
        ({THIRD: Position(5, 5555)}, 0),
        ({THIRD: Position(7, 77)}, 2),
        ({StreamId("third", 2): BEGINNING}, 0),
        ({StreamId("third", 2): Position(7, 77)}, 7),
        ({FOURTH: Position(2, 0)}, 2),
        ({UNKNOWN: Position(2, 0), THIRD: Position(6, 66)}, 3),
        # Of this node's own stream nobody knows more.
        ({StreamId("here", 1000): Position(9, 99)}, 0),
        ({THERE: Position(5, 55)}, 2),
    ],
)
def test_what_a_peers_vector_says_is_missing(theirs: Vector, lacking: int) -> None:
    here = node("here", incarnation=1000)
    for stream, position in KNOWN.items():
        here.mesh.finish_snapshot(stream, position, NOW, tables=("peers", "completed"), replaces=False)
    assert receiver_of(here).lacks(dict(theirs)) == lacking
    # A leaf does not go on sending what it knows of others.
    assert receiver_of(here, forwards=False).lacks(dict(theirs)) == (lacking if THERE in theirs else 0)


def with_a_forgotten_stream() -> tuple[Node, Receiver, float]:
    """A node that knew a stream up to 5 when the peer told of it, and has let go of it, for it had no rows."""
    here = node("here")
    here.mesh.finish_snapshot(THIRD, Position(5, 55), NOW, tables=("peers", "completed"), replaces=False)
    receiver = receiver_of(here)
    theirs = {THIRD: Position(5, 55)}
    assert receiver.lacks(theirs) == 0
    assert theirs == {THIRD: Position(5, 55)}
    now = NOW + 61.0
    here.mesh.flush(now)
    assert here.mesh.position(THIRD) is None
    return here, receiver, now


@pytest.mark.parametrize("sequence", [5, 6])
def test_what_this_node_has_forgotten_is_not_missing(sequence: int) -> None:
    """Of a stream without rows there is nothing to have."""
    _, receiver, _ = with_a_forgotten_stream()
    theirs = {THIRD: Position(sequence, 0), FOURTH: Position(2, 0)}
    assert receiver.lacks(theirs) == 2


def test_a_stream_that_was_forgotten_goes_on_with_its_next_batch() -> None:
    """The peer counts as known here what was; what it sends next follows on that."""
    here, receiver, now = with_a_forgotten_stream()
    for sequence in (1, 5):
        # They came another way too, before it was forgotten.
        assert not receiver.batch(frame_of(THIRD, sequence), now)
    with pytest.raises(LinkError, match="batch 7 of third came after 5"):
        receiver.batch(frame_of(THIRD, 7), now)
    assert here.mesh.position(THIRD) is None
    following = frame_of(THIRD, 6)
    assert receiver.batch(following, now)
    assert here.mesh.position(THIRD) == Position(6, chain(55, following.payload))
    with pytest.raises(LinkError, match="batch 8 of third came after 6"):
        receiver.batch(frame_of(THIRD, 8), now)


def test_a_stream_may_be_forgotten_twice() -> None:
    """It had a batch in between, of which the peer has not told by a heartbeat."""
    here, receiver, now = with_a_forgotten_stream()
    assert take(receiver, THIRD, 6)
    here.mesh.flush(now + 61.0)
    assert here.mesh.position(THIRD) is None
    assert take(receiver, THIRD, 7)


# ---------------------------------------------------------------- conflicts


def told_otherwise(owner: Node, clients: range) -> Node:
    """A node that has heard a stream named third, of which others have heard the same numbers with other content."""
    third = node("third", incarnation=1)
    link = synced(third, owner)
    for client in clients:
        announce(third, client, torrent=client % 3)
        third.mesh.flush(NOW)
        settle(link)
    link.cut()
    return owner


def clients_of(owner: Node) -> set[bytes]:
    return {identity for _, _, identity in rows(owner)}


@pytest.mark.parametrize(
    ("forwards", "ones", "others"), [(True, 3, 3), (True, 3, 5), (True, 5, 3), (False, 3, 3), (False, 3, 5)]
)
def test_two_that_may_both_speak_have_the_rows_of_both_in_the_end(ones: int, others: int, *, forwards: bool) -> None:
    """Whoever knows more has the log that shows it."""
    hub = told_otherwise(node("hub", forwards=True), range(100, 100 + others))
    one = node("one", forwards=forwards)
    if forwards:
        told_otherwise(one, range(ones))
    else:
        synced(one, told_otherwise(node("else", forwards=True), range(ones))).cut()
    before = [clients_of(one), clients_of(hub)]
    assert [len(clients) for clients in before] == [ones, others]
    link = synced(one, hub)
    assert clients_of(one) == clients_of(hub) == before[0] | before[1]
    assert rows(one) == rows(hub)
    assert one.mesh.position(THIRD) == hub.mesh.position(THIRD) != NOWHERE
    assert any("full (conflict)" in end.statistics(NOW).resync for end in link.ends)
    # It is over: the next link finds nothing to do.
    link.cut()
    again = synced(one, hub)
    assert not any("third" in end.statistics(NOW).resync for end in again.ends)


OWN = Credential("the leaf's own")


def link_of_a_leaf_that_may_not_speak(leaf: Node, hub: Node) -> Link:
    """The hub takes all that link with the mesh's password for leaves that speak of themselves."""
    return synced(leaf, hub, hub_credential=Credential(OWN.password, hubs_are_listed=True), leaf_credential=OWN)


@pytest.mark.parametrize("others", [3, 5])
def test_a_leaf_that_may_not_speak_takes_the_hubs_position_and_keeps_its_rows(others: int) -> None:
    hub = told_otherwise(node("hub", forwards=True), range(100, 100 + others))
    leaf = node("leaf")
    synced(leaf, told_otherwise(node("else", forwards=True), range(3))).cut()
    announce(leaf, 77)
    leaf.mesh.flush(NOW)
    before = clients_of(hub)
    link = link_of_a_leaf_that_may_not_speak(leaf, hub)
    # Those that the hub lacks and takes from nobody but their own node are told to the operator.
    assert clients_of(leaf) > clients_of(hub)
    assert link.leaf.statistics(NOW).unshared_rows == 3 == len(clients_of(leaf) - clients_of(hub))
    # What the leaf's own clients did is its own to tell.
    assert [identity[:20] for identity in clients_of(hub) - before] == [b"-MT0001-%012d" % 77]
    assert leaf.mesh.position(THIRD) == hub.mesh.position(THIRD)
    assert "third: full (conflict)" in link.leaf.statistics(NOW).resync
    assert "third" not in link.hub.statistics(NOW).resync


def test_a_conflict_is_answered_by_who_may_and_nobody_drops_rows() -> None:
    for forwards, may_speak, answers in ((True, False, True), (False, True, True), (False, False, False)):
        here = node("here", forwards=forwards)
        first = receiver_of(here, may_speak=may_speak)
        assert first.batch(frame_of(THIRD, 1), NOW)
        assert take(first, FOURTH, 1)
        assert first.batch(frame_of(FOURTH, 2), NOW)
        begin(first, plan(conflict=True))
        assert (here.mesh.rows(THIRD), here.mesh.rows(FOURTH)) == (1, 1)
        first.snapshot(decode_batch(batch_of("third", 1, 9)[HEADER.size :]), NOW)
        end(first, THIRD, 1, 11, records=1)
        assert here.mesh.rows(THIRD) == 2
        assert first.conflicts == ([THIRD] if answers else [])
        assert first.unshared_rows == (not answers)


@pytest.mark.parametrize(("digest", "kept"), [(11, 99), (99, 99), (100, 100)])
def test_both_ends_of_a_conflict_settle_on_one_digest(digest: int, kept: int) -> None:
    here = node("here", forwards=True)
    here.mesh.finish_snapshot(THIRD, Position(5, 99), NOW, tables=("peers", "completed"), replaces=False)
    receiver = receiver_of(here)
    begin(receiver, plan(conflict=True))
    end(receiver, THIRD, 5, digest)
    assert here.mesh.position(THIRD) == Position(5, kept)


def test_who_takes_the_hubs_word_takes_its_position_even_if_it_knew_more() -> None:
    here = node("here")
    here.mesh.finish_snapshot(THIRD, Position(9, 99), NOW, tables=("peers", "completed"), replaces=False)
    receiver = receiver_of(here, may_speak=False)
    begin(receiver, plan(conflict=True))
    end(receiver, THIRD, 5, 11)
    assert here.mesh.position(THIRD) == Position(5, 11)


@pytest.mark.parametrize("is_believed", [True, False])
def test_a_conflict_of_a_stream_that_is_not_the_peers_is_for_who_may_speak(*, is_believed: bool) -> None:
    here = node("here")
    receiver_of(here).batch(frame_of(THIRD, 1), NOW)
    receiver = receiver_of(here, forwards=False, may_speak=False, is_believed=is_believed)
    with contextlib.nullcontext() if is_believed else pytest.raises(LinkError, match="stream of another node"):
        begin(receiver, plan(conflict=True))
    assert here.mesh.rows(THIRD) == 1


def test_digests_are_of_the_payload_as_it_is_relayed() -> None:
    here = node("here")
    receiver = receiver_of(here)
    here.mesh.finish_snapshot(THIRD, Position(5, 55), NOW, tables=("peers", "completed"), replaces=False)
    came = frame_of(THIRD, 6)
    receiver.batch(came, NOW)
    assert here.mesh.position(THIRD) == Position(6, chain(55, came.payload))


# ---------------------------------------------------------------- rows of which a position says nothing


def piece_of(*numbers: int) -> list[Batch]:
    """Pieces of a snapshot of the stream named third, with a peer each."""
    return [decode_batch(batch_of("third", 1, number)[HEADER.size :]) for number in numbers]


def knows(here: Node, position: Position, *numbers: int) -> Node:
    """A node that knows the stream named third up to a position, with those peers."""
    receiver = receiver_of(here)
    begin(receiver, plan())
    for piece in piece_of(*numbers):
        receiver.snapshot(piece, NOW)
    end(receiver, THIRD, *position, records=len(numbers))
    assert here.mesh.position(THIRD) == position
    return here


@pytest.mark.parametrize(
    ("sequence", "numbers", "is_other"),
    [
        # Who counts as one that knows no more has sent a row that was not known: others lack it too.
        (5, (1, 2), True),
        (4, (2,), True),
        # Nothing new, as it is of all that are honest.
        (5, (1,), False),
        (5, (), False),
    ],
)
def test_rows_that_a_position_does_not_cover_change_its_digest(
    sequence: int, numbers: tuple[int, ...], *, is_other: bool
) -> None:
    here = knows(node("here"), Position(5, 55), 1)
    receiver = receiver_of(here)
    digest = 11 * sequence
    begin(receiver, attrs.evolve(plan(), position=Position(sequence, digest)))
    for piece in piece_of(*numbers):
        receiver.snapshot(piece, NOW)
    end(receiver, THIRD, sequence, digest, records=len(numbers))
    position = here.mesh.position(THIRD)
    assert position is not None
    assert position.sequence == 5
    assert (position.digest != 55) is is_other
    assert position.digest


def test_rows_of_a_stream_that_goes_further_are_covered() -> None:
    here = knows(node("here"), Position(5, 55), 1)
    receiver = receiver_of(here)
    begin(receiver, attrs.evolve(plan(), position=Position(9, 99)))
    for piece in piece_of(1, 2, 3):
        receiver.snapshot(piece, NOW)
    end(receiver, THIRD, 9, 99, records=3)
    assert here.mesh.position(THIRD) == Position(9, 99)


def test_who_takes_the_hubs_word_takes_its_digest_whatever_came() -> None:
    here = knows(node("here"), Position(5, 55), 1)
    receiver = receiver_of(here, may_speak=False)
    begin(receiver, attrs.evolve(plan(conflict=True), position=Position(5, 11)))
    for piece in piece_of(2, 3):
        receiver.snapshot(piece, NOW)
    end(receiver, THIRD, 5, 11, records=2)
    assert here.mesh.position(THIRD) == Position(5, 11)


@pytest.mark.parametrize("numbers", [(), (1,), (2,), (1, 2)])
@pytest.mark.parametrize("is_cut", [True, False])
def test_what_came_of_a_snapshot_without_an_end_reaches_the_others_too(
    numbers: tuple[int, ...], *, is_cut: bool
) -> None:
    """The link was lost, or the peer goes on in another way."""
    here = knows(node("here"), Position(5, 55), 1)
    receiver = receiver_of(here)
    begin(receiver, attrs.evolve(plan(), position=Position(9, 99)))
    for piece in piece_of(*numbers):
        receiver.snapshot(piece, NOW)
    if is_cut:
        receiver.stop(NOW)
    else:
        begin(receiver, plan(full=False))
    position = here.mesh.position(THIRD)
    assert position is not None
    assert position.sequence == 5
    assert (position.digest != 55) is (2 in numbers)
    # Once.
    receiver.stop(NOW)
    assert here.mesh.position(THIRD) == position


def test_what_came_of_a_snapshot_that_is_begun_again_is_not_forgotten() -> None:
    here = knows(node("here"), Position(5, 55), 1)
    receiver = receiver_of(here)
    begin(receiver, plan())
    for piece in piece_of(2):
        receiver.snapshot(piece, NOW)
    begin(receiver, plan())
    for piece in piece_of(1, 2):
        receiver.snapshot(piece, NOW)
    end(receiver, THIRD, 5, records=2)
    position = here.mesh.position(THIRD)
    assert position is not None
    assert position.digest not in (0, 55)


def test_rows_of_a_stream_that_is_not_complete_are_told_of_by_a_digest_too() -> None:
    here = node("here")
    receiver = receiver_of(here)
    begin(receiver, plan())
    for piece in piece_of(1, 2):
        receiver.snapshot(piece, NOW)
    assert here.mesh.position(THIRD) == NOWHERE
    receiver.stop(NOW)
    position = here.mesh.position(THIRD)
    assert position is not None
    assert position.sequence == 0
    assert position.digest not in (NOWHERE.digest, BEGINNING.digest)


def test_a_link_that_is_cut_stops_its_receiver() -> None:
    here, hub = node("here"), node("hub", forwards=True)
    knows(here, Position(5, 55), 1)
    link = synced(here, hub)
    for data in (
        encode_burst([attrs.evolve(plan(), position=Position(9, 99))]),
        encode_batch(FrameType.SNAPSHOT, piece_of(2)[0]),
    ):
        link.leaf.receive_data(data, NOW)
    assert here.mesh.position(THIRD) == Position(5, 55)
    link.cut()
    position = here.mesh.position(THIRD)
    assert position is not None
    assert (position.sequence, position.digest != 55) == (5, True)
