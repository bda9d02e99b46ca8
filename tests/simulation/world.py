"""One run: hosts, ways and time; what happened, and what must not have."""

from __future__ import annotations

import functools
import hashlib
import random
import struct
from collections import Counter
from collections.abc import Callable, Collection

import attrs
import scramp.core

from meshtracker.link.policy import LinkPolicy
from meshtracker.link.proof.authentication import Credential
from meshtracker.link.proof.credentials import MIN_ITERATIONS, CredentialList
from meshtracker.link.transitions import State
from meshtracker.node.commands import ResetLinks
from meshtracker.node.mesh import MeshPolicy
from meshtracker.wire.frame import HEADER, MAX_PAYLOAD_BYTES
from tests.mouth_to_mouth import PASSWORD, WALL_OFFSET_SECONDS
from tests.simulation.connection import Connection, Edge, End
from tests.simulation.host import Host
from tests.simulation.ledger import Ledger
from tests.simulation.network import Way
from tests.simulation.scenario import Scenario
from tests.simulation.timeline import START, Timeline


@functools.cache
def _salted_password(password: bytes, salt: bytes, iterations: int) -> bytes:
    return hashlib.pbkdf2_hmac("sha256", password, salt, iterations)


# Milliseconds of PBKDF2 in each handshake would be most of a run; a client may keep its keys (RFC 5802, 5.1).
scramp.core.hi = lambda _, password, salt, iterations: _salted_password(password, salt, int(iterations))

SALT = bytes(range(16))
WRONG = Credential("another " + PASSWORD, iterations=MIN_ITERATIONS)
_FOREVER = float("inf")
_SLACK_SECONDS = 0.2
_BOUNDS_SECONDS = 2.0
MOST_HELD_BYTES = HEADER.size + 4 * MAX_PAYLOAD_BYTES
"""A frame that is not complete, what one read brought, and what waits to be written."""
_TRACE = struct.Struct("!dI")


def own_password(name: str) -> str:
    """Of a leaf that has one of its own."""
    return f"{PASSWORD} of {name}"


@attrs.define(eq=False, kw_only=True)
class Injection:
    """A fault that makes a soft-split of a connection."""

    kind: str
    connection: Connection
    effect_at: float = _FOREVER
    """Since when data is held up by it."""
    lifted: bool = False
    """Is it over, or may whoever should find it be excused?"""
    finder: End | None = None
    """Who is to find it; None: either end."""
    found_after_seconds: float | None = None

    @property
    def finders(self) -> tuple[End, ...]:
        """Whoever is to find it."""
        return self.connection.ends if self.finder is None else (self.finder,)

    def subsides(self) -> None:
        """What was held up has come, for now."""
        self.effect_at = _FOREVER


@attrs.define(kw_only=True)
class Record:
    """What happened in a run."""

    faults: Counter[str] = attrs.field(factory=Counter)
    """Injected, by kind."""
    found: list[tuple[str, str, float]] = attrs.field(factory=list)
    """Soft-splits: the fault's kind, the rule that found it, seconds from its effect."""
    rules: Counter[str] = attrs.field(factory=Counter)
    """Verdicts, also those on faults that were found already or that need not have been."""
    resyncs: Counter[str] = attrs.field(factory=Counter)
    """How origins were brought up: "partial", or the reason of a full one."""
    refusals: Counter[str] = attrs.field(factory=Counter)
    """Links that an end closed, by what it had against the other."""
    violations: list[str] = attrs.field(factory=list)
    story: list[str] = attrs.field(factory=list)
    """Links that ended and soft-splits that were found, if the run is traced."""
    orphans: int = 0
    changes: int = 0
    healed_seconds: float = 0.0
    """From the end of the last fault until nothing was amiss."""


class World:
    """See the module's docstring."""

    def __init__(self, scenario: Scenario, *, traces: bool = False, way: Callable[[], Way] | None = None) -> None:
        """``traces``: write down the story; ``way`` makes the ways between nodes, which are drawn otherwise."""
        self.scenario = scenario
        self.timeline = Timeline()
        self.ledger = Ledger()
        self.record = Record()
        listed = CredentialList(SALT, MIN_ITERATIONS)
        for plan in scenario.plans:
            if plan.credential == "own":
                listed = listed.with_password(plan.name, "leaf", own_password(plan.name))
        for event in scenario.events:
            if event.kind == "liar" and event.arguments[1] == "own":
                # Who has a password of its own cannot use the mesh's.
                name = str(event.arguments[0])
                listed = listed.with_password(name, "leaf", own_password(name))
        self.credential = Credential(PASSWORD, listed)
        """Of hubs, and of leaves that know the mesh's password."""
        self.lost_memory = False
        """Has anybody lost what he knew: in a crash, or by a clock that was far off?"""
        self.policy = LinkPolicy(auto_reset=scenario.auto_reset)
        self.mesh_heartbeat_seconds = MeshPolicy().heartbeat_seconds
        self.dice = random.Random(f"world {scenario.seed}")
        """What networks and dialers throw."""
        self.injections: list[Injection] = []
        self._trace = hashlib.blake2b(digest_size=16) if traces else None
        self.hosts = {plan.name: Host(self, plan) for plan in scenario.plans}
        self.guests: list[Host] = []
        """Those that are here at present; no check asks what they know."""
        self.is_lied_to = False
        """Has a liar been here? Then any row may be that of a liar."""
        self.edges: dict[str, Edge] = {}
        new_way = way or self._way
        for dialer, listener in scenario.edges:
            edge = Edge(self, self.hosts[dialer], self.hosts[listener], up=new_way(), down=new_way())
            self.hosts[dialer].edges.append(edge)
            self.edges[str(edge)] = edge
        for host in self.hosts.values():
            host.start()
        self.check_bounds()

    def link(self, dialer: Host, listener: Host) -> Edge:
        """A guest dials a node: over ways that are as good as any other."""
        edge = Edge(self, dialer, listener, up=self._way(), down=self._way())
        dialer.edges.append(edge)
        return edge

    def _way(self) -> Way:
        dice = self.dice
        return Way(
            latency_seconds=dice.choice((0.0005, 0.005, 0.03, 0.15)),
            bytes_per_second=dice.choice((100_000.0, 1e6, 1e7)),
            window_bytes=dice.choice((8_192, 65_536)),
        )

    @property
    def wall_seconds(self) -> float:
        """True Unix time."""
        return self.timeline.now + WALL_OFFSET_SECONDS

    # ------------------------------------------------------------ what is seen

    def violated(self, text: str) -> None:
        """Something must not be."""
        self.record.violations.append(f"{self.timeline.now - START:.2f} s: {text}")

    def trace(self, end: End, data: bytes) -> None:
        """Bytes came to an end. Not their content: nonces come from the operating system."""
        if self._trace is not None:
            self._trace.update(_TRACE.pack(self.timeline.now, len(data)))
            self._trace.update(f"{end.connection.edge}{end.dials}{end.session.state.value}".encode())

    def _tell(self, text: str) -> None:
        if self._trace is not None:
            self.record.story.append(f"{self.timeline.now - START:8.2f} s  {text}")

    def digest(self) -> str:
        """Of all that was traced: the same for the same run."""
        return self._trace.hexdigest() if self._trace is not None else ""

    def look_at(self, end: End) -> None:
        """Has a session found a soft-split? Are its bounds kept?"""
        session = end.session
        if session.soft_splits > end.splits_told and session.verdict is not None:
            end.splits_told = session.soft_splits
            self._found(end, session.verdict.rule, str(session.verdict))

    def _found(self, end: End, rule: str, verdict: str) -> None:
        self.record.rules[rule] += 1
        self._tell(f"{end.connection.edge} at {end.host.name}: {verdict}")
        connection = end.connection
        if not connection.is_touched:
            self.violated(f"false alarm on {connection.edge} at {end.host.name}: {verdict}")
        for injection in self.injections:
            waits = injection.effect_at < _FOREVER and injection.found_after_seconds is None and not injection.lifted
            # Others may come upon what is left of it later.
            if injection.connection is connection and waits and end in injection.finders:
                injection.found_after_seconds = self.timeline.now - injection.effect_at
                self.record.found.append((injection.kind, rule, injection.found_after_seconds))

    def ended(self, end: End) -> None:
        """An end of a connection is over."""
        session = end.session
        kind = session.refusal.label if session.refusal is not None else ""
        self._tell(f"{end.connection.edge} ended at {end.host.name}: {session.reason}")
        if kind:
            self.record.refusals[kind] += 1
            is_expected = kind in ("penalty", "name") or (kind == "replaced" and end.connection.edge.is_crossed)
            if not end.connection.is_touched and not is_expected:
                self.violated(f"{end.host.name} closed {end.connection.edge}, which had no fault: {session.reason}")
        self.note_resyncs(end)

    def note_resyncs(self, end: End) -> None:
        """How did this end bring up the other?"""
        for resync in end.session.statistics(self.timeline.now).sent_resync.split("; "):
            how = resync.partition(": ")[2]
            if how:
                self.record.resyncs["partial" if how.startswith("partial") else how[len("full (") : -1]] += 1

    # ------------------------------------------------------------ soft-splits that were made

    def inject(self, kind: str, connection: Connection) -> Injection:
        """A fault is on a connection; it may have no effect yet."""
        connection.is_touched = True
        injection = Injection(kind=kind, connection=connection)
        self.injections.append(injection)
        return injection

    def takes_effect(self, injection: Injection) -> None:
        """From now on data is held up: somebody must notice in time."""
        now = self.timeline.now
        finders = injection.finders
        if injection.effect_at < _FOREVER or all(end.process.paused_until > now for end in finders):
            return
        injection.effect_at = now
        lag = sum(
            2 * end.incoming.way.latency_seconds + end.incoming.held_bytes / end.incoming.way.rate
            for end in injection.connection.ends
        )
        bound = self.policy.soft_split_after_seconds + self.policy.heartbeat_seconds + lag + _SLACK_SECONDS
        self.timeline.at(now + bound, None, self._must_be_found, injection, now, bound)

    def renew(self, connections: Collection[Connection]) -> None:
        """One of several faults is over, and what it held up comes: whoever looks for another begins anew."""
        for injection in self.injections:
            if injection.connection in connections and injection.effect_at < _FOREVER:
                injection.subsides()
                self.takes_effect(injection)

    def _must_be_found(self, injection: Injection, effect_at: float, bound: float) -> None:
        known = any(
            # A process that died before it had accepted the connection is not there to find anything.
            end.is_gone or end.process.is_dead or (end.is_open and end.session.state is State.SOFT_SPLIT)
            for end in injection.finders
        )
        over = injection.lifted or injection.effect_at != effect_at
        if not (over or known or injection.found_after_seconds is not None):
            self.violated(f"{injection.kind} on {injection.connection.edge} was not found within {bound:.1f} s")

    # ------------------------------------------------------------ bounds

    def check_bounds(self) -> None:
        """Is every buffer within what it may hold? Now, and again after a while."""
        self.timeline.at(self.timeline.now + _BOUNDS_SECONDS, None, self.check_bounds)
        for host in self.hosts.values():
            if host.node is None:
                continue
            logs = host.node.mesh.logs.statistics(self.timeline.now)
            if logs.bytes > logs.max_bytes:
                self.violated(f"the log of {host.name} holds {logs.bytes} bytes of {logs.max_bytes}")
            for end in host.ends:
                held = end.session.held_bytes()
                if held > MOST_HELD_BYTES:
                    self.violated(f"{host.name} holds {held} bytes for a link")

    def reset_what_stays_split(self) -> None:
        """Without ``auto_reset`` it is the operator who ends a soft-split, once he has seen the alarm."""
        for host in self.hosts.values():
            for end in list(host.ends):
                if end.session.state is State.SOFT_SPLIT and end.session.peer and host.node:
                    command = ResetLinks(name=end.session.peer.name, caller="operator", reason="alarm")
                    host.node.execute(command, self.timeline.now)

    def touch(self, host: Host) -> None:
        """Something is done to a host: its links have suffered."""
        for edge in self._edges_of(host):
            edge.touch()

    def connections(self, host: Host) -> list[Connection]:
        """All that are there."""
        return [connection for edge in self._edges_of(host) for connection in edge.connections]

    def _edges_of(self, host: Host) -> list[Edge]:
        of_guests = (edge for guest in self.guests for edge in guest.edges)
        return [edge for edge in (*self.edges.values(), *of_guests) if host in (edge.dialer, edge.listener)]

    def forget(self) -> None:
        """Somebody's memory is gone, or part of it."""
        self.ledger.forget(host.keeper() for host in self.hosts.values())
