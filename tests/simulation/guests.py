"""Nodes that come for a while and go for good: another process of a name, passers-by, liars."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from meshtracker.model import AnnounceRequest, Event
from tests.mouth_to_mouth import LOCALHOST
from tests.simulation.host import Host
from tests.simulation.liar import Liar
from tests.simulation.scenario import TORRENTS, Plan
from tests.simulation.world import World

_EVENTS = (Event.STARTED, Event.COMPLETED, Event.STOPPED, Event.NONE)


class Guests:
    """Brings them and has them leave. What they wrote may be lost with them, but all nodes must agree on it."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._timeline = world.timeline
        self._count = 0

    def namesake(self, host: Host, clients: Sequence[int]) -> Host:
        """A second process has the name and the settings of a node, and clients of its own."""
        guest = self.invite(host.plan)
        self.announce_soon(guest, clients)
        return guest

    def passer_by(self, name: str, hub: str, clients: Sequence[int], seconds: float) -> None:
        """Somebody links with a hub for a moment, under a name that nobody has heard."""
        guest = self.invite(Plan(name=name, forwards=False, hubs=(hub,)))
        self.announce_soon(guest, clients)
        self._timeline.at(self._timeline.now + seconds, None, self.dismiss, guest, "told")

    def liar(self, name: str, role: str, hub: str) -> Host:
        """A member says what it likes."""
        self._world.is_lied_to = True
        plan = Plan(name=name, forwards=role == "hub", hubs=(hub,), credential="own" if role == "own" else "mesh")
        guest = self.invite(plan)
        Liar(guest).begin()
        return guest

    def invite(self, plan: Plan) -> Host:
        """Start a node; it dials the hubs of its plan."""
        self._count += 1
        guest = Host(self._world, plan, guest=f"{plan.name}, guest {self._count}")
        for hub in plan.hubs:
            self._world.link(guest, self._world.hosts[hub])
        self._world.guests.append(guest)
        guest.start()
        return guest

    def dismiss(self, guest: Host, told: str) -> None:
        """It is killed, and will not come back."""
        self._world.touch(guest)
        guest.crash(told=told == "told")
        self._world.guests.remove(guest)
        self._world.forget()

    def announce_soon(self, guest: Host, clients: Iterable[int]) -> None:
        """Its clients announce, one after the other."""
        for number, client in enumerate(clients):
            request = AnnounceRequest(
                info_hash=(client % TORRENTS).to_bytes(20, "big"),
                peer_id=b"-MT0001-%012d" % client,
                key=7 + client,
                address=LOCALHOST,
                port=1000 + client,
                event=_EVENTS[(client + number) % len(_EVENTS)],
                left=client % 2,
            )
            self._timeline.at(self._timeline.now + 0.1 * number, guest.process, guest.announce, request)
