"""A machine with one node on it: it starts, serves, saves, is killed, and starts again."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import attrs

from meshtracker.link.clock import HybridClock
from meshtracker.link.proof.authentication import Credential
from meshtracker.link.proof.credentials import MIN_ITERATIONS
from meshtracker.link.session import LinkSession
from meshtracker.model import AnnounceAnswer, AnnounceRequest, PeerState
from meshtracker.node.links import Links
from meshtracker.node.mesh import MeshPolicy
from meshtracker.node.node import Node
from meshtracker.node.policy import TrackerPolicy
from meshtracker.node.tables import TABLES
from meshtracker.storage.restore import restore
from meshtracker.storage.snapshot_format import decode, encode
from meshtracker.swarm.access import Access
from meshtracker.swarm.streams import OWN
from meshtracker.wire.peer_record import PeerRecord
from meshtracker.wire.vector import StreamId
from tests.mouth_to_mouth import PASSWORD, WALL_OFFSET_SECONDS, Rows, rows
from tests.note_table import notes_of
from tests.simulation.connection import Edge, End
from tests.simulation.dialer import Dialer
from tests.simulation.ledger import Keeper
from tests.simulation.notes import NOTED_TABLES, KeptNotes, keep_notes, put_notes_back
from tests.simulation.scenario import Plan
from tests.simulation.timeline import Process

if TYPE_CHECKING:
    from tests.simulation.world import World

FLUSH_SECONDS = 0.1
_SWEEPS_PER_TTL = 10
_SWEEP_SECONDS = 30.0


class Host:
    """See the module's docstring."""

    def __init__(self, world: World, plan: Plan, *, guest: str = "") -> None:
        """``guest``: it comes once, for a while; a text that tells it from others of its name."""
        self.name = plan.name
        self.plan = plan
        self.is_guest = bool(guest)
        self.policy = (
            attrs.evolve(world.policy, versions=(3, 4), capabilities=("notes",))
            if plan.release == "4"
            else attrs.evolve(world.policy, versions=(3, 3))
        )
        self.node: Node | None = None
        """None while it is down."""
        self.process = Process()
        self.ends: list[End] = []
        self.edges: list[Edge] = []
        """Those that it dials, in its order of preference."""
        self.torrents = plan.torrents
        self.clock_ahead_seconds = plan.skew_seconds
        self.right_credential = (
            world.credential
            if plan.credential == "mesh"
            else Credential(f"{PASSWORD} of {plan.name}", iterations=MIN_ITERATIONS)
        )
        self.credential = self.right_credential
        self.saved: bytes | None = None
        """The snapshot on its disk."""
        self._saved_notes: KeptNotes = {}
        """What a release that has notes writes besides."""
        self.troubles = 1 if guest else 0
        """Its clock is wrong, or its password, or nobody can count on it anyway."""
        self.restarts = 0
        self._own: StreamId | None = None
        """The stream that the node wrote when it was last looked at."""
        self._kept: Rows = {}
        """What it will know again once it is back."""
        self.world = world
        self._luck = f"{world.scenario.seed} {guest or plan.name}"
        self._dialers: list[Dialer] = []
        self._flush_at = float("inf")
        self._sealed: tuple[tuple[StreamId, int] | None, float] = (None, 0.0)
        self._is_woken = False

    # ------------------------------------------------------------ life and death

    @property
    def wall_seconds(self) -> float:
        """Unix time as this machine believes it."""
        return self.world.timeline.now + WALL_OFFSET_SECONDS + self.clock_ahead_seconds

    def is_faulty(self, now: float) -> bool:
        """May its links fail through no fault of theirs?"""
        node = self.node
        return node is None or self.process.paused_until > now or bool(self.troubles)

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
        rng = random.Random(f"{self._luck} {self.restarts}")
        node = Node(
            name=self.name,
            incarnation=rng.getrandbits(64),
            clock=HybridClock(wall_offset_seconds=WALL_OFFSET_SECONDS + self.clock_ahead_seconds),
            rng=rng,
            tracker=TrackerPolicy(announce_interval_seconds=20, peer_ttl_seconds=scenario.peer_ttl_seconds),
            mesh=MeshPolicy(
                forwards=self.plan.forwards,
                max_batch_bytes=scenario.max_batch_bytes,
                max_log_bytes=scenario.max_log_bytes,
            ),
            access=self.access(),
            dials=bool(self.plan.hubs),
            tables=NOTED_TABLES if self.plan.release == "4" else TABLES,
            now=now,
        )
        node.mesh.on_note = self._note
        node.mesh.on_new_batch = self._wake
        node.links.on_command = self._commanded
        self.node = node
        self._own = node.mesh.own
        if self.saved is not None:
            restore(node, decode(self.saved), now)
            put_notes_back(node, self._saved_notes)
            # What it no longer tracks it has not taken over.
            world.forget()
        self._dialers = []
        self._flush_at = float("inf")
        self._sealed = (None, float("-inf"))
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
            self.saved = b"".join(encode(self.node, self.world.timeline.now))
            self._saved_notes = keep_notes(self.node)

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
        return Keeper(self.name, self.speaks_for_others, self.rows())

    @property
    def speaks_for_others(self) -> bool:
        """Does it keep all that it hears, and is it believed what it says of other nodes?"""
        return self.plan.forwards or (self.torrents is None and self.plan.credential == "mesh")

    def _expire(self, round_seconds: float) -> None:
        assert self.node is not None
        now = self.world.timeline.now
        self.node.expire(now)
        self.world.timeline.at(now + round_seconds, self.process, self._expire, round_seconds)

    def _note(self, info_hash: bytes, record: PeerRecord) -> None:
        self.world.ledger.note(info_hash, record, self.name, is_guest=self.is_guest)

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
        step_seconds, self.clock_ahead_seconds = ahead_seconds - self.clock_ahead_seconds, ahead_seconds
        if self.node is not None:
            self.node.set_clock(step_seconds, self.world.timeline.now)
            self._note_new_stream()
            self.world.forget()

    def _note_new_stream(self) -> None:
        """A node that began its stream anew has stamped all its rows again."""
        node = self.node
        if node is None or node.mesh.own == self._own:
            return
        self._own = node.mesh.own
        for (info_hash, address_bytes, identity), (address, stamp, state, _) in own_rows(node).items():
            shown = b"" if state == PeerState.REMOVED else address
            record = PeerRecord(identity, stamp, state, address_bytes, shown)
            self._note(info_hash, record)

    # ------------------------------------------------------------ clients and their changes

    def announce(self, request: AnnounceRequest) -> AnnounceAnswer | None:
        """A client announces; None: nobody answered."""
        node, now = self.node, self.world.timeline.now
        if node is None or not node.access.allows(request.info_hash):
            return None
        answer = node.announce(request, now)
        swarm = node.registry.get(request.info_hash)
        figure = (swarm.completed or {}).get(self.name) if swarm else None
        if figure is not None:
            self.world.ledger.note_completed(request.info_hash, self.name, figure[0], is_guest=self.is_guest)
        self._flush_soon()
        return answer

    def write_note(self, key: int, text: str) -> None:
        """Somebody writes a note at a node of a release that has them."""
        table = notes_of(self.node) if self.node is not None else None
        if table is not None:
            table.write(b"note %d" % key, text.encode(), int(self.wall_seconds * 1000))
            self._flush_soon()

    def _flush_soon(self) -> None:
        self._plan_flush((self.world.timeline.now // FLUSH_SECONDS + 1) * FLUSH_SECONDS)

    def flush(self) -> None:
        """Seal what waits. Planned for when it does something, instead of ten times a second."""
        if self.node is None:
            return
        now = self.world.timeline.now
        mesh = self.node.mesh
        self.node.flush(now)
        self._note_new_stream()
        position = mesh.position(mesh.own)
        sequence = position.sequence if position else 0
        if (mesh.own, sequence) != self._sealed[0]:
            self._sealed = ((mesh.own, sequence), now)
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
        position = self.node.mesh.position(self.node.mesh.own) if self.node else None
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
            policy=self.policy,
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


def own_rows(node: Node) -> Rows:
    """Rows of the stream that a node writes at present."""
    return {
        (info_hash, pack.address_bytes, row.identity): (address, row.stamp, row.state, node.name)
        for info_hash, swarm in node.registry.swarms.items()
        for pack in swarm.packs()
        for row, address in pack.entries()
        if row.origin == OWN
    }
