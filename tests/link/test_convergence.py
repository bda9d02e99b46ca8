"""A hub and three leaves through anything: when it is over, all four hold exactly the same.

Each seed is a story of announces, cut wires, restarts with and without state. Data is allowed to be
lost only as the protocol says: a node's changes live as long as the node or the hub keeps them, so a story never takes
the memory of both before they have met again.
"""

from __future__ import annotations

import random

import attrs
import pytest

from meshtracker.link.session import LinkPolicy, State
from meshtracker.model import Event
from meshtracker.node.node import Node
from meshtracker.swarm.peers import Row
from meshtracker.wire.link import Vector
from tests.mouth_to_mouth import LOCALHOST, LOCALHOST6, NOW, Link, Rows, announce, node, rows, settle

LEAVES = ("a", "b", "c")
CLIENTS = 12
TORRENTS = 3
PATIENT = LinkPolicy(clock_refuse_seconds=1e9)
"""A HELLO may be on its way for minutes here."""
SMALL = {"max_batch_bytes": 400, "max_log_bytes": 2500}
"""So that bursts need snapshots, and batches are cut."""


@attrs.frozen
class Saved:
    """What a snapshot on disk holds."""

    rows: Rows
    completed: dict[tuple[bytes, str], int]
    vector: Vector


def completed(owner: Node) -> dict[tuple[bytes, str], int]:
    names = owner.registry.origins.names
    return {
        (info_hash, names[origin]): total
        for info_hash, swarm in owner.registry.swarms.items()
        for origin, total in (swarm.completed or {}).items()
    }


def save(owner: Node) -> Saved:
    return Saved(rows(owner), completed(owner), owner.mesh.vector())


def restore(owner: Node, saved: Saved) -> None:
    registry = owner.registry
    for (info_hash, family, identity), (address, stamp, state, origin) in saved.rows.items():
        owner.clock.observe(stamp)
        row = Row(identity, stamp, registry.origins.index(origin), state)
        registry.merge(registry.swarm(info_hash), row, address, family)
    for (info_hash, origin), total in saved.completed.items():
        registry.swarm(info_hash).count_completed(registry.origins.index(origin), total)
    owner.mesh.resume(saved.vector)


class Story:
    """One seed's run."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.now = NOW
        self.starts = 1000
        self.nodes = {name: self.start(name) for name in ("hub", *LEAVES)}
        self.links: dict[str, Link] = {}
        self.forgotten = 0

    def start(self, name: str) -> Node:
        self.starts += 1000
        return node(name, incarnation=self.starts, forwards=name == "hub", mesh=SMALL)

    def announce(self) -> None:
        client = self.rng.randrange(CLIENTS)
        home = LEAVES[client % 3] if self.rng.random() < 0.7 else self.rng.choice(("hub", *LEAVES))
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
        for name in list(self.links):
            for _ in range(self.rng.randrange(4)):
                self.links[name].step(self.now)
        self.look()

    def settle(self) -> None:
        settle(*self.links.values(), now=self.now)
        self.look()

    def look(self) -> None:
        """A link that ended by itself is a fault of the protocol."""
        for link in self.links.values():
            assert State.CLOSED not in link.states, [end.reason for end in link.ends]

    def connect(self) -> None:
        name = self.rng.choice(LEAVES)
        if name not in self.links:
            self.links[name] = Link(self.nodes[name], self.nodes["hub"], self.now, policy=PATIENT)

    def cut(self) -> None:
        name = self.rng.choice(LEAVES)
        link = self.links.pop(name, None)
        if link is not None:
            link.step(self.now, most_bytes=self.rng.choice((0, 3, 20, 200, 1000)))
            link.cut(self.now)

    def restart(self) -> None:
        name = self.rng.choice(list(self.nodes))
        old = self.nodes[name]
        for leaf in LEAVES if name == "hub" else (name,):
            if leaf in self.links:
                self.links.pop(leaf).cut(self.now)
        self.nodes[name] = self.start(name)
        if self.rng.random() < 0.4 or not self.may_forget(name):
            restore(self.nodes[name], save(old))
        else:
            self.forgotten += 1

    def may_forget(self, name: str) -> bool:
        """Is what others know of a leaf's clients kept by the hub (or, if that one goes, by the leaf itself)?"""
        for leaf in LEAVES if name == "hub" else (name,):
            keeper = self.nodes[leaf if name == "hub" else "hub"]
            kept, counted = rows(keeper), completed(keeper)
            for other in self.nodes.keys() - {name}:
                for key, row in rows(self.nodes[other]).items():
                    if row[3] == leaf and (key not in kept or kept[key][1] < row[1]):
                        return False
                for (info_hash, origin), total in completed(self.nodes[other]).items():
                    if origin == leaf and counted.get((info_hash, origin), 0) < total:
                        return False
        return True

    def run(self, acts: int) -> None:
        deeds = (
            [self.announce] * 14
            + [self.flush] * 4
            + [self.talk] * 5
            + [self.settle]
            + [self.connect] * 4
            + [self.cut, self.restart]
        )
        for _ in range(acts):
            self.now += self.rng.choice((0.0, 0.01, 0.5, 7.0))
            self.rng.choice(deeds)()

    def heal(self) -> None:
        for name in LEAVES:
            if name not in self.links:
                self.links[name] = Link(self.nodes[name], self.nodes["hub"], self.now, policy=PATIENT)
        for owner in self.nodes.values():
            owner.mesh.flush(self.now)
        self.settle()

    def check(self) -> None:
        assert {state for link in self.links.values() for state in link.states} == {State.SYNCED}
        hub = self.nodes["hub"]
        for name in LEAVES:
            leaf = self.nodes[name]
            assert rows(leaf) == rows(hub), name
            assert completed(leaf) == completed(hub), name
            assert leaf.mesh.vector() == hub.mesh.vector(), name
            for torrent in range(TORRENTS):
                asked = [torrent.to_bytes(20, "big")]
                assert leaf.scrape(asked) == hub.scrape(asked)


def run(seed: int, acts: int = 120) -> Story:
    story = Story(seed)
    story.run(acts)
    story.heal()
    story.check()
    return story


@pytest.mark.parametrize("seeds", [range(start, start + 10) for start in range(0, 160, 10)], ids=lambda seeds: seeds[0])
def test_all_nodes_hold_the_same_in_the_end(seeds: range) -> None:
    for seed in seeds:
        run(seed)


def test_the_stories_are_about_something() -> None:
    """The runs above do reach what they are meant to reach."""
    full, partial, held, forgotten = set(), 0, 0, 0
    for seed in range(12):
        story = run(seed)
        forgotten += story.forgotten
        held += len(rows(story.nodes["hub"]))
        for link in story.links.values():
            for end in link.ends:
                words = end.statistics(story.now).sent_resync
                full |= {reason for reason in ("new node", "fell behind", "new incarnation") if reason in words}
                partial += "partial" in words
    assert full == {"new node", "fell behind", "new incarnation"}
    assert partial > 5
    assert held > 100
    assert forgotten > 10


@pytest.mark.long
@pytest.mark.parametrize("start", range(1000, 2500, 100))
def test_all_nodes_hold_the_same_in_the_end_long(start: int) -> None:
    for seed in range(start, start + 100):
        run(seed, acts=300)
