"""Simulated clients: each announces over its own sockets, from its own address, to the leaf it belongs to.

A client starts, announces again as often as its tracker asks for, completes, moves to another leaf now and then, as
clients do when a tracker of their list does not answer, and stops; a few know two leaves from the start. Nothing of
this is known to the nodes but by the announces.
"""

from __future__ import annotations

import random
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing

import attrs
import trio

from meshtracker.demo.mesh import PROTOCOLS, DemoMesh, Member, Tracker
from meshtracker.demo.swarms import TORRENTS, new_peer_id
from meshtracker.model import AnnounceRequest, Event
from meshtracker.wire.compact import pack_peer, packed_address

CLIENTS = 300
EVENTS = ("started", "completed", "moved", "stopped")
"""What is counted of them."""
_ARRIVAL_SECONDS = 2.5
"""The first announces come spread over this time."""
_ABSENCE_SECONDS = (0.5, 3.0)
_ANNOUNCES_OF_A_LIFE = (2, 10)
_PARTS = (2, 8)
"""That a leecher lacks when it starts; it has one more at each announce."""
_SEEDS = 0.25
_WITH_TWO_LEAVES = 0.1
_MOVES = 0.06
"""Chance of a move at each announce."""
_NEWS = 6
_ADDRESSES_A_BYTE = 250
_FIRST_PORT = 20_000


@attrs.define(eq=False)
class Client:
    """One client with one torrent."""

    address: str
    port: int
    protocol: str
    info_hash: bytes
    homes: list[Member]
    """The leaves it announces to."""
    left: int = 0
    peer_id: bytes = attrs.field(factory=new_peer_id)
    present: bool = False
    """In the swarm, as far as the client knows: its last announce was answered, and was no `stopped`."""

    @property
    def compact(self) -> bytes:
        """How trackers hand it out over IPv4: 6 bytes."""
        return pack_peer(packed_address(self.address), self.port)

    def request(self, event: Event) -> AnnounceRequest:
        """What it says to a tracker; the address is for the tracker to see."""
        return AnnounceRequest(
            info_hash=self.info_hash,
            peer_id=self.peer_id,
            key=self.port,
            address=bytes(4),
            port=self.port,
            event=event,
            left=self.left,
            numwant=0 if event is Event.STOPPED else 50,
        )


class Crowd:
    """All clients, what they did, and who must be in which swarm."""

    def __init__(self, mesh: DemoMesh, *, rng: random.Random, ending: trio.Event, clients: int = CLIENTS) -> None:
        """Once ``ending`` is set there are no further announces: the clients stay in their swarms, without goodbye."""
        self.announces: Counter[str] = Counter()
        """Answered, by the node's name."""
        self.events: Counter[str] = Counter()
        """How many of each of `EVENTS`."""
        self.news: deque[str] = deque(maxlen=_NEWS)
        """The last events in words."""
        self._leaves = mesh.leaves
        self._rng = rng
        self._ending = ending
        self.clients = [self._make(number) for number in range(clients)]

    def present(self, info_hash: bytes) -> dict[bytes, Client]:
        """The clients that are in a swarm, by compact address: the truth that every node must tell."""
        return {client.compact: client for client in self.clients if client.present and client.info_hash == info_hash}

    async def run(self) -> None:
        """Let them live until ``ending``; returns once the last announce has been answered."""
        async with trio.open_nursery() as nursery:
            for client in self.clients:
                nursery.start_soon(self._live, client)

    def _make(self, number: int) -> Client:
        rng, leaves = self._rng, self._leaves
        home = number % len(leaves)
        high, low = divmod(number, _ADDRESSES_A_BYTE)
        homes = [leaves[home]]
        if rng.random() < _WITH_TWO_LEAVES:
            homes.append(self._other_leaf(homes))
        return Client(
            address=f"127.{home + 1}.{high}.{low + 1}",
            port=_FIRST_PORT + number,
            protocol=rng.choice(PROTOCOLS),
            info_hash=rng.choice(list(TORRENTS)),
            homes=homes,
        )

    def _other_leaf(self, homes: Sequence[Member]) -> Member:
        return self._rng.choice([leaf for leaf in self._leaves if leaf not in homes])

    async def _live(self, client: Client) -> None:
        await self._pause(self._rng.uniform(0, _ARRIVAL_SECONDS))
        with ExitStack() as stack:
            trackers = {
                leaf.name: stack.enter_context(closing(leaf.tracker(client.protocol, local_address=client.address)))
                for leaf in self._leaves
            }
            while not self._ending.is_set():
                await self._live_once(client, trackers)
                await self._pause(self._rng.uniform(*_ABSENCE_SECONDS))

    async def _live_once(self, client: Client, trackers: Mapping[str, Tracker]) -> None:
        """From `started` to `stopped`, or to the end of the demo."""
        client.peer_id = new_peer_id()
        client.left = 0 if self._rng.random() < _SEEDS else self._rng.randint(*_PARTS)
        interval = await self._announce(client, trackers, Event.STARTED)
        for _ in range(self._rng.randint(*_ANNOUNCES_OF_A_LIFE)):
            await self._pause(interval)
            if self._ending.is_set():
                return
            interval = await self._go_on(client, trackers)
        await self._announce(client, trackers, Event.STOPPED)

    async def _go_on(self, client: Client, trackers: Mapping[str, Tracker]) -> int:
        """The next announce of a client that has started."""
        if client.left:
            client.left -= 1
            if not client.left:
                return await self._announce(client, trackers, Event.COMPLETED)
        if len(client.homes) == 1 and self._rng.random() < _MOVES:
            client.homes = [self._other_leaf(client.homes)]
            return await self._announce(client, trackers, Event.STARTED, told_as="moved")
        return await self._announce(client, trackers, Event.NONE)

    async def _announce(
        self, client: Client, trackers: Mapping[str, Tracker], event: Event, *, told_as: str = ""
    ) -> int:
        """Returns the seconds until the next announce, as the tracker wants it."""
        interval = 0
        for home in client.homes:
            answer = await trackers[home.name].announce(client.request(event))
            self.announces[home.name] += 1
            interval = answer.interval_seconds
        client.present = event is not Event.STOPPED
        if event is not Event.NONE:
            self._tell(client, told_as or event.name.lower())
        return interval

    def _tell(self, client: Client, event: str) -> None:
        self.events[event] += 1
        where = " and ".join(home.name for home in client.homes)
        to = "to" if event == "moved" else "at"
        torrent = TORRENTS[client.info_hash]
        self.news.append(f"{client.address} {event} {to} {where} ({torrent}, {client.protocol.upper()})")

    async def _pause(self, seconds: float) -> None:
        with trio.move_on_after(seconds):
            await self._ending.wait()
