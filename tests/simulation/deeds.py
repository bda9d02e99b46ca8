"""What each kind of event does to a world. A fault that lasts is lifted by itself after the seconds it was given."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from meshtracker.link.transitions import State
from meshtracker.model import AnnounceRequest
from meshtracker.model import Event as AnnounceEvent
from meshtracker.node.commands import Command, CommandError, DisableLinks, EnableLinks, ResetLinks
from tests.mouth_to_mouth import LOCALHOST, LOCALHOST6
from tests.simulation.connection import Connection, Edge, End
from tests.simulation.events import HARMLESS, Event
from tests.simulation.forgery import forge
from tests.simulation.guests import Guests
from tests.simulation.host import Host
from tests.simulation.network import Pipe, WayFault
from tests.simulation.world import WRONG, Injection, World

_FORGERY_SECONDS = 2.0
"""A forged frame must have ended its link after this."""
_MAY_BE_KNOWN = frozenset({"future", "cut short"})
_LARGE_STEP_SECONDS = 60.0


class Deeds:
    """Carries out events. Methods are named after their kind."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._timeline = world.timeline
        self._guests = Guests(world)
        self.over_at = world.timeline.now
        """When the last fault is lifted."""

    def do(self, event: Event) -> None:
        """Carry out one event."""
        if event.kind not in HARMLESS:
            self._world.record.faults[event.kind] += 1
        getattr(self, "_" + event.kind.replace(" ", "_").replace("-", "_"))(*event.arguments)
        self.over_at = max(self.over_at, self._timeline.now)

    def _later(self, seconds: float, call: Callable[..., object], *arguments: object) -> None:
        self.over_at = max(self.over_at, self._timeline.now + seconds)
        self._timeline.at(self._timeline.now + seconds, None, call, *arguments)

    def _edge(self, name: str) -> Edge:
        return self._world.edges[name]

    def _host(self, name: str) -> Host:
        return self._world.hosts[name]

    def _writer(self, edge: str, way: str) -> End | None:
        """The end that writes that way, if the link is up at both ends."""
        for connection in self._edge(edge).connections:
            ends = connection.ends
            if all(end.is_open and not end.is_gone and end.session.state is State.SYNCED for end in ends):
                return ends[0] if way == "up" else ends[1]
        return None

    # ------------------------------------------------------------ a good day

    def _announce(self, home: str, client: int, torrent: int, event: str, left: int, family: int, variant: str) -> None:
        host = self._host(home)
        request = AnnounceRequest(
            info_hash=torrent.to_bytes(20, "big"),
            peer_id=b"-MT0001-%012d" % (client + 100 * (variant == "other id")),
            key=0 if variant == "no key" else 7 + client,
            address=LOCALHOST6 if family == 6 else LOCALHOST,
            port=1000 + client + 50 * (variant == "other port"),
            event=AnnounceEvent[event.upper()],
            left=left,
        )
        self._timeline.at(self._timeline.now, host.process, host.announce, request)

    def _save(self, name: str) -> None:
        host = self._host(name)
        self._timeline.at(self._timeline.now, host.process, host.save)

    def _note(self, name: str, key: int, text: str) -> None:
        host = self._host(name)
        self._timeline.at(self._timeline.now, host.process, host.write_note, key, text)

    # ------------------------------------------------------------ the network

    def _cut(self, edge: str, kept_bytes: int) -> None:
        self._edge(edge).touch()
        for connection in list(self._edge(edge).connections):
            connection.cut(kept_bytes)

    def _outage(self, edge: str, seconds: float) -> None:
        injections = self._inject("outage", self._edge(edge))
        for way in ("up", "down"):
            self._impair(self._edge(edge), way, "stall", 0.0, seconds, injections)
        self._take_effect(injections)

    def _stall(self, edge: str, way: str, seconds: float) -> None:
        injections = self._inject("stall", self._edge(edge))
        self._impair(self._edge(edge), way, "stall", 0.0, seconds, injections)
        self._take_effect(injections)

    def _half_open(self, edge: str, way: str) -> None:
        for injection in self._inject("half-open", self._edge(edge)):
            connection = injection.connection
            connection.vanish()
            told = connection.ends[way == "up"]
            if not told.is_gone and told.is_open:
                self._timeline.at(self._timeline.now, told.process, told.receive, b"")
            # The one that was not told is to find out by itself.
            injection.finder = connection.ends[way != "up"]
            self._world.takes_effect(injection)

    def _black_hole(self, edge: str, way: str, largest_bytes: int, seconds: float) -> None:
        injections = self._inject("black hole", self._edge(edge))
        for injection in injections:
            pipe = self._pipe(injection.connection, way)
            pipe.on_stuck = partial(self._world.takes_effect, injection)
            pipe.on_flow = injection.subsides
        self._impair(self._edge(edge), way, "black hole", float(largest_bytes), seconds, injections)

    def _slow(self, edge: str, way: str, bytes_per_second: int, seconds: float) -> None:
        self._edge(edge).touch()
        self._impair(self._edge(edge), way, "slow", float(bytes_per_second), seconds, [])

    def _swallow(self, edge: str, way: str, seconds: float) -> None:
        injections = self._inject("swallow", self._edge(edge))
        for injection in injections:
            pipe = self._pipe(injection.connection, way)
            pipe.on_swallow = partial(self._world.takes_effect, injection)
        self._impair(self._edge(edge), way, "swallow", 0.0, seconds, injections)

    def _duplicate(self, edge: str, way: str) -> None:
        writer = self._writer(edge, way)
        if writer is not None:
            self._edge(edge).touch()
            writer.outgoing.write(writer.last_written)

    def _reorder(self, edge: str, way: str) -> None:
        writer = self._writer(edge, way)
        if writer is not None:
            self._edge(edge).touch()
            writer.swaps_next = True

    def _pipe(self, connection: Connection, way: str) -> Pipe:
        return connection.listener.incoming if way == "up" else connection.dialer.incoming

    def _inject(self, kind: str, edge: Edge) -> list[Injection]:
        return [self._world.inject(kind, connection) for connection in edge.connections]

    def _take_effect(self, injections: list[Injection]) -> None:
        for injection in injections:
            self._world.takes_effect(injection)

    def _impair(
        self, edge: Edge, way: str, fault: WayFault, value: float, seconds: float, injections: list[Injection]
    ) -> None:
        edge.way(way).begin(fault, value)
        self._later(seconds, self._repair, edge, way, fault, value, injections)

    def _repair(self, edge: Edge, way: str, fault: WayFault, value: float, injections: list[Injection]) -> None:
        for injection in injections:
            injection.lifted = True
        edge.way(way).end(fault, value)
        self._world.renew(edge.connections)

    # ------------------------------------------------------------ processes

    def _pause(self, name: str, seconds: float) -> None:
        host = self._host(name)
        connections = self._world.connections(host)
        for injection in self._world.injections:
            if injection.connection in connections:
                # Whoever is asleep finds nothing.
                injection.lifted = True
        injections = [self._world.inject("pause", connection) for connection in connections]
        host.process.paused_until = max(host.process.paused_until, self._timeline.now + seconds)
        for injection in injections:
            injection.finder = next(end for end in injection.connection.ends if end.host is not host)
        self._take_effect(injections)
        self._later(seconds, self._lift, injections)

    def _lift(self, injections: list[Injection]) -> None:
        for injection in injections:
            injection.lifted = True
        self._world.renew([injection.connection for injection in injections])

    def _crash(self, name: str, memory: str, told: str, seconds: float) -> None:
        host = self._host(name)
        if host.node is None:
            return
        if memory == "saved":
            host.save()
        elif memory == "with nothing":
            host.saved = None
        self._world.lost_memory |= memory != "saved"
        self._world.touch(host)
        left = self._world.connections(host)
        host.crash(told=told == "told")
        self._world.forget()
        if told != "told":
            self._take_effect([self._power_cut(connection, host) for connection in left])
        self._later(max(0.1, seconds), host.start)

    def _pair_crash(
        self, edge: str, memory: str, other_memory: str, told: str, seconds: float, other_seconds: float
    ) -> None:
        """Both ends of a link at one moment: neither can tell the other what it has lost."""
        one = self._edge(edge)
        self._crash(one.dialer.name, memory, told, seconds)
        self._crash(one.listener.name, other_memory, told, other_seconds)

    def _power_cut(self, connection: Connection, host: Host) -> Injection:
        """No kernel is left to say that the connection is gone."""
        injection = self._world.inject("crash", connection)
        injection.finder = next(end for end in connection.ends if end.host is not host)
        return injection

    def _stuck_applier(self, edge: str, way: str, seconds: float) -> None:
        writer = self._writer(edge, way)
        if writer is None:
            return
        reader = writer.other
        injection = self._world.inject("stuck applier", writer.connection)
        reader.stuck += 1
        reader.on_unapplied = partial(self._world.takes_effect, injection)
        self._later(seconds, self._unstick, reader, injection)

    def _unstick(self, reader: End, injection: Injection) -> None:
        injection.lifted = True
        reader.unstick()
        self._world.renew([reader.connection])

    # ------------------------------------------------------------ who comes for a while

    def _namesake(self, name: str, clients: str, told: str, seconds: float) -> None:
        guest = self._guests.namesake(self._host(name), _numbers(clients))
        self._later(seconds, self._guests.dismiss, guest, told)

    def _churn(self, hub: str, first: int, clients: str, seconds: float) -> None:
        for number, of_one in enumerate(clients.split(" ")):
            name = f"passer-by-{first + number}"
            self._later(number * seconds, self._guests.passer_by, name, hub, _numbers(of_one), 2 * seconds)
        self._later((number + 2) * seconds, lambda: None)

    def _liar(self, name: str, role: str, hub: str, seconds: float) -> None:
        guest = self._guests.liar(name, role, hub)
        self._later(seconds, self._guests.dismiss, guest, "told")

    # ------------------------------------------------------------ what people do

    def _clock(self, name: str, by_seconds: float, seconds: float) -> None:
        host = self._host(name)
        self._trouble(host)
        self._world.lost_memory |= abs(by_seconds) > _LARGE_STEP_SECONDS
        host.set_clock(host.clock_ahead_seconds + by_seconds)
        self._later(seconds, self._set_clock_right, host, by_seconds)

    def _set_clock_right(self, host: Host, by_seconds: float) -> None:
        self._world.touch(host)
        host.set_clock(host.clock_ahead_seconds - by_seconds)
        self._relieve(host)

    def _restart(self, host: Host) -> None:
        if host.node is not None:
            host.save()
            self._world.touch(host)
            host.crash(told=True)
            self._world.forget()
            host.start()

    def _trouble(self, host: Host) -> None:
        host.troubles += 1
        self._world.touch(host)

    def _relieve(self, host: Host) -> None:
        host.troubles -= 1

    def _password(self, name: str, seconds: float) -> None:
        host = self._host(name)
        self._trouble(host)
        host.credential = WRONG
        for connection in list(self._world.connections(host)):
            connection.cut(0)
        self._later(seconds, self._set_password_right, host)

    def _set_password_right(self, host: Host) -> None:
        host.credential = host.right_credential
        self._relieve(host)

    def _hubs(self, name: str) -> None:
        host = self._host(name)
        host.change_hubs()
        self._restart(host)

    def _access(self, name: str, torrents: str) -> None:
        host = self._host(name)
        host.torrents = tuple(map(int, torrents.split(",")))
        if host.node is not None:
            self._timeline.at(self._timeline.now, host.process, host.take_access)
            self._world.touch(host)

    def _command(self, edge: str, way: str, what: str, seconds: float) -> None:
        one = self._edge(edge)
        host, other = (one.dialer, one.listener) if way == "up" else (one.listener, one.dialer)
        one.touch()
        command: Command = ResetLinks(name=other.name, full=what == "reset full", caller="simulation")
        if what == "disable":
            command = DisableLinks(name=other.name, caller="simulation")
            self._trouble(host)
            self._later(seconds, self._enable, host, other.name)
        self._execute(host, command)

    def _enable(self, host: Host, other: str) -> None:
        self._execute(host, EnableLinks(name=other, caller="simulation"))
        self._relieve(host)

    def _execute(self, host: Host, command: Command) -> None:
        self._timeline.at(self._timeline.now, host.process, self._execute_now, host, command)

    def _execute_now(self, host: Host, command: Command) -> None:
        if host.node is not None:
            try:
                host.node.execute(command, self._timeline.now)
            except CommandError:
                # It never met that node, or they are not linked.
                self._world.record.refusals["command"] += 1

    def _forge(self, edge: str, way: str, what: str) -> None:
        writer = self._writer(edge, way)
        if writer is None or not writer.outgoing.has_room:
            return
        sound = not writer.connection.is_touched
        self._edge(edge).touch()
        reader = writer.other
        writer.outgoing.write(forge(what, writer, reader, self._world))
        if sound:
            self._later(_FORGERY_SECONDS, self._must_be_refused, reader, what)

    def _must_be_refused(self, reader: End, what: str) -> None:
        if what in _MAY_BE_KNOWN and len(reader.host.ends) > 1:
            # The true batch of that number may have come another way before it: then it is dropped unread.
            return
        awake = reader.process.paused_until <= self._timeline.now
        if awake and not reader.is_gone and not reader.stuck and not reader.incoming.way.is_faulty:
            self._world.violated(f"{reader.host.name} took a frame that was forged: {what}")


def _numbers(clients: str) -> list[int]:
    return [] if clients == "none" else [int(client) for client in clients.split(",")]
