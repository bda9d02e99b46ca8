"""Stories of a mesh: announces, cut wires, resets, lists that change, restarts with and without state; then peace.

Data is allowed to be lost only as the protocol says: a node's changes live as long as that node or those it is linked
with keep them, so a story never takes the memory of all of them before they have met again.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable

import attrs

from meshtracker.errors import ClientError
from meshtracker.link.greeting import ClockPolicy
from meshtracker.link.policy import LinkPolicy
from meshtracker.link.state import State
from meshtracker.model import Event
from meshtracker.node.commands import CommandError, ResetLinks
from meshtracker.node.node import Node
from meshtracker.swarm.access import Access
from meshtracker.swarm.peers import Row
from meshtracker.wire.vector import Position, Vector
from tests.mouth_to_mouth import LOCALHOST, LOCALHOST6, NOW, Link, Rows, announce, node, rows, settle

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
NOWHERE = Position(0, 0)
Completed = dict[tuple[bytes, str], int]


@attrs.frozen
class Saved:
    """What a snapshot on disk holds."""

    rows: Rows
    completed: Completed
    vector: Vector
    tracks: bytes


def completed(owner: Node) -> Completed:
    names = owner.registry.origins.names
    return {
        (info_hash, names[origin]): total
        for info_hash, swarm in owner.registry.swarms.items()
        for origin, total in (swarm.completed or {}).items()
    }


def save(owner: Node) -> Saved:
    return Saved(rows(owner), completed(owner), owner.mesh.vector(), owner.mesh.tracks())


def restore(owner: Node, saved: Saved) -> None:
    registry = owner.registry
    for (info_hash, family, identity), (address, stamp, state, origin) in saved.rows.items():
        if owner.mesh.forwards or owner.access.allows(info_hash):
            owner.clock.observe(stamp)
            row = Row(identity, stamp, registry.origins.index(origin), state)
            registry.merge(registry.swarm(info_hash), row, address, family)
    for (info_hash, origin), total in saved.completed.items():
        if info_hash in registry.swarms:
            registry.swarm(info_hash).count_completed(registry.origins.index(origin), total)
    if saved.tracks != owner.mesh.tracks():
        owner.mesh.lack_swarms()
    owner.mesh.resume(saved.vector)


def torrent_of(number: int) -> bytes:
    return number.to_bytes(20, "big")


class Story:
    """One seed's run over hubs, leaves, and who dials whom."""

    def __init__(self, seed: int, *, hubs: tuple[str, ...], leaves: tuple[str, ...], edges: list[Edge]) -> None:
        self.rng = random.Random(seed)
        self.now = NOW
        self.starts = 1000
        self.hubs, self.leaves, self.edges = hubs, leaves, edges
        self.access = dict.fromkeys((*hubs, *leaves), Access())
        self.nodes = {name: self.start(name) for name in (*hubs, *leaves)}
        self.links: dict[Edge, Link] = {}
        self.resyncs: set[str] = set()
        """Every way in which a stream was ever brought up."""
        self.forgotten = self.resets = self.skipped_bytes = self.fetched = 0

    def start(self, name: str) -> Node:
        self.starts += 1000
        return node(name, incarnation=self.starts, forwards=name in self.hubs, mesh=SMALL, access=self.access[name])

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
        self.nodes[self.rng.choice(list(self.nodes))].mesh.flush(self.now)

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
        for link in self.links.values():
            assert State.CLOSED not in link.states, [end.reason for end in link.ends]

    def connect(self) -> None:
        self.join(self.rng.choice(self.edges))

    def join(self, edge: Edge) -> None:
        if edge not in self.links:
            self.links[edge] = Link(self.nodes[edge[0]], self.nodes[edge[1]], self.now, policy=PATIENT)

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

    def may_list_anew(self, name: str) -> bool:
        """Do the hubs of this leaf know all that it knows?

        One that is behind, and catches up later, does not send again what the leaf has had of swarms it did not track.
        """
        known = [(origin, known) for origin, known in self.nodes[name].mesh.vector().items() if origin != name]
        hubs = [self.nodes[hub].mesh for leaf, hub in self.edges if leaf == name]
        return all((hub.position(origin) or NOWHERE) >= position for hub in hubs for origin, position in known)

    def change_list(self) -> None:
        name = self.rng.choice(self.leaves)
        if not self.may_list_anew(name):
            return
        before = self.nodes[name].mesh.lacks_swarms()
        self.list_anew(name)
        self.nodes[name].set_access(self.access[name], self.now)
        self.fetched += self.nodes[name].mesh.lacks_swarms() > before
        self.part_closed()

    def restart(self) -> None:
        name = self.rng.choice(list(self.nodes))
        may_forget = self.may_forget(name)
        before = self.access[name]
        if name in self.leaves and may_forget and self.may_list_anew(name) and self.rng.random() < 0.2:
            self.list_anew(name)
        lacking = [self.nodes[leaf].mesh.lacks_swarms() for leaf, hub in self.edges if hub == name]
        if any(lacking) or (self.serves_others(name) and not may_forget):
            # Of what it no longer tracks a node that restarts forgets its own clients.
            self.access[name] = before
            return
        old = self.nodes[name]
        for edge in list(self.links):
            if name in edge:
                self.part(edge)
        self.nodes[name] = self.start(name)
        if may_forget and self.rng.random() < 0.6:
            self.forgotten += 1
        else:
            restore(self.nodes[name], save(old))

    def serves_others(self, name: str) -> bool:
        """Is a client of this node known anywhere, in a swarm that it does not track?"""
        return any(
            row[3] == name and not self.access[name].allows(key[0])
            for owner in self.nodes.values()
            for key, row in rows(owner).items()
        )

    def may_forget(self, name: str) -> bool:
        """Would nothing be lost with this node's memory?

        What others know of its own clients must be held by those it is linked with; and all that a hub passed on, by
        the nodes that it came from.
        """
        mates = [self.nodes[other] for edge in self.edges if name in edge for other in edge if other != name]
        others = [other for key, other in self.nodes.items() if key != name]
        for origin in self.nodes if name in self.hubs else (name,):
            keepers = mates if origin == name else [self.nodes[origin]]
            known = [row for other in others for row in rows(other).items() if row[1][3] == origin]
            counted = [count for other in others for count in completed(other).items() if count[0][1] == origin]
            for keeper in keepers:
                kept, kept_counts = rows(keeper), completed(keeper)
                if any(key not in kept or kept[key][1] < row[1] for key, row in known):
                    return False
                if any(kept_counts.get(key, 0) < total for key, total in counted):
                    return False
        return True

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
            + [self.cut, self.restart, self.reset, self.change_list]
        )

    def run(self, acts: int) -> None:
        deeds = self.deeds()
        for _ in range(acts):
            self.now += self.rng.choice((0.0, 0.01, 0.5, 7.0))
            self.rng.choice(deeds)()

    def heal(self) -> None:
        for edge in self.edges:
            self.join(edge)
        for owner in self.nodes.values():
            owner.mesh.flush(self.now)
        self.settle()
        self.now += 10
        self.beat()
        self.settle()

    def check(self) -> None:
        """All hold the same of what they track, and no heartbeat speaks of anything that is missing."""
        assert {state for link in self.links.values() for state in link.states} == {State.SYNCED}
        first = self.nodes[self.hubs[0]]
        for name, owner in self.nodes.items():
            tracked = self.access[name]
            assert rows_of(owner, tracked) == rows_of(first, tracked), name
            assert counts_of(owner, tracked) == counts_of(first, tracked), name
            assert owner.mesh.vector() == first.mesh.vector(), name
            assert not owner.mesh.lacks_swarms(), name
            for number in range(TORRENTS):
                if tracked.allows(torrent_of(number)):
                    assert owner.scrape([torrent_of(number)]) == first.scrape([torrent_of(number)]), name
        for link in self.links.values():
            for end in link.ends:
                statistics = end.statistics(self.now)
                assert (statistics.unconfirmed_frames, statistics.peer_lag_batches, end._progress.owed) == (0, 0, 0)

    def tell(self, acts: int) -> None:
        """From the first act to peace."""
        self.run(acts)
        self.heal()
        self.check()
        for edge in self.edges:
            self.part(edge)


def rows_of(owner: Node, tracked: Access) -> Rows:
    return {key: row for key, row in rows(owner).items() if tracked.allows(key[0])}


def counts_of(owner: Node, tracked: Access) -> Completed:
    return {key: total for key, total in completed(owner).items() if tracked.allows(key[0])}
