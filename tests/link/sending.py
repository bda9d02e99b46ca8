"""What the tests of the sender share: nodes that know some streams, and what is sent of them."""

from __future__ import annotations

from meshtracker.link.sender import Sender
from meshtracker.node.node import Node
from meshtracker.wire.batch import decode_batch
from meshtracker.wire.link import Burst, SnapshotEnd, SwarmsEnd, decode
from meshtracker.wire.vector import Position, StreamId, Vector
from tests.link.support import hello_of
from tests.mouth_to_mouth import NOW, announce, frames, node, settle, synced

HUB, A, BB = StreamId("hub", 9), StreamId("a", 1), StreamId("bb", 1)
PEER = node("x", incarnation=7)

Line = tuple[str, str, int]
"""Kind, name of the stream, sequence."""


def hub_of(name: str = "hub", *, max_log_bytes: int = 1 << 20) -> Node:
    """A hub that knows nothing yet."""
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


def read(data: bytes) -> list[Line]:
    """What one frame says."""
    [(kind, payload)] = frames(data)
    match decode(kind, payload):
        case Burst(plans):
            return [(kind.name, plan.stream.name, plan.position.sequence) for plan in plans]
        case SnapshotEnd(stream, position):
            return [(kind.name, stream.name, position.sequence)]
        case SwarmsEnd():
            return [(kind.name, "", 0)]
        case _:
            batch = decode_batch(payload)
            return [(kind.name, batch.stream.name, batch.sequence)]


def said(sender: Sender) -> list[Line]:
    """All that there is to send."""
    return [line for data in iter(lambda: sender.next_frame(NOW), b"") for line in read(data)]


def leaf_with(*streams: StreamId) -> Node:
    """A leaf that was linked to a hub with these streams."""
    leaf = node("leaf", incarnation=5)
    synced(leaf, hub_with(*streams)).cut()
    announce(leaf, 7)
    leaf.mesh.flush(NOW)
    return leaf


def shift(owner: Node, client: int) -> None:
    """A client of this node changes something, and a batch is sealed."""
    announce(owner, client, torrent=client % 16, left=0)
    owner.mesh.flush(NOW)
