"""One game: honest nodes, liars among them, then peace. In the end the honest ones are linked, and hold the same."""

from __future__ import annotations

import contextlib
import functools
import random
from collections.abc import Iterable, Iterator

import tests.simulation.world  # noqa: F401  # makes PBKDF2 cheap
from meshtracker.errors import ClientError
from meshtracker.link.proof.authentication import Credential
from meshtracker.link.proof.credentials import MIN_ITERATIONS, CredentialList
from meshtracker.link.session import LinkSession
from meshtracker.link.transitions import State
from meshtracker.model import Event
from meshtracker.node.node import SESSION_BYTES, Node
from meshtracker.swarm.access import Access
from meshtracker.wire.vector import MAX_STREAMS, StreamId
from tests.hostile.frames import CLIENTS, TORRENTS, Liar, View
from tests.mouth_to_mouth import NOW, PASSWORD, WALL_OFFSET_SECONDS, Link, Rows, announce, node, rows, settle

HONEST = ("hub-0", "hub-1", "leaf-a", "leaf-b", "leaf-c")
"""A and B know the mesh's password, C has one of its own."""
EDGES = (("hub-1", "hub-0"), ("leaf-a", "hub-0"), ("leaf-b", "hub-1"), ("leaf-c", "hub-0"), ("leaf-a", "hub-1"))
ROLES = ("own", "mesh", "hub")
TURNS = 60
PEACE_SECONDS = 300
"""Longer than the longest penalty, a stream that is begun anew, and a soft-split, one after the other."""
Edge = tuple[str, str]


@functools.cache
def _credentials() -> tuple[Credential, dict[str, Credential]]:
    """What hubs check against, and what each node with a password of its own proves itself with."""
    listed = CredentialList(bytes(range(16)), MIN_ITERATIONS)
    own = {}
    for name in ("leaf-c", "liar-own-0", "liar-own-1"):
        listed = listed.with_password(name, "leaf", f"own {name}")
        own[name] = Credential(f"own {name}", iterations=MIN_ITERATIONS)
    return Credential(PASSWORD, listed), own


class Game:
    """One seed's game over real nodes and sessions, mouth to mouth."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.rng = random.Random(f"game {seed}")
        self.liar = Liar(self.rng)
        self.now = NOW
        narrowed = Access("allow", frozenset(number.to_bytes(20, "big") for number in (0, 1)))
        self.nodes = {name: self._start(name) for name in HONEST}
        if self.rng.random() < 0.3:
            self.nodes["leaf-b"].set_access(narrowed, NOW)
        self.links: dict[Edge, Link] = {}
        self.liars = [f"liar-{self.rng.choice(ROLES)}-{number}" for number in range(self.rng.choice((1, 1, 2)))]
        self.most_held = 0

    def _start(self, name: str) -> Node:
        return node(
            name,
            incarnation=self.rng.getrandbits(64),
            forwards=name.startswith("hub") or "hub" in name,
            mesh={"max_batch_bytes": 2000, "max_log_bytes": 100_000},
        )

    # ------------------------------------------------------------ links

    def _join(self, edge: Edge) -> None:
        dialer, listener = edge
        for known, link in list(self.links.items()):
            if known == edge and State.CLOSED in link.states:
                self._part(known)
        if edge in self.links:
            return
        hub_credential, own = _credentials()
        self.links[edge] = Link(
            self.nodes[dialer],
            self.nodes[listener],
            self.now,
            leaf_credential=own.get(dialer, hub_credential),
            hub_credential=hub_credential,
        )

    def _part(self, edge: Edge) -> None:
        self.links.pop(edge).cut(self.now)

    def _settle(self) -> None:
        settle(*self.links.values(), now=self.now)
        self._look()

    def _look(self) -> None:
        """Nobody holds more for a link than status says that it may."""
        for (dialer, listener), link in self.links.items():
            for name, end in zip((dialer, listener), link.ends, strict=True):
                if name in HONEST:
                    held = end.held_bytes()
                    self.most_held = max(self.most_held, held)
                    assert held <= SESSION_BYTES // 4, f"{name} holds {held} bytes for {end.peer and end.peer.name}"
        for name in HONEST:
            owner = self.nodes[name]
            assert len(owner.registry.streams) <= MAX_STREAMS
            logs = owner.mesh.logs.statistics(self.now)
            assert logs.bytes <= logs.max_bytes

    # ------------------------------------------------------------ turns

    def play(self, turns: Iterable[int]) -> None:
        """These turns, by number, then peace, then the reckoning."""
        for edge in EDGES:
            self._join(edge)
        self._settle()
        for number in turns:
            self.turn(number)
        self.make_peace()

    def turn(self, number: int) -> None:
        """One thing that happens. What it draws depends on its number alone, so that others can be left out."""
        rng = self.rng = random.Random(f"game {self.seed} turn {number}")
        self.liar = Liar(rng)
        self.now += rng.choice((0.0, 0.01, 0.3, 0.3, 6.0))
        rng.choice((self._announce, self._announce, self._lie, self._lie, self._lie, self._live, self._relink))()

    def _announce(self) -> None:
        rng = self.rng
        client = rng.randrange(CLIENTS)
        with contextlib.suppress(ClientError):
            announce(
                self.nodes[rng.choice(HONEST)],
                client,
                self.now,
                torrent=rng.randrange(TORRENTS),
                left=rng.choice((0, 1)),
                event=rng.choice((Event.NONE, Event.STARTED, Event.STOPPED, Event.COMPLETED)),
            )

    def _live(self) -> None:
        """Time passes as it does around nodes."""
        for owner in self.nodes.values():
            owner.flush(self.now)
        for link in self.links.values():
            for end in link.ends:
                end.handle_deadline(self.now)
        self._settle()

    def _relink(self) -> None:
        for edge in EDGES:
            if edge in self.links and self.rng.random() < 0.2:
                self._part(edge)
            self._join(edge)
        self._settle()

    def _lie(self) -> None:
        """A liar says something over a link of its own."""
        rng = self.rng
        name = rng.choice(self.liars)
        end = self._liars_end(name)
        for _ in range(rng.choice((1, 2, 5, 20))):
            if end.is_closed:
                break
            end.receive_data(self.liar.say(self._view(name)), self.now)
            # What it asks for is made as long as it reads.
            for _ in range(rng.choice((0, 3))):
                end.data_to_send(self.now)
            self._look()
        if rng.random() < 0.5:
            self._settle()

    def _liars_end(self, name: str) -> LinkSession:
        """The honest end of a liar's link, made anew if it was closed; led to where the liar begins to lie."""
        rng = self.rng
        mine = [edge for edge in self.links if edge[0] == name and State.CLOSED not in self.links[edge].states]
        if mine and rng.random() < 0.9:
            return self.links[rng.choice(mine)].hub
        if name not in self.nodes or rng.random() < 0.3:
            self.nodes[name] = self._start(name)
        edge = (name, rng.choice(("hub-0", "hub-1")))
        if edge in self.links:
            self._part(edge)
        self._join(edge)
        link = self.links[edge]
        until = rng.choice((State.GREETING, State.COMPARING, State.BURSTING, State.SYNCED, State.SYNCED))
        for _ in range(30):
            if link.hub.state is until or link.hub.is_closed:
                break
            link.step(self.now)
        return link.hub

    def _view(self, name: str) -> View:
        known = [self.nodes[other].mesh for other in HONEST]
        me = self.nodes[name].mesh.own
        return View(
            me=StreamId(name, me.incarnation),
            wall_ms=int((self.now + WALL_OFFSET_SECONDS) * 1000),
            vectors=[mesh.vector() for mesh in known],
        )

    # ------------------------------------------------------------ peace

    def make_peace(self) -> None:
        """The liars are gone; honest nodes live on until they are alike, or for long enough."""
        for edge in [edge for edge in self.links if edge[0] in self.liars]:
            self._part(edge)
        for name in self.liars:
            self.nodes.pop(name, None)
        until = self.now + PEACE_SECONDS
        problems = ["nothing was looked at"]
        while problems and self.now < until:
            for _ in range(3):
                self.now += 2.5
                for edge in EDGES:
                    self._join(edge)
                self._live()
            problems = list(self.amiss())
        assert not problems, "; ".join(problems[:5])

    def amiss(self) -> Iterator[str]:
        """What is not as it must be."""
        for edge in EDGES:
            link = self.links.get(edge)
            if link is None or set(link.states) != {State.SYNCED}:
                yield f"the link {edge} is not up: {link and [end.reason for end in link.ends]}"
        first = self.nodes["hub-0"]
        for name in HONEST[1:]:
            owner = self.nodes[name]
            excused = self._unshared(name)
            mine, theirs = self._tracked(owner, owner), self._tracked(first, owner)
            if {key: row for key, row in mine.items() if key not in excused} != {
                key: row for key, row in theirs.items() if key not in excused
            }:
                different = [key for key in mine.keys() | theirs.keys() if mine.get(key) != theirs.get(key)]
                key = next(key for key in different if key not in excused)
                yield f"{name} and hub-0 differ in {len(different)} rows: {key} {mine.get(key)} {theirs.get(key)}"
            if not excused:
                yield from self._counts(name, owner, first)
            if owner.mesh.position(owner.mesh.own) is None or first.mesh.position(owner.mesh.own) is None:
                yield f"hub-0 does not know {name}"

    def _tracked(self, of: Node, by: Node) -> Rows:
        return {key: row for key, row in rows(of).items() if by.mesh.forwards or by.access.allows(key[0])}

    def _unshared(self, name: str) -> set[object]:
        """Rows that a leaf may not speak of and its hub lacks: the one exception, and it is counted."""
        if name != "leaf-c":
            return set()
        session = self.links["leaf-c", "hub-0"].leaf
        if not session.statistics(self.now).unshared_rows:
            return set()
        owner, first = self.nodes[name], self.nodes["hub-0"]
        held, there = rows(owner), rows(first)
        return {key for key in held if held[key] != there.get(key)}

    def _counts(self, name: str, owner: Node, first: Node) -> Iterator[str]:
        for torrent in range(TORRENTS):
            info_hash = torrent.to_bytes(20, "big")
            if owner.mesh.forwards or owner.access.allows(info_hash):
                mine, theirs = owner.registry.get(info_hash), first.registry.get(info_hash)
                figures = [(swarm.completed or {}) if swarm is not None else {} for swarm in (mine, theirs)]
                told = [{of: figure[0] for of, figure in one.items()} for one in figures]
                if told[0] != told[1]:
                    yield f"{name} counts {told[0]} downloads of torrent {torrent}, hub-0 {told[1]}"


def play(seed: int, turns: Iterable[int] = range(TURNS)) -> Game:
    """One game. Raises AssertionError if it ends badly."""
    game = Game(seed)
    game.play(turns)
    return game
