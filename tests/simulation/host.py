"""A machine with one node on it: it starts, serves, saves, is killed, and starts again."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from meshtracker.link.authentication import Credential
from meshtracker.link.clock import HybridClock
from meshtracker.link.session import LinkSession
from meshtracker.model import AnnounceAnswer, AnnounceRequest
from meshtracker.node.links import Links
from meshtracker.node.mesh import MeshPolicy
from meshtracker.node.node import Node
from meshtracker.node.policy import TrackerPolicy
from meshtracker.storage.restore import restore
from meshtracker.storage.snapshot_format import decode, encode
from meshtracker.swarm.access import Access
from tests.mouth_to_mouth import WALL_OFFSET_SECONDS, Rows, rows
from tests.simulation.connection import Edge, End
from tests.simulation.dialer import Dialer
from tests.simulation.ledger import Keeper
from tests.simulation.scenario import Plan
from tests.simulation.timeline import Process

if TYPE_CHECKING:
    from tests.simulation.world import World

FLUSH_SECONDS = 0.1
_SWEEPS_PER_TTL = 10
_SWEEP_SECONDS = 30.0


class Host:
    """See the module's docstring."""

    def __init__(self, world: World, plan: Plan) -> None:
        self.name = plan.name
        self.plan = plan
        self.node: Node | None = None
        """None while it is down."""
        self.process = Process()
        self.ends: list[End] = []
        self.edges: list[Edge] = []
        """Those that it dials, in its order of preference."""
        self.torrents = plan.torrents
        self.clock_ahead_seconds = plan.skew_seconds
        self.credential: Credential = world.credential
        self.saved: bytes | None = None
        """The snapshot on its disk."""
        self.troubles = 0
        """Its clock is wrong, or its password."""
        self.restarts = 0
        self.last_incarnation = 0
        self._kept: Rows = {}
        """What it will know again once it is back."""
        self.world = world
        self._dialers: list[Dialer] = []
        self._flush_at = float("inf")
        self._sealed = (0, 0.0)
        self._is_woken = False

    # ------------------------------------------------------------ life and death

    @property
    def wall_seconds(self) -> float:
        """Unix time as this machine believes it."""
        return self.world.timeline.now + WALL_OFFSET_SECONDS + self.clock_ahead_seconds

    def is_faulty(self, now: float) -> bool:
        """May its links fail through no fault of theirs?"""
        node = self.node
        if node is None or self.process.paused_until > now or self.troubles:
            return True
        return node.incarnation < self.last_incarnation

    @property
    def links(self) -> Links:
        """Of the node that runs."""
        assert self.node is not None
        return self.node.links

    def start(self) -> None:
        """Start the node; with its snapshot, if there is one."""
        world, scenario = self.world, self.world.scenario
        now = world.timeline.now
        self.process = Process()
        incarnation = int(self.wall_seconds * 1000)
        self.last_incarnation = max(self.last_incarnation, incarnation)
        node = Node(
            name=self.name,
            incarnation=incarnation,
            clock=HybridClock(wall_offset_seconds=WALL_OFFSET_SECONDS + self.clock_ahead_seconds),
            rng=random.Random(f"{scenario.seed} {self.name} {self.restarts}"),
            tracker=TrackerPolicy(announce_interval_seconds=20, peer_ttl_seconds=scenario.peer_ttl_seconds),
            mesh=MeshPolicy(
                forwards=self.plan.forwards,
                max_batch_bytes=scenario.max_batch_bytes,
                max_log_bytes=scenario.max_log_bytes,
            ),
            access=self.access(),
            dials=bool(self.plan.hubs),
            now=now,
        )
        node.mesh.on_note = lambda info_hash, record: world.ledger.note(info_hash, record, self.name)
        node.mesh.on_new_batch = self._wake
        node.links.on_command = self._commanded
        self.node = node
        if self.saved is not None:
            restore(node, decode(self.saved), now)
            # What it no longer tracks it has not taken over.
            world.forget()
        self._dialers = []
        self._flush_at = float("inf")
        self._sealed = (0, float("-inf"))
        self.flush()
        round_seconds = min(_SWEEP_SECONDS, scenario.peer_ttl_seconds / _SWEEPS_PER_TTL)
        world.timeline.at(now + round_seconds, self.process, self._expire, round_seconds)
        self.dial()

    def access(self) -> Access:
        """Its access list."""
        if self.torrents is None:
            return Access()
        return Access("allow", frozenset(torrent.to_bytes(20, "big") for torrent in self.torrents))

    def save(self) -> None:
        """Write a snapshot."""
        if self.node is not None:
            self.saved = b"".join(encode(self.node))

    def crash(self, *, told: bool) -> None:
        """The process is killed; what is on its disk stays."""
        self.process.is_dead = True
        for end in list(self.ends):
            end.die(told=told)
        self.ends.clear()
        self.node = None
        self.restarts += 1
        self._kept = {} if self.saved is None else self._rows_on_disk()

    def _rows_on_disk(self) -> Rows:
        assert self.saved is not None
        spare = Node(
            name=self.name,
            incarnation=1,
            clock=HybridClock(wall_offset_seconds=WALL_OFFSET_SECONDS),
            rng=random.Random(0),
            tracker=TrackerPolicy(peer_ttl_seconds=self.world.scenario.peer_ttl_seconds),
            mesh=MeshPolicy(forwards=self.plan.forwards),
            access=self.access(),
        )
        restore(spare, decode(self.saved), self.world.timeline.now)
        return rows(spare)

    def rows(self) -> Rows:
        """What it knows, or will know again once it is back."""
        return self._kept if self.node is None else rows(self.node)

    def keeper(self) -> Keeper:
        """For the ledger."""
        return Keeper(self.name, self.plan.forwards, self.rows())

    def _expire(self, round_seconds: float) -> None:
        assert self.node is not None
        now = self.world.timeline.now
        self.node.expire(now)
        self.world.timeline.at(now + round_seconds, self.process, self._expire, round_seconds)

    def take_access(self) -> None:
        """The access list was changed and read anew."""
        if self.node is not None:
            self.node.set_access(self.access(), self.world.timeline.now)

    def change_hubs(self) -> None:
        """Its list of hubs is changed: one of them is left out, another one or none the next time."""
        left_out = next((number for number, edge in enumerate(self.edges) if not edge.is_listed), -1)
        for number, edge in enumerate(self.edges):
            edge.is_listed = number != left_out + 1

    def set_clock(self, ahead_seconds: float) -> None:
        """The system's clock is set; the node follows it."""
        if self.node is not None:
            self.node.clock.wall_offset_seconds += ahead_seconds - self.clock_ahead_seconds
        self.clock_ahead_seconds = ahead_seconds

    # ------------------------------------------------------------ clients and their changes

    def announce(self, request: AnnounceRequest) -> AnnounceAnswer | None:
        """A client announces; None: nobody answered."""
        node, now = self.node, self.world.timeline.now
        if node is None or not node.access.allows(request.info_hash):
            return None
        answer = node.announce(request, now)
        swarm = node.registry.get(request.info_hash)
        total = (swarm.completed or {}).get(0, 0) if swarm else 0
        if total:
            self.world.ledger.note_completed(request.info_hash, self.name, total)
        self._plan_flush((now // FLUSH_SECONDS + 1) * FLUSH_SECONDS)
        return answer

    def flush(self) -> None:
        """Seal what waits. Planned for when it does something, instead of ten times a second."""
        if self.node is None:
            return
        now = self.world.timeline.now
        mesh = self.node.mesh
        mesh.flush(now)
        position = mesh.position(self.name)
        sequence = position.sequence if position else 0
        if sequence != self._sealed[0]:
            self._sealed = (sequence, now)
        self._flush_at = float("inf")
        self._plan_flush(max(self._sealed[1] + self.world.mesh_heartbeat_seconds, now + FLUSH_SECONDS))

    def _plan_flush(self, when: float) -> None:
        if when < self._flush_at:
            self._flush_at = when
            self.world.timeline.at(when, self.process, self._flush_planned, when)

    def _flush_planned(self, when: float) -> None:
        if when == self._flush_at:
            self.flush()

    def sequence_before(self) -> int:
        """How far its own stream was before the last batch."""
        position = self.node.mesh.position(self.name) if self.node else None
        return max(0, position.sequence - 1) if position else 0

    # ------------------------------------------------------------ links

    def session(self, *, dials: bool, peer_address: str) -> LinkSession:
        """A new session of the node."""
        assert self.node is not None
        now = self.world.timeline.now
        made = LinkSession(
            replica=self.node.mesh,
            credential=self.credential,
            dials=dials,
            policy=self.world.policy,
            owner=self.node.links,
            peer_address=peer_address,
            now=now,
        )
        self.node.links.add(made)
        return made

    def dial(self) -> None:
        """Keep a link to each hub, or to the first that can be had."""
        listed = [edge for edge in self.edges if edge.is_listed]
        if self.plan.mode == "failover":
            self._dialers = [Dialer(self, listed)]
        else:
            self._dialers = [Dialer(self, [edge]) for edge in listed]
        for dialer in self._dialers:
            dialer.run()

    def leave(self, end: End) -> None:
        """A connection is over."""
        self.ends.remove(end)
        self.links.remove(end.session, self.world.timeline.now)

    def _commanded(self) -> None:
        self._wake()
        for dialer in self._dialers:
            dialer.commanded()

    def wake(self) -> None:
        """There may be something to send."""
        self._is_woken = False
        for end in list(self.ends):
            end.pump()

    def _wake(self) -> None:
        if not self._is_woken:
            self._is_woken = True
            self.world.timeline.at(self.world.timeline.now, self.process, self.wake)
