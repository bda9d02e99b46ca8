"""Everything that a peer with the password may send has a bound, in work and in memory."""

from __future__ import annotations

import attrs
import pytest

from meshtracker.errors import CloseCode
from meshtracker.link.outgoing import MAX_CONTROL_BYTES, MAX_DIRECTED
from meshtracker.link.session import FETCHED_PER_SECOND
from meshtracker.link.transitions import State
from meshtracker.node.node import Node
from meshtracker.swarm.access import Access
from meshtracker.wire.batch import Batch, encode_batch
from meshtracker.wire.frame import HEADER, MAX_PAYLOAD_BYTES, FrameType, frame
from meshtracker.wire.link import (
    MAX_INTEREST,
    PIECE_STREAMS,
    Directed,
    DirectedKind,
    Interest,
    SnapshotEnd,
    StreamPlan,
    encode_burst,
    encode_directed,
    encode_end_of_burst,
    encode_interest,
    encode_knowledge,
    encode_snapshot_end,
)
from meshtracker.wire.vector import MAX_STREAMS, Position, StreamId, Vector, encode_vector
from tests.link.support import at_state, batch_of, burst_of, heartbeat_of, linked, refused
from tests.mouth_to_mouth import NOW, Link, announce, frames, node, settle, synced

SMALL = 1000
"""What a session may hold of bytes when nothing is under way."""
READ = 65_536
"""What one read from a socket brings."""


def invented(count: int, sequence: int = 1) -> Vector:
    return {StreamId(f"invented-{number}", 1): Position(sequence, 1) for number in range(count)}


# ---------------------------------------------------------------- frames that are cheap to send


def test_the_end_of_a_burst_comes_once() -> None:
    link, _ = linked()
    refused(link.hub, encode_end_of_burst() * 1000, "^protocol error: END_OF_BURST is not allowed while synced$")
    assert link.hub.refusal is CloseCode.PROTOCOL
    assert link.hub.held_bytes() < SMALL


@pytest.mark.parametrize("dials", [True, False])
def test_the_end_of_a_burst_comes_once_also_before_the_link_is_up(dials: bool) -> None:
    end = at_state(State.HEARD, dials=dials)
    refused(end, encode_end_of_burst(), "END_OF_BURST is not allowed while heard")


def test_a_thousand_challenges_are_answered_once() -> None:
    link, _ = linked()
    challenge = heartbeat_of(answer_at_once=True)
    link.hub.receive_data(challenge * 1000, NOW)
    assert link.hub.state is State.SYNCED
    assert link.hub.held_bytes() < SMALL
    assert [kind for kind, _ in frames(link.hub.data_to_send(NOW))] == [FrameType.HEARTBEAT]
    assert link.hub.data_to_send(NOW) == b""


def test_heartbeats_do_not_pile_up_for_a_node_that_reads_nothing() -> None:
    link, _ = linked()
    now = NOW
    for _ in range(100):
        now += 1
        link.hub.receive_data(heartbeat_of(answer_at_once=True), now)
        link.hub.handle_deadline(now)
        assert link.hub.held_bytes() < SMALL
    assert len(frames(link.hub.data_to_send(now))) <= 2


def test_what_one_read_has_brought_is_all_that_waits() -> None:
    link, hub = linked()
    stream = hub.links.synced()[0].peer
    assert stream is not None
    data = b""
    sequence = 0
    while len(data) < READ:
        sequence += 1
        data += batch_of(stream.name, stream.incarnation, sequence)
    link.hub.take_in(data, NOW)
    assert link.hub.held_bytes() <= len(data)
    while link.hub.apply(NOW):
        pass
    assert link.hub.held_bytes() < SMALL


def test_a_frame_that_is_not_complete_is_held_up_to_its_bound() -> None:
    link, _ = linked()
    head = HEADER.pack(b"ML", FrameType.BATCH, 0, MAX_PAYLOAD_BYTES)
    link.hub.receive_data(head, NOW)
    for _ in range(MAX_PAYLOAD_BYTES // 1000):
        link.hub.receive_data(bytes(1000), NOW)
        assert link.hub.held_bytes() <= MAX_PAYLOAD_BYTES + HEADER.size
    link, _ = linked()
    too_large = HEADER.pack(b"ML", FrameType.BATCH, 0, MAX_PAYLOAD_BYTES + 1)
    refused(link.hub, too_large, f"a frame of {MAX_PAYLOAD_BYTES + 1} bytes")


# ---------------------------------------------------------------- swarms that are asked for


def narrowed() -> tuple[Link, Node]:
    hub = node("hub", forwards=True)
    return synced(node("peer", access=Access("allow", frozenset())), hub), hub


def fetch(hashes: range) -> bytes:
    return b"".join(encode_interest(Interest.FETCH, [number.to_bytes(20, "big") for number in hashes]))


def read_all(link: Link, now: float) -> None:
    while link.hub.data_to_send(now):
        pass


def test_swarms_may_be_asked_for_up_to_the_allowance() -> None:
    """As many as a link may be narrowed to, twice; then as many as fit the time."""
    link, hub = narrowed()
    announce(hub, 1)
    for _ in range(2):
        link.hub.receive_data(fetch(range(MAX_INTEREST)), NOW)
        read_all(link, NOW)
        assert link.hub.state is State.SYNCED, link.hub.reason
    later = NOW + 10
    link.hub.receive_data(fetch(range(int(10 * FETCHED_PER_SECOND))), later)
    read_all(link, later)
    assert link.hub.state is State.SYNCED, link.hub.reason
    refused(link.hub, fetch(range(1)), "more swarms asked for than a leaf may", later)
    assert link.hub.refusal is CloseCode.FLOOD
    assert link.hub.held_bytes() < SMALL


def test_the_same_few_swarms_cannot_be_asked_for_again_and_again() -> None:
    """A small request for one large swarm must not cost an answer each time."""
    link, hub = narrowed()
    for client in range(1000):
        announce(hub, client)
    hub.flush(NOW)
    asked = 0
    while link.hub.state is State.SYNCED:
        link.hub.receive_data(fetch(range(1000)), NOW)
        read_all(link, NOW)
        asked += 1000
        assert asked <= 2 * MAX_INTEREST + 1000
    assert link.hub.refusal is CloseCode.FLOOD


# ---------------------------------------------------------------- streams


@pytest.mark.parametrize("state", [State.COMPARING, State.SYNCED])
def test_a_vector_of_too_many_streams_is_refused(state: State) -> None:
    end = at_state(state, dials=False)
    vector = invented(MAX_STREAMS + 1)
    if state is State.COMPARING:
        pieces = encode_knowledge(vector, everything=False)
    else:
        streams = list(vector.items())
        pieces = [
            heartbeat_of(vector=dict(streams[at : at + PIECE_STREAMS])) for at in range(0, len(streams), PIECE_STREAMS)
        ]
    for piece in pieces[:-1]:
        end.receive_data(piece, NOW)
        assert end.state is state, end.reason
        assert end.held_bytes() < READ
    refused(end, pieces[-1], f"more than {MAX_STREAMS} streams in one vector")
    assert end.refusal is CloseCode.FLOOD
    assert end.held_bytes() < SMALL


def test_a_vector_of_as_many_streams_as_may_be_is_taken() -> None:
    end = at_state(State.COMPARING, dials=False)
    for piece in encode_knowledge(invented(MAX_STREAMS), everything=False):
        end.receive_data(piece, NOW)
    assert end.statistics(NOW).state == "bursting", end.reason


def test_a_vector_that_never_ends_is_given_up() -> None:
    """The same streams again and again, and always another piece to follow."""
    end = at_state(State.COMPARING, dials=False)
    more = frame(FrameType.VECTOR, b"\2" + encode_vector(invented(PIECE_STREAMS)))
    for _ in range(1000):
        end.receive_data(more, NOW)
        assert end.held_bytes() < READ
    end.handle_deadline(end.next_deadline())
    assert end.code is CloseCode.TIMEOUT


@pytest.mark.parametrize("with_rows", [True, False])
def test_a_peer_cannot_invent_streams_without_end(with_rows: bool) -> None:
    """There is room for so many; what is beyond is counted, and the link goes on."""
    hub = node("hub", forwards=True, max_streams=50)
    link = synced(node("peer", forwards=True), hub)
    for number in range(500):
        name = f"invented-{number}"
        if with_rows:
            link.hub.receive_data(batch_of(name, 5, 1), NOW)
        else:
            end = SnapshotEnd(StreamId(name, 5), Position(5, 5), records=0)
            link.hub.receive_data(burst_of(name, 5) + encode_snapshot_end(end), NOW)
    assert link.hub.state is State.SYNCED, link.hub.reason
    assert len(hub.mesh.vector()) <= 50
    assert hub.mesh.statistics().streams <= 50
    assert link.hub.statistics(NOW).refused_records >= 450
    assert link.hub.held_bytes() < SMALL
    # Those it knows can still be linked; and a node of which it has rows is taken.
    settle(link)
    synced(node("other"), hub)


def test_snapshots_that_never_begin_are_bounded() -> None:
    link, _ = linked(forwards=True)
    streams = list(invented(MAX_STREAMS + 1, 5).items())
    pieces = [
        encode_burst(
            [
                StreamPlan(stream=stream, position=position, after=0, full=True, reason="")
                for stream, position in streams[at : at + PIECE_STREAMS]
            ]
        )
        for at in range(0, len(streams), PIECE_STREAMS)
    ]
    for piece in pieces[:-1]:
        link.hub.receive_data(piece, NOW)
        assert link.hub.state is State.SYNCED, link.hub.reason
    refused(link.hub, pieces[-1], f"more than {MAX_STREAMS} snapshots at once")
    assert link.hub.refusal is CloseCode.FLOOD
    assert link.hub.held_bytes() < SMALL


def test_pieces_of_a_snapshot_are_not_held() -> None:
    link, hub = linked()
    peer = hub.links.synced()[0].peer
    assert peer is not None
    link.hub.receive_data(burst_of(*peer.stream), NOW)
    for _ in range(1000):
        link.hub.receive_data(encode_batch(FrameType.SNAPSHOT, Batch(peer.stream, 0, 0, ((300, bytes(60_000)),))), NOW)
        assert link.hub.held_bytes() < SMALL
    assert link.hub.state is State.SYNCED, link.hub.reason


# ---------------------------------------------------------------- what waits for a peer that does not read


def request(source: str, target: str) -> Directed:
    """A directed message with a large body."""
    return Directed(
        kind=DirectedKind.REQUEST,
        source=source,
        target=target,
        number=1,
        topic="ping",
        deadline_ms=60_000,
        hops=8,
        body=bytes(10_000),
    )


def test_directed_messages_for_a_node_that_reads_nothing_are_bounded() -> None:
    link, _ = linked()
    message = request("hub", "peer")
    taken = [link.hub.send_directed(message, NOW) for _ in range(1000)]
    assert 0 < taken.count(True) <= MAX_DIRECTED
    assert not taken[-1]
    assert link.hub.held_bytes() < 300_000


def test_directed_messages_of_a_peer_are_dropped_beyond_the_allowance() -> None:
    link, hub = linked()
    message = request("peer", "hub")
    for number in range(1000):
        link.hub.receive_data(encode_directed(attrs.evolve(message, number=number)), NOW)
    assert link.hub.state is State.SYNCED, link.hub.reason
    assert link.hub.held_bytes() < 300_000
    statistics = hub.statistics(NOW).directed
    assert statistics.dropped >= 800
    assert statistics.answered <= 200


def test_control_frames_for_a_node_that_reads_nothing_are_bounded() -> None:
    """A leaf whose list changes all the time, and a hub that is stuck."""
    hub = node("hub", forwards=True)
    leaf = node("leaf", access=Access("allow", frozenset()))
    link = synced(leaf, hub)
    held = 0
    for turn in range(200):
        hashes = frozenset((turn << 20 | number).to_bytes(20, "big") for number in range(2000))
        leaf.set_access(Access("allow", hashes), NOW)
        if link.leaf.is_closed:
            break
        held = link.leaf.held_bytes()
    assert (link.leaf.state, link.leaf.refusal) == (State.CLOSED, CloseCode.OTHER)
    assert MAX_CONTROL_BYTES // 2 < held <= MAX_CONTROL_BYTES
    link.cut()
    # That a node is slow is no breach: it need not wait.
    assert synced(leaf, hub).states == (State.SYNCED, State.SYNCED)
