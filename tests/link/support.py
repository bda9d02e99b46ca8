"""What the tests of sessions share: nodes at hand, frames by hand, and one end of a link led to any state."""

from __future__ import annotations

import itertools
import re
from typing import Any

from meshtracker.link.policy import LinkPolicy
from meshtracker.link.proof.authentication import Credential
from meshtracker.link.session import LinkSession
from meshtracker.link.transitions import State
from meshtracker.model import PeerState
from meshtracker.node.node import Node
from meshtracker.swarm.peer_table import PEER_TABLE
from meshtracker.wire.batch import Batch, encode_batch
from meshtracker.wire.frame import FrameType, frame
from meshtracker.wire.link import VERSIONS, Heartbeat, Hello, StreamPlan, encode_burst, encode_heartbeat
from meshtracker.wire.peer_record import PeerRecord, encode_group, encode_record
from meshtracker.wire.vector import Position, StreamId, Vector
from tests.mouth_to_mouth import NOW, PASSWORD, WALL_OFFSET_SECONDS, Link, announce, frames, node, synced

CLOSED = (State.CLOSED, State.CLOSED)
SYNCED = (State.SYNCED, State.SYNCED)
ALARMING = LinkPolicy(auto_reset=False)
"""A soft-split raises an alarm and closes nothing."""
FRAME_STATES = [state for state in State if state is not State.CLOSED]
"""In which a peer can say something."""


def pair(clients: int = 0, **leaf_options: Any) -> tuple[Node, Node]:
    """A leaf with so many clients, flushed, and an empty hub."""
    leaf, hub = node("leaf", **leaf_options), node("hub", forwards=True)
    for client in range(clients):
        announce(leaf, client, torrent=client % 3, left=client % 2)
    leaf.mesh.flush(NOW)
    return leaf, hub


def linked(forwards: bool = False) -> tuple[Link, Node]:
    """A link of a node named peer with a hub, and that hub."""
    hub = node("hub", forwards=True)
    return synced(node("peer", forwards=forwards), hub), hub


def reasons(link: Link) -> tuple[str, str]:
    return link.leaf.reason, link.hub.reason


def refused(end: LinkSession, data: bytes, pattern: str, now: float = NOW) -> None:
    """``data`` makes this end hang up with a reason."""
    end.receive_data(data, now)
    assert end.state is State.CLOSED
    assert re.search(pattern, end.reason), end.reason
    assert "\n" not in end.reason


def at_state(state: State, *, dials: bool) -> LinkSession:
    """One end of a link, led to a state."""
    # Of two bursts the shorter one is over first: the end that hears it is HEARD then, the end that sent it CONFIRMED.
    hub_has_more = state in (State.HEARD, State.CONFIRMED) and dials is (state is State.CONFIRMED)
    leaf, hub = pair(0 if hub_has_more else 3)
    if hub_has_more:
        for client in range(3):
            announce(hub, client, torrent=client)
        hub.mesh.flush(NOW)
    owner = leaf if dials else hub
    if state in (State.CONNECTING, State.SECURING):
        made = LinkSession(
            replica=owner.mesh,
            credential=Credential(PASSWORD),
            dials=dials,
            policy=LinkPolicy(),
            owner=owner.links,
            peer_address="",
            now=NOW,
        )
        if state is State.SECURING:
            made.connected(NOW)
        return made
    if state is State.SOFT_SPLIT:
        end = synced(leaf, hub, policy=ALARMING).ends[not dials]
        while end.state is not state:
            end.handle_deadline(end.next_deadline())
            end.data_to_send(NOW)
        return end
    link = Link(leaf, hub)
    end = link.leaf if dials else link.hub
    for source, target in itertools.cycle((link.ends, link.ends[::-1])):
        if end.state is state:
            return end
        assert link.states != SYNCED
        for kind, payload in frames(source.data_to_send(NOW)):
            if end.state is not state:
                target.receive_data(frame(kind, payload), NOW)
    raise AssertionError("unreachable")


def hello_of(owner: Node, *, may_speak: bool = True) -> Hello:
    """What a node says of itself, as its sessions have it; ``may_speak``: to a peer that may speak of all streams."""
    return owner.mesh.hello(NOW, versions=VERSIONS, capabilities=(), may_speak=may_speak)


def sequences(owner: Node) -> dict[StreamId, int]:
    """How far a node knows each stream, whether it knows the digests or not; none that has nothing in it."""
    return {stream: position.sequence for stream, position in owner.mesh.vector().items() if position.sequence}


def batch_of(name: str, incarnation: int, sequence: int, *, ahead_seconds: int = 0) -> bytes:
    """A BATCH with one peer."""
    stamp = (int((NOW + WALL_OFFSET_SECONDS + ahead_seconds) * 1000)) << 16
    record = PeerRecord(bytes([sequence % 256]) * 24, stamp, PeerState.LEECHER, 6, b"\1" * 6)
    section = encode_group(b"h" * 20, encode_record(record, stamp))
    batch = Batch(StreamId(name, incarnation), sequence, stamp, ((PEER_TABLE, section),))
    return encode_batch(FrameType.BATCH, batch)


def burst_of(name: str, incarnation: int, sequence: int = 5, *, full: bool = True, conflict: bool = False) -> bytes:
    """A BURST of one stream."""
    plan = StreamPlan(
        stream=StreamId(name, incarnation),
        position=Position(sequence, 0),
        after=0,
        full=full,
        reason="",
        conflict=conflict,
    )
    return encode_burst([plan])


def heartbeat_of(
    *, sent: int = 0, applied: int = 0, vector: Vector | None = None, answer_at_once: bool = False
) -> bytes:
    """A HEARTBEAT."""
    clock_ms = int((NOW + WALL_OFFSET_SECONDS) * 1000)
    heartbeat = Heartbeat(
        clock_ms=clock_ms,
        sent_frames=sent,
        applied_frames=applied,
        vector=vector or {},
        answer_at_once=answer_at_once,
    )
    return encode_heartbeat(heartbeat)
