"""Nodes linked mouth to mouth: real nodes and sessions in virtual time, without sockets."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Sequence
from typing import Any

from meshtracker.link.clock import HybridClock
from meshtracker.link.policy import LinkPolicy
from meshtracker.link.proof.authentication import Credential
from meshtracker.link.session import LinkSession
from meshtracker.link.transitions import State
from meshtracker.model import AnnounceAnswer, AnnounceRequest
from meshtracker.node.mesh import MeshPolicy
from meshtracker.node.node import Node
from meshtracker.wire.frame import DATA_FRAMES, MAX_PAYLOAD_BYTES, FrameDecoder, FrameType, frame

NOW = 10_000.0
WALL_OFFSET_SECONDS = 1.7e9
PASSWORD = "correct horse battery"
CREDENTIAL = Credential(PASSWORD)
BINDING = bytes(range(32))
LOCALHOST = b"\x7f\0\0\1"
LOCALHOST6 = bytes(15) + b"\1"


_incarnations = itertools.count(1000)
"""Of nodes whose incarnation no test asks for: each start has another."""


def node(
    name: str,
    *,
    incarnation: int | None = None,
    forwards: bool = False,
    clock_ahead_seconds: float = 0.0,
    mesh: dict[str, Any] | None = None,
    **options: Any,
) -> Node:
    """A node; ``mesh`` are fields of `MeshPolicy`, ``options`` go to `Node`."""
    return Node(
        name=name,
        incarnation=next(_incarnations) if incarnation is None else incarnation,
        clock=HybridClock(wall_offset_seconds=WALL_OFFSET_SECONDS + clock_ahead_seconds),
        rng=random.Random(name),
        mesh=MeshPolicy(forwards=forwards, **(mesh or {})),
        now=NOW,
        **options,
    )


def announce(target: Node, client: int, now: float = NOW, *, torrent: int = 0, **fields: Any) -> AnnounceAnswer:
    """Client number ``client`` announces from its own port, with a key of its own."""
    defaults: dict[str, Any] = {
        "info_hash": torrent.to_bytes(20, "big"),
        "peer_id": b"-MT0001-%012d" % client,
        "key": 100 + client,
        "address": LOCALHOST,
        "port": 1000 + client,
        "left": 1,
    }
    return target.announce(AnnounceRequest(**defaults | fields), now)


def session(
    target: Node,
    *,
    dials: bool,
    now: float = NOW,
    binding: bytes | None = BINDING,
    credential: Credential = CREDENTIAL,
    policy: LinkPolicy | None = None,
) -> LinkSession:
    """One end of a link, secured, as the I/O makes it."""
    made = LinkSession(
        replica=target.mesh,
        credential=credential,
        dials=dials,
        policy=policy or LinkPolicy(),
        owner=target.links,
        peer_address="127.0.0.1:1",
        now=now,
    )
    target.links.add(made)
    made.connected(now)
    made.secured(binding, now)
    return made


def frames(stream: bytes | bytearray) -> list[tuple[FrameType, bytes]]:
    """All frames of a stream of whole ones."""
    decoder = FrameDecoder()
    decoder.max_payload_bytes = MAX_PAYLOAD_BYTES
    found = list(decoder.feed(bytes(stream)))
    assert not decoder.waiting_bytes
    return found


Wire = Callable[[bytes], bytes]
"""What becomes of the bytes that one end writes at once, which are whole frames."""


def swallow_data(data: bytes) -> bytes:
    """A wire that takes out what carries data and passes heartbeats."""
    return b"".join(frame(kind, payload) for kind, payload in frames(data) if kind not in DATA_FRAMES)


def swallow_all(data: bytes) -> bytes:
    """A wire that is dead."""
    return b""


class Link:
    """Both ends of one connection."""

    def __init__(self, leaf: Node, hub: Node, now: float = NOW, **options: Any) -> None:
        """``options`` go to both ends; those with ``leaf_`` or ``hub_`` in front to one."""

        def of(side: str) -> dict[str, Any]:
            common = {key: value for key, value in options.items() if key.partition("_")[0] not in ("leaf", "hub")}
            return common | {
                key.removeprefix(side + "_"): value for key, value in options.items() if key.startswith(side + "_")
            }

        self.leaf = session(leaf, dials=True, now=now, **of("leaf"))
        self.hub = session(hub, dials=False, now=now, **of("hub"))
        self._nodes = (leaf, hub)
        self.bytes = {self.leaf: bytearray(), self.hub: bytearray()}
        """All that each end has sent."""
        self.wires: dict[LinkSession, Wire] = {}
        """What is wrong with the way from an end."""

    @property
    def ends(self) -> tuple[LinkSession, LinkSession]:
        return self.leaf, self.hub

    @property
    def states(self) -> tuple[State, State]:
        return self.leaf.state, self.hub.state

    def step(self, now: float = NOW, *, most_bytes: int | None = None) -> bool:
        """Carry what each end has to say to the other once; at most so many bytes of it, then the wire is cut."""
        moved = False
        for source, target in ((self.leaf, self.hub), (self.hub, self.leaf)):
            data = source.data_to_send(now)
            if data:
                moved = True
                self.bytes[source] += data
                data = self.wires.get(source, bytes)(data)
                if data:
                    target.receive_data(data if most_bytes is None else data[:most_bytes], now)
        return moved

    def cut(self, now: float = NOW) -> None:
        """The connection is gone."""
        for end, owner in zip(self.ends, self._nodes, strict=True):
            end.end_of_stream(now)
            owner.links.remove(end, now)


def settle(*links: Link, now: float = NOW, most_steps: int = 20_000) -> None:
    """Let all links talk until they have nothing more to say."""
    for _ in range(most_steps):
        moved = [link.step(now) for link in links]
        if not any(moved):
            return
    raise AssertionError("the links never fall silent")


def live(links: Sequence[Link], nodes: Sequence[Node], start: float, seconds: float, *, tick: float = 0.5) -> float:
    """Let time pass as it does around nodes: streams are flushed, deadlines are looked at, links talk; returns now."""
    now = start
    for step in range(1, math.ceil(seconds / tick) + 1):
        now = start + step * tick
        for owner in nodes:
            owner.flush(now)
        for link in links:
            for end in link.ends:
                end.handle_deadline(now)
        settle(*links, now=now)
    return now


def synced(leaf: Node, hub: Node, now: float = NOW, **options: Any) -> Link:
    """A link that is up."""
    link = Link(leaf, hub, now, **options)
    settle(link, now=now)
    assert link.states == (State.SYNCED, State.SYNCED), [end.reason for end in link.ends]
    return link


Rows = dict[tuple[bytes, int, bytes], tuple[bytes, int, int, str]]


def rows(target: Node) -> Rows:
    """All that a node knows of peers, with names in place of its own numbers for nodes."""
    name = target.registry.streams.name
    return {
        (info_hash, pack.address_bytes, row.identity): (address, row.stamp, row.state, name(row.origin))
        for info_hash, swarm in target.registry.swarms.items()
        for pack in swarm.packs()
        for row, address in pack.entries()
    }
