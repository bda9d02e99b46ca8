"""The sessions of a node by the name of the other end: who is linked, who replaces whom, who failed last.

What an operator commands is done here, to sessions at hand: it never waits, and touches no other link.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Mapping

import attrs

from meshtracker.errors import LinkError
from meshtracker.link.session import LinkSession
from meshtracker.link.split import Verdict
from meshtracker.link.state import State
from meshtracker.link.statistics import SessionStatistics
from meshtracker.node.commands import (
    Command,
    CommandError,
    Disabled,
    DisableLinks,
    EnableLinks,
    ResetLinks,
    UnknownLinkError,
)
from meshtracker.node.neighbours import Neighbour, Neighbours, NeighbourStatistics
from meshtracker.wire.link import Hello

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


class Links:
    """Every session there is, and the last that ended."""

    def __init__(self, name: str) -> None:
        """``name`` is this node's own, for what the others are told."""
        self._name = name
        self._sessions: list[LinkSession] = []
        self._ended: deque[_Ended] = deque(maxlen=KEPT_FAILURES)
        self._neighbours = Neighbours()
        self._refused: Counter[str] = Counter()
        self.on_command: Callable[[], None] = lambda: None
        """Called when a command was carried out: closed sessions have last words to send, others may be dialled now."""

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
        # A soft-split is nobody's fault, and is counted by itself.
        if session.refusal_kind and session.refusal_kind != "soft-split":
            self._refused[session.refusal_kind] += 1
        ended = _Ended(session.statistics(now), now)
        # One line for each trouble: a hub that stays away would push everything else out.
        alike = [other for other in self._ended if _is_alike(other.statistics, ended.statistics)]
        for other in alike:
            self._ended.remove(other)
        self._ended.append(ended)
        return session.was_synced or all(now - other.at > NEWS_SECONDS for other in alike)

    def admit(self, session: LinkSession, hello: Hello, now: float) -> None:
        """Make room for a node that has just said its name.

        The newer connection of the same incarnation, or a newer incarnation, replaces an older session at once.
        Of two hubs that list each other both keep the connection that was dialled by the one whose name comes first.
        Raises `LinkError` if a newer node of that name is linked (two nodes were given one name), or if links with it
        are disabled.
        """
        neighbour = self._neighbours.meet(hello.name, dialed=session.peer_address if session.dials else "")
        if neighbour.disabled is not None:
            raise LinkError(self._because("disabled", neighbour.disabled), kind="disabled")
        for other in self._sessions:
            if other is session or other.peer is None or other.peer.name != hello.name or other.state is State.CLOSED:
                continue
            if other.peer.incarnation > hello.incarnation:
                raise LinkError(
                    f"another live node named {hello.name!r} is linked from {other.peer_address}:"
                    " give each node of a mesh a name of its own (node.name)",
                    kind="name",
                )
            crossed = other.dials != session.dials and other.peer.incarnation == hello.incarnation
            if crossed and other.dials == (self._name < hello.name):
                # Or each would replace the other's connection without end.
                raise LinkError(
                    f"{hello.name} and {self._name} dial each other, and are linked already: one of them need not",
                    kind="name",
                )
            other.close(f"replaced by a newer connection of {hello.name!r} from {session.peer_address}", now)

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
                        session.close(self._because("disabled", command), now)
            case EnableLinks():
                self._neighbours.set_disabled(only, None)
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
            session.reset(self._because("reset", command), now)
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
        """Links that this node closed for what the other end did, by `LinkError.kind`."""
        return dict(self._refused)


def _is_alike(one: SessionStatistics, other: SessionStatistics) -> bool:
    """The same peer and the same reason? Ports of accepted connections differ each time."""
    hosts = [end.peer_address if end.dialed else end.peer_address.rpartition(":")[0] for end in (one, other)]
    return hosts[0] == hosts[1] and (one.peer, one.reason) == (other.peer, other.reason)
