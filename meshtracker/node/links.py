"""The sessions of a node by the name of the other end: who is linked, who replaces whom, who failed last.

What an operator commands is done here, to sessions at hand: it never waits, and touches no other link.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Mapping

import attrs

from meshtracker.errors import CloseCode, LinkError
from meshtracker.link.session import LinkSession
from meshtracker.link.split import Verdict
from meshtracker.link.statistics import SessionStatistics
from meshtracker.link.transitions import State
from meshtracker.node.commands import (
    Command,
    CommandError,
    Disabled,
    DisableLinks,
    EnableLinks,
    ForgetLinks,
    ResetLinks,
    UnknownLinkError,
)
from meshtracker.node.neighbours import Neighbour, Neighbours, NeighbourStatistics
from meshtracker.wire.link import Directed, Hello
from meshtracker.wire.vector import MAX_STREAMS

KEPT_FAILURES = 20
"""Closed links that status still shows."""
NEWS_SECONDS = 600.0
"""Trouble that comes again within this is no news: a node that is refused tries again twice a minute."""


@attrs.frozen
class _Ended:
    """A link as it was at its end."""

    statistics: SessionStatistics
    at: float

    def aged(self, now: float) -> SessionStatistics:
        """The same, with the time since."""
        ago = now - self.at
        return attrs.evolve(
            self.statistics,
            since_seconds=self.statistics.since_seconds + ago,
            heard_seconds_ago=self.statistics.heard_seconds_ago + ago,
        )


def _drop(session: LinkSession, message: Directed, now: float) -> None:  # nobody takes it
    """Before a node has its `DirectedMessages`."""


class Links:
    """Every session there is, and the last that ended."""

    def __init__(self, name: str) -> None:
        """``name`` is this node's own, for what the others are told."""
        self._name = name
        self._sessions: list[LinkSession] = []
        self._ended: deque[_Ended] = deque(maxlen=KEPT_FAILURES)
        self._neighbours = Neighbours()
        self._refused: Counter[str] = Counter()
        self._late_directed = 0
        self._ways: dict[str, LinkSession] = {}
        """The link over which each node's own stream came last."""
        self.on_command: Callable[[], None] = lambda: None
        """Called when a command was carried out: closed sessions have last words to send, others may be dialled now."""
        self.on_directed: Callable[[LinkSession, Directed, float], None] = _drop
        """Called with a directed message and the session that brought it."""

    def __len__(self) -> int:
        """Sessions that there are."""
        return len(self._sessions)

    def expect(self, address: str) -> None:
        """A hub may be dialled there, now or later: commands know it."""
        self._neighbours.dial(address)

    def add(self, session: LinkSession) -> None:
        """A connection begins."""
        self._sessions.append(session)
        if session.dials:
            self._neighbours.dial(session.peer_address)

    def remove(self, session: LinkSession, now: float) -> bool:
        """A connection is gone; what is known of it stays in the statistics for a while. Is its end news?"""
        self._sessions.remove(session)
        self._late_directed += session.late_directed
        self._ways = {name: way for name, way in self._ways.items() if way is not session}
        # A soft-split is nobody's fault, and is counted by itself.
        refusal = session.refusal
        if refusal is not None and refusal is not CloseCode.SOFT_SPLIT:
            self._refused[refusal.label] += 1
        if refusal is not None and refusal.is_breach and session.peer is not None:
            neighbour = self._neighbours.find(session.peer.name)
            if neighbour is not None:
                neighbour.penalty.breach(session.reason, now)
        ended = _Ended(session.statistics(now), now)
        # One line for each trouble: a hub that stays away would push everything else out.
        alike = [other for other in self._ended if _is_alike(other.statistics, ended.statistics)]
        for other in alike:
            self._ended.remove(other)
        self._ended.append(ended)
        return session.was_synced or all(now - other.at > NEWS_SECONDS for other in alike)

    def admit(self, session: LinkSession, hello: Hello, now: float) -> None:
        """Make room for a node that has just said its name.

        The newer connection of the same incarnation replaces an older session at once. Another incarnation is told that
        the name is taken, and keeps trying: the holder keeps it if it is alive (`LinkSession.challenge`). Of two hubs
        that list each other both keep the connection that was dialled by the one whose name comes first.
        Raises `LinkError` if the name is taken, if links with it are disabled, or if it has to wait for a breach.
        """
        neighbour = self._neighbours.meet(hello.name, dialed=session.peer_address if session.dials else "")
        if neighbour.disabled is not None:
            raise LinkError(self._because("disabled", neighbour.disabled), code=CloseCode.DISABLED)
        wait_seconds = neighbour.penalty.wait_seconds(now)
        if wait_seconds:
            raise LinkError(
                f"{hello.name} is refused for another {wait_seconds:.0f} s, for it broke the protocol:"
                f" {neighbour.penalty.reason}",
                code=CloseCode.PENALTY,
            )
        for other in self._sessions:
            if other is session or other.peer is None or other.peer.name != hello.name or other.is_closed:
                continue
            if other.peer.incarnation != hello.incarnation:
                other.challenge(now)
                self.on_command()
                raise LinkError(
                    f"another node named {hello.name!r} is linked from {other.peer_address}, and keeps the name while"
                    " it is alive: give each node of a mesh a name of its own (node.name)",
                    code=CloseCode.NAME,
                )
            if other.dials != session.dials and other.dials == (self._name < hello.name):
                # Or each would replace the other's connection without end.
                raise LinkError(
                    f"{hello.name} and {self._name} dial each other, and are linked already: one of them need not",
                    code=CloseCode.REPLACED,
                )
            reason = f"replaced by a newer connection of {hello.name!r} from {session.peer_address}"
            other.close(reason, now, code=CloseCode.REPLACED)

    # ------------------------------------------------------------ commands

    def execute(self, command: Command, now: float) -> tuple[str, ...]:
        """Carry out a command; returns the names of the nodes whose links it touched.

        Raises `UnknownLinkError` if there is no such link, and `CommandError` if it is not up and was to be reset.
        """
        only = None if command.name is None else self._find(command.name)
        chosen = self._neighbours.all() if only is None else [only]
        match command:
            case ResetLinks():
                chosen = [neighbour for neighbour in chosen if self._reset(neighbour, command, now)]
                if only is not None and not chosen:
                    raise CommandError(f"the link with {command.name} is not up: there is nothing to reset")
            case DisableLinks():
                disabled = Disabled(caller=command.caller, reason=command.reason)
                self._neighbours.set_disabled(only, disabled)
                for neighbour in chosen:
                    for session in self._sessions_with(neighbour):
                        session.close(self._because("disabled", command), now, code=CloseCode.DISABLED)
            case EnableLinks():
                self._neighbours.set_disabled(only, None)
            case ForgetLinks():
                chosen = [neighbour for neighbour in chosen if not self._sessions_with(neighbour)]
                if only is not None and not chosen:
                    raise CommandError(f"{command.name} is linked: reset or disable the link first")
                for neighbour in chosen:
                    self._neighbours.forget(neighbour)
        self.on_command()
        return tuple(neighbour.name for neighbour in chosen)

    def _find(self, name: str) -> Neighbour:
        neighbour = self._neighbours.find(name)
        if neighbour is None:
            raise UnknownLinkError(f"there is no link called {name!r}: meshtracker link status shows their names")
        return neighbour

    def _reset(self, neighbour: Neighbour, command: ResetLinks, now: float) -> bool:
        sessions = self._sessions_with(neighbour)
        for session in sessions:
            session.close(self._because("reset", command), now, code=CloseCode.RESET)
        neighbour.resets += bool(sessions)
        neighbour.wants_everything |= command.full and bool(sessions)
        return bool(sessions)

    def _sessions_with(self, neighbour: Neighbour) -> list[LinkSession]:
        """Those that are not closed; of a hub that is being dialled also the one that knows no name yet."""
        return [
            session
            for session in self._sessions
            if not session.is_closed
            and (
                session.peer.name == neighbour.name
                if session.peer
                else session.dials and self._neighbours.find(session.peer_address) is neighbour
            )
        ]

    def _because(self, done: str, order: Command | Disabled) -> str:
        """What both ends are told."""
        return f"{done} on {self._name} by {order.caller}" + (f": {order.reason}" if order.reason else "")

    def is_disabled(self, name: str) -> bool:
        """Should no link be made with a node of that name, or with the hub dialled at that address?"""
        return self._neighbours.disabled(name) is not None

    # ------------------------------------------------------------ what sessions say

    def wants_everything(self, name: str) -> bool:
        """Should the burst with that node bring everything anew, both ways? So it is from a full reset until synced."""
        neighbour = self._neighbours.find(name)
        return neighbour is not None and neighbour.wants_everything

    def note_synced(self, session: LinkSession) -> None:
        """Peers flow: whatever was asked for anew has come."""
        neighbour = self._neighbours.find(session.peer.name) if session.peer else None
        if neighbour is not None:
            neighbour.wants_everything = False

    def note_split(self, session: LinkSession, verdict: Verdict, now: float, *, resets: bool) -> None:
        """Data does not flow although the link is up; ``resets``: the session closes itself for that."""
        neighbour = self._neighbours.find(session.peer.name) if session.peer else None
        if neighbour is not None:
            neighbour.soft_splits += 1
            neighbour.split_resets += resets
            neighbour.verdict, neighbour.verdict_at = verdict, now

    def deliver(self, session: LinkSession, message: Directed, now: float) -> None:
        """A directed message has come over a link."""
        self.on_directed(session, message, now)

    def note_heard(self, session: LinkSession, name: str) -> None:
        """A batch of a node's stream has come over a link, and was news."""
        if name in self._ways or len(self._ways) < MAX_STREAMS:
            self._ways[name] = session

    def way_to(self, name: str) -> LinkSession | None:
        """The link that leads to a node, as far as this one knows; a leaf's is its hub."""
        up = self.synced()
        for session in up:
            if session.peer is not None and session.peer.name == name:
                return session
        way = self._ways.get(name)
        if way in up:
            return way
        return next((session for session in up if session.peer is not None and session.peer.forwards), None)

    def late_directed(self) -> int:
        """Directed messages that waited for too long for a link that carried no more."""
        return self._late_directed + sum(session.late_directed for session in self._sessions)

    def reset_all(self, reason: str, now: float) -> None:
        """Have all links made anew: this node is another one from now on."""
        for session in self._sessions:
            session.close(reason, now, code=CloseCode.RESET)
        self.on_command()

    # ------------------------------------------------------------ figures

    def to_hubs(self) -> list[LinkSession]:
        """Sessions with nodes that said they are hubs."""
        return [
            session for session in self._sessions if session.peer and session.peer.forwards and not session.is_closed
        ]

    def synced(self) -> list[LinkSession]:
        """Sessions over which peers flow."""
        return [session for session in self._sessions if session.state is State.SYNCED]

    def statistics(self, now: float) -> tuple[SessionStatistics, ...]:
        """Live sessions, then the ended ones, newest first."""
        live = tuple(session.statistics(now) for session in self._sessions)
        return live + tuple(ended.aged(now) for ended in reversed(self._ended))

    def neighbours(self, now: float) -> tuple[NeighbourStatistics, ...]:
        """What is remembered of each node over connections."""
        return self._neighbours.statistics(now)

    def refused(self) -> Mapping[str, int]:
        """Links that this node closed for what the other end did, by the label of the `CloseCode`."""
        return dict(self._refused)


def _is_alike(one: SessionStatistics, other: SessionStatistics) -> bool:
    """The same peer and the same reason? Ports of accepted connections differ each time."""
    hosts = [end.peer_address if end.dialed else end.peer_address.rpartition(":")[0] for end in (one, other)]
    return hosts[0] == hosts[1] and (one.peer, one.reason) == (other.peer, other.reason)
