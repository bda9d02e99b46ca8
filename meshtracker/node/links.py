"""The sessions of a node by the name of the other end: who is linked, who replaces whom, who failed last."""

from __future__ import annotations

from collections import deque

import attrs

from meshtracker.errors import LinkError
from meshtracker.link.session import LinkSession, SessionStatistics, State
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

    def __init__(self) -> None:
        self._sessions: list[LinkSession] = []
        self._ended: deque[_Ended] = deque(maxlen=KEPT_FAILURES)

    def add(self, session: LinkSession) -> None:
        """A connection begins."""
        self._sessions.append(session)

    def remove(self, session: LinkSession, now: float) -> bool:
        """A connection is gone; what is known of it stays in the statistics for a while. Is its end news?"""
        self._sessions.remove(session)
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
        live = tuple(session.statistics(now) for session in self._sessions)
        return live + tuple(ended.aged(now) for ended in reversed(self._ended))


def _is_alike(one: SessionStatistics, other: SessionStatistics) -> bool:
    """The same peer and the same reason? Ports of accepted connections differ each time."""
    hosts = [end.peer_address if end.dialed else end.peer_address.rpartition(":")[0] for end in (one, other)]
    return hosts[0] == hosts[1] and (one.peer, one.reason) == (other.peer, other.reason)
