"""The sessions of a node by the name of the other end: who is linked, who replaces whom, who failed last."""

from __future__ import annotations

from collections import deque

from meshtracker.errors import LinkError
from meshtracker.link.session import LinkSession, SessionStatistics, State
from meshtracker.wire.link import Hello

KEPT_FAILURES = 20
"""Closed links that status still shows."""


class Links:
    """Every session there is, and the last that ended."""

    def __init__(self) -> None:
        self._sessions: list[LinkSession] = []
        self._ended: deque[SessionStatistics] = deque(maxlen=KEPT_FAILURES)

    def add(self, session: LinkSession) -> None:
        """A connection begins."""
        self._sessions.append(session)

    def remove(self, session: LinkSession, now: float) -> None:
        """A connection is gone; what is known of it stays in the statistics for a while."""
        self._sessions.remove(session)
        ended = session.statistics(now)
        # One line for each trouble: a hub that stays away would push everything else out.
        for other in [other for other in self._ended if _is_alike(other, ended)]:
            self._ended.remove(other)
        self._ended.append(ended)

    def admit(self, session: LinkSession, hello: Hello, now: float) -> None:
        """Make room for a node that has just said its name.

        The newer connection of the same incarnation, or a newer incarnation, replaces an older session at once.
        Raises `LinkError` if a newer node of that name is linked: two nodes were given one name.
        """
        for other in self._sessions:
            if other is session or other.peer is None or other.peer.name != hello.name or other.state is State.CLOSED:
                continue
            if other.peer.incarnation > hello.incarnation:
                raise LinkError(
                    f"another live node named {hello.name!r} is linked from {other.peer_address}:"
                    " give each node of a mesh a name of its own (node.name)"
                )
            other.close(f"replaced by a newer connection of {hello.name!r} from {session.peer_address}", now)

    def synced(self) -> list[LinkSession]:
        """Sessions over which peers flow."""
        return [session for session in self._sessions if session.state is State.SYNCED]

    def statistics(self, now: float) -> tuple[SessionStatistics, ...]:
        """Live sessions, then the ended ones, newest first."""
        return tuple(session.statistics(now) for session in self._sessions) + tuple(reversed(self._ended))


def _is_alike(one: SessionStatistics, other: SessionStatistics) -> bool:
    """The same peer and the same reason? Ports of accepted connections differ each time."""
    hosts = [end.peer_address if end.dialed else end.peer_address.rpartition(":")[0] for end in (one, other)]
    return hosts[0] == hosts[1] and (one.peer, one.reason) == (other.peer, other.reason)
