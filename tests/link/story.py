"""Stories of a mesh: announces, cut wires, resets, lists that change, restarts with and without state; then peace.

What a restarted node has lost is brought back by any node that may speak of it and holds all of it: a hub, or a leaf
that tracks everything. So a story takes no memory, and narrows no leaf, that is the last to hold what others know.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import random
import traceback
from collections.abc import Callable, Iterable
from functools import partial

from meshtracker.errors import ClientError, CloseCode
from meshtracker.link.greeting import ClockPolicy
from meshtracker.link.policy import LinkPolicy
from meshtracker.link.proof.authentication import Credential
from meshtracker.link.transitions import State
from meshtracker.model import Event
from meshtracker.node.commands import CommandError, ResetLinks
from meshtracker.node.mesh import QUIET_SECONDS
from meshtracker.node.node import Node
from meshtracker.storage import restore, snapshot_format
from meshtracker.swarm import peer_table
from meshtracker.swarm.access import Access
from meshtracker.wire.vector import NOWHERE, Position, StreamId, differ
from tests.link.holdings import figures, held, shared_only, tracked_only
from tests.mouth_to_mouth import LOCALHOST, LOCALHOST6, NOW, PASSWORD, Link, announce, node, settle

TINY_PIECE_BYTES = 150
"""Of a snapshot, so that small ones have several pieces, with batches between them."""
_CHUNK_SEEDS = 10
CLIENTS = 12
TORRENTS = 3
PATIENT = LinkPolicy(
    clocks=ClockPolicy(refuse_seconds=1e9), soft_split_after_seconds=1e9, handshake_timeout_seconds=1e9
)
"""Frames may be on their way for minutes here, HELLO among them."""
SMALL = {"max_batch_bytes": 400, "max_log_bytes": 2500}
"""So that bursts need snapshots, and batches are cut."""

Edge = tuple[str, str]
"""Who dials, and whom."""


def save(owner: Node, now: float) -> bytes:
    """The snapshot that a node has on its disk."""
    owner.flush(now)
    return b"".join(snapshot_format.encode(owner, now))


def torrent_of(number: int) -> bytes:
    """The info-hash of a torrent."""
    return number.to_bytes(20, "big")


class Story:
    """One seed's run over hubs, leaves, and who dials whom."""

    def __init__(
        self, seed: int, *, hubs: tuple[str, ...], leaves: tuple[str, ...], edges: list[Edge], leaves_speak: bool = True
    ) -> None:
        """``leaves_speak``: are leaves believed what they say of other nodes' streams? Otherwise there is one hub."""
        self.rng = random.Random(seed)
        self.now = NOW
        self.hubs, self.leaves, self.edges = hubs, leaves, edges
        self.leaves_speak = leaves_speak
        self.credential = Credential(PASSWORD, hubs_are_listed=not leaves_speak)
        self.access = dict.fromkeys((*hubs, *leaves), Access())
        self.nodes = {name: self.start(name) for name in (*hubs, *leaves)}
        self.disks: dict[str, bytes] = {}
        """The snapshot that each node wrote last, if it has ever."""
        self.links: dict[Edge, Link] = {}
        self.resyncs: set[str] = set()
        """Every way in which a stream was ever brought up."""
        self.forgotten = self.aged = self.resets = self.skipped_bytes = self.fetched = self.rejoined = 0

    def start(self, name: str) -> Node:
        """A node that remembers nothing."""
        incarnation = self.rng.getrandbits(64)
        return node(name, incarnation=incarnation, forwards=name in self.hubs, mesh=SMALL, access=self.access[name])

    # ------------------------------------------------------------ deeds

    def announce(self) -> None:
        client = self.rng.randrange(CLIENTS)
        home = self.leaves[client % len(self.leaves)] if self.rng.random() < 0.7 else self.rng.choice(list(self.nodes))
        with contextlib.suppress(ClientError):
            announce(
                self.nodes[home],
                client + 100 * (self.rng.random() < 0.05),  # at times another peer id at the same address
                self.now,
                torrent=self.rng.randrange(TORRENTS),
                key=0 if client % 5 == 0 else 7 + client,
                address=LOCALHOST6 if self.rng.random() < 0.2 else LOCALHOST,
                port=0 if self.rng.random() < 0.02 else 1000 + client + 50 * (self.rng.random() < 0.1),
                left=self.rng.choice((0, 1)),
                event=self.rng.choice(
                    (Event.NONE, Event.NONE, Event.STARTED, Event.STOPPED, Event.COMPLETED, Event.PAUSED)
                ),
            )

    def flush(self) -> None:
        self.nodes[self.rng.choice(list(self.nodes))].flush(self.now)

    def talk(self) -> None:
        for edge in list(self.links):
            for _ in range(self.rng.randrange(4)):
                self.links[edge].step(self.now)
        self.look()

    def beat(self) -> None:
        for link in self.links.values():
            for end in link.ends:
                end.handle_deadline(self.now)

    def settle(self) -> None:
        settle(*self.links.values(), now=self.now)
        self.look()

    def look(self) -> None:
        """A link that ended by itself is a fault of the protocol."""
        for edge, link in list(self.links.items()):
            if State.CLOSED in link.states and {end.code for end in link.ends} <= {CloseCode.RESET, CloseCode.OTHER}:
                # A node that began its stream anew.
                self.part(edge)
                continue
            assert State.CLOSED not in link.states, [end.reason for end in link.ends]

    def connect(self) -> None:
        self.join(self.rng.choice(self.edges))

    def join(self, edge: Edge) -> None:
        if edge not in self.links:
            self.links[edge] = Link(
                self.nodes[edge[0]], self.nodes[edge[1]], self.now, policy=PATIENT, credential=self.credential
            )

    def cut(self) -> None:
        edge = self.rng.choice(self.edges)
        if edge in self.links:
            self.links[edge].step(self.now, most_bytes=self.rng.choice((0, 3, 20, 200, 1000)))
            self.part(edge)

    def part(self, edge: Edge) -> None:
        link = self.links.pop(edge)
        for end in link.ends:
            statistics = end.statistics(self.now)
            self.resyncs |= {words.partition(": ")[2] for words in statistics.resync.split("; ")}
            self.skipped_bytes += statistics.skipped_bytes
        link.cut(self.now)

    def part_all(self, name: str) -> None:
        for edge in list(self.links):
            if name in edge:
                self.part(edge)

    def part_closed(self) -> None:
        """Links that were reset are gone once the other side was told."""
        for edge, link in list(self.links.items()):
            if State.CLOSED in link.states:
                self.resets += 1
                if self.rng.random() < 0.5:
                    link.step(self.now)
                self.part(edge)

    def reset(self) -> None:
        edge = self.rng.choice(self.edges)
        near, far = edge if self.rng.random() < 0.5 else edge[::-1]
        with contextlib.suppress(CommandError):
            self.nodes[near].execute(ResetLinks(name=far, full=self.rng.random() < 0.5, caller="story"), self.now)
        self.part_closed()

    def list_anew(self, name: str) -> None:
        listed = frozenset(torrent_of(number) for number in range(TORRENTS) if self.rng.random() < 0.6)
        self.access[name] = Access(self.rng.choice(("open", "allow", "allow", "allow", "deny")), listed)

    def change_list(self) -> None:
        name = self.rng.choice(self.leaves)
        if not self.is_kept(self.nodes, name):
            return
        before = self.nodes[name].mesh.lacks_swarms()
        self.list_anew(name)
        self.nodes[name].set_access(self.access[name], self.now)
        self.fetched += self.nodes[name].mesh.lacks_swarms() > before
        self.part_closed()

    def write_disk(self) -> None:
        name = self.rng.choice(list(self.nodes))
        self.disks[name] = save(self.nodes[name], self.now)

    def restart(self) -> None:
        """A node starts again: with nothing, with a snapshot that it wrote a while ago, or with its latest state."""
        name = self.rng.choice(list(self.nodes))
        may_forget = self.is_kept([other for other in self.nodes if other != name], name, ends=True)
        finds = self.rng.choice(("nothing", "nothing", "old", "all")) if may_forget else "all"
        if name in self.leaves and self.rng.random() < 0.2 and self.is_kept(self.nodes, name, ends=True):
            self.list_anew(name)
        if finds == "all":
            self.disks[name] = save(self.nodes[name], self.now)
        self.part_all(name)
        self.nodes[name] = self.start(name)
        if finds == "nothing":
            self.disks.pop(name, None)
        if name in self.disks:
            restore.restore(self.nodes[name], snapshot_format.decode(self.disks[name]), self.now)
            self.aged += finds == "old"
        else:
            self.forgotten += 1

    def is_kept(self, owners: Iterable[str], without: str, *, ends: bool = False) -> bool:
        """Is all that these nodes know also known to others than one, which may bring it to everybody?

        ``ends``: the present stream of that one ends now, so that it is one of those that others must keep.
        """
        alive = {owner.mesh.own for name, owner in self.nodes.items() if name != without or not ends}
        keepers = [owner for name, owner in self.nodes.items() if name != without and self.speaks(name)]
        kept = [(held(keeper), figures(keeper), keeper.mesh) for keeper in keepers]
        for owner in (self.nodes[name] for name in owners):
            known, counted, vector = held(owner), figures(owner), owner.mesh.vector()
            for stream, position in vector.items():
                rows = {key: row for key, row in known.items() if row[3] == stream}
                counts = {key: figure for key, figure in counted.items() if figure[2] == stream}
                if stream in alive or not (rows or counts):
                    continue
                if not any(
                    mesh.keeps(stream)
                    and mesh.vector().get(stream, Position(-1, 0)).sequence >= position.sequence
                    and all(key in has and has[key][1] >= row[1] for key, row in rows.items())
                    and all(key in says and says[key][0] >= figure[0] for key, figure in counts.items())
                    for has, says, mesh in kept
                ):
                    return False
        return True

    def speaks(self, name: str) -> bool:
        """Does a node send other nodes' streams, if it has left nothing out?"""
        return name in self.hubs or self.leaves_speak

    # ------------------------------------------------------------ the whole

    def deeds(self) -> list[Callable[[], None]]:
        """What may happen, as often as it is listed."""
        return (
            [self.announce] * 14
            + [self.flush] * 4
            + [self.talk] * 6
            + [self.beat] * 2
            + [self.settle]
            + [self.connect] * 4
            + [self.cut, self.restart, self.reset, self.change_list, self.write_disk]
        )

    def run(self, acts: int) -> None:
        deeds = self.deeds()
        for _ in range(acts):
            self.now += self.rng.choice((0.0, 0.01, 0.5, 7.0))
            self.rng.choice(deeds)()

    def heal(self) -> None:
        self.join_all()
        self.ask_again()
        # Of streams that grow no longer a node counts on, and tells of rows that are in none of their batches.
        self.live(QUIET_SECONDS + 30)
        for _ in range(40):
            begun = self.begun_anew()
            self.live(30)
            if begun == self.begun_anew() and not any(map(self.has_more_to_tell, self.nodes.values())):
                break
        else:
            raise AssertionError("some node begins its stream anew again and again")
        # Streams that have gone meanwhile are lacked no longer.
        self.ask_again()
        for _ in range(3):
            if self.under_way():
                self.live(30)

    def ask_again(self) -> None:
        """Hubs were behind when leaves asked for swarms that they track since: the next link asks again."""
        for _ in range(10):
            lacking = [name for name in self.leaves if self.nodes[name].mesh.lacks_swarms()]
            if not lacking:
                break
            self.rejoined += 1
            for name in lacking:
                self.part_all(name)
            self.join_all()
        self.join_all()

    def live(self, seconds: float) -> None:
        """Time passes; no link is cut, and no stream that is alive is silent for long."""
        until = self.now + seconds
        while self.now < until:
            self.join_all(QUIET_SECONDS / 3)

    def has_more_to_tell(self, owner: Node) -> bool:
        """Is there anything of which it will tell the others by itself, later?"""
        mesh = owner.mesh
        known = {stream for stream, position in mesh.vector().items() if position.sequence}
        return mesh.wants_anew or not known.isdisjoint(mesh._copies.untold())

    def under_way(self) -> int:
        """What was sent and not confirmed, is to be sent, or was said to be on its way."""
        ends = [end for link in self.links.values() for end in link.ends]
        figures = [end.statistics(self.now) for end in ends]
        sent = sum(figure.unconfirmed_frames + figure.peer_lag_batches for figure in figures)
        return sent + sum(end._progress.owed for end in ends)

    def begun_anew(self) -> int:
        """How often any node began its stream anew, of which all are to be told."""
        return sum(owner.mesh.statistics().began_anew for owner in self.nodes.values())

    def join_all(self, seconds: float = 10) -> None:
        for edge in self.edges:
            self.join(edge)
        for owner in self.nodes.values():
            owner.flush(self.now)
        self.settle()
        self.now += seconds
        self.beat()
        self.settle()

    def check(self) -> None:
        """All hold the same of what they track, and no heartbeat speaks of anything that is missing."""
        assert {state for link in self.links.values() for state in link.states} == {State.SYNCED}
        first = self.nodes[self.hubs[0]]
        for name, owner in self.nodes.items():
            tracked = self.access[name]
            unshared = self.unshared(owner)
            rows, expected = shared_only(held(owner), held(first), unshared)
            known, counted = shared_only(figures(owner), figures(first), unshared)
            assert tracked_only(rows, tracked) == tracked_only(expected, tracked), name
            assert tracked_only(known, tracked) == tracked_only(counted, tracked), name
            assert self.told_unshared(owner) >= sum(row[3] in unshared for row in held(owner).values()), name
            self.check_positions(owner, first)
            # Such a leaf asks again at every link.
            assert not owner.mesh.lacks_swarms() or unshared, name
            for number in range(TORRENTS):
                if tracked.allows(torrent_of(number)) and not unshared:
                    assert owner.scrape([torrent_of(number)]) == first.scrape([torrent_of(number)]), name
        assert not self.under_way()

    def unshared(self, owner: Node) -> set[StreamId]:
        """Streams that no hub knows that far any more: a leaf that has left out a part of one cannot give it back."""
        vectors = [self.nodes[hub].mesh.vector() for hub in self.hubs]
        return {
            stream
            for stream, position in owner.mesh.vector().items()
            if not owner.mesh.keeps(stream)
            and all(theirs.get(stream, NOWHERE).sequence < max(1, position.sequence) for theirs in vectors)
        }

    def told_unshared(self, owner: Node) -> int:
        """Rows that a node says that it keeps to itself."""
        ends = [end for link in self.links.values() for end in link.ends if end._replica is owner.mesh]
        return max((end.statistics(self.now).unshared_rows for end in ends), default=0)

    def check_positions(self, one: Node, other: Node) -> None:
        """Both know the same batches of every stream of which they have rows, if both keep all that they hear."""
        mine, theirs = one.mesh.vector(), other.mesh.vector()
        assert {owner.mesh.own for owner in self.nodes.values()} <= mine.keys()
        for stream in mine.keys() & theirs.keys():
            is_whole = one.mesh.keeps(stream) and other.mesh.keeps(stream)
            if is_whole and mine[stream].sequence and one.mesh.rows(stream) and other.mesh.rows(stream):
                assert mine[stream].sequence == theirs[stream].sequence, (one.name, stream)
                assert not differ(mine[stream].digest, theirs[stream].digest), (one.name, stream)

    def tell(self, acts: int) -> None:
        """From the first act to peace."""
        self.run(acts)
        self.heal()
        self.check()
        for edge in self.edges:
            self.part(edge)


def unequal(tell: Callable[[int], object], seeds: Iterable[int]) -> list[str]:
    """Tell the stories of these seeds on all cores; returns what was wrong in the end, a line a story."""
    # Not forked: a test suite has threads.
    with multiprocessing.get_context("spawn").Pool() as pool:
        return [line for line in pool.imap(partial(_told, tell), seeds, chunksize=_CHUNK_SEEDS) if line]


def _told(tell: Callable[[int], object], seed: int) -> str:
    peer_table.PIECE_BYTES = TINY_PIECE_BYTES
    try:
        tell(seed)
    except AssertionError as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        return f"seed {seed}: {where.line}: {str(error)[:200]}"
    return ""
