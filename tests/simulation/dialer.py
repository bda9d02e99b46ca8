"""Plays `network.dialer` in virtual time: which hub is dialled, and when again."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from meshtracker.errors import CloseCode
from meshtracker.link.dialing import Backoff, Failover, Redial
from meshtracker.link.session import LinkSession
from tests.simulation.connection import Connection, Edge, End

if TYPE_CHECKING:
    from tests.simulation.host import Host

RECONNECT_MIN_SECONDS = 0.5
RECONNECT_MAX_SECONDS = 8.0


class Dialer:
    """Keeps a link to one hub; of several to the first, in the order given, that can be had."""

    def __init__(self, host: Host, edges: Sequence[Edge]) -> None:
        world = host.world
        self._host = host
        self._edges = edges
        self._world = world
        self._timeline = world.timeline
        self._failover = Failover(len(edges))
        self._redials = [Redial(index, self._failover, self._backoff()) for index in range(len(edges))]
        self._ends: dict[int, End] = {}
        self._parked: list[int] = []
        """Hubs that are not wanted."""
        self._pauses: dict[int, int] = {}
        """Hubs that are waited with, and which wait it is."""
        self._waits = 0
        for edge in edges:
            host.links.expect(edge.address)

    def _backoff(self) -> Backoff:
        return Backoff(
            min_seconds=RECONNECT_MIN_SECONDS,
            max_seconds=RECONNECT_MAX_SECONDS,
            steady_seconds=self._world.policy.soft_split_after_seconds,
            rng=self._world.dice,
        )

    def run(self) -> None:
        """Begin with all of them."""
        for index in range(len(self._edges)):
            self._dial(index)

    def commanded(self) -> None:
        """An operator gave a command: who is wanted may have changed."""
        for index in list(self._pauses):
            if not self._is_wanted(index):
                del self._pauses[index]
                self._parked.append(index)
        self._look_again()

    def _look_again(self) -> None:
        parked, self._parked = self._parked, []
        for index in parked:
            self._dial(index)

    def _is_wanted(self, index: int) -> bool:
        is_disabled = self._host.links.is_disabled
        self._failover.set_disabled([at for at, edge in enumerate(self._edges) if is_disabled(edge.address)])
        return self._failover.may_dial(index)

    def _dial(self, index: int) -> None:
        if not self._is_wanted(index):
            self._parked.append(index)
            return
        edge, timeline = self._edges[index], self._timeline
        if edge.up.stalled or edge.down.stalled:
            timeout = self._world.policy.handshake_timeout_seconds
            timeline.at(timeline.now + timeout, self._host.process, self._not_reached, index)
        elif edge.listener.node is None:
            timeline.at(timeline.now + edge.up.latency_seconds, self._host.process, self._not_reached, index)
        else:
            end = Connection(edge).dialer
            end.on_synced = partial(self._note_synced, index)
            end.on_gone = partial(self._lost, index)
            self._ends[index] = end
            self._close_needless()

    def _not_reached(self, index: int) -> None:
        now = self._timeline.now
        session = self._host.session(dials=True, peer_address=self._edges[index].address)
        session.end_of_stream(now, why="not reached")
        self._host.links.remove(session, now)
        self._again(index, session, 0.0)

    def _lost(self, index: int) -> None:
        end = self._ends.pop(index)
        up_seconds = 0.0 if end.synced_at is None else self._timeline.now - end.synced_at
        self._again(index, end.session, up_seconds)

    def _again(self, index: int, session: LinkSession, up_seconds: float) -> None:
        if not self._is_wanted(index):
            self._parked.append(index)
            self._look_again()
            return
        self._waits += 1
        self._pauses[index] = self._waits
        when = self._timeline.now + self._redials[index].wait_seconds(session.code, up_seconds)
        self._timeline.at(when, self._host.process, self._paused, index, self._waits)
        self._look_again()

    def _paused(self, index: int, wait: int) -> None:
        if self._pauses.get(index) == wait:
            del self._pauses[index]
            self._dial(index)

    def _note_synced(self, index: int) -> None:
        self._failover.note_synced(index)
        self._close_needless()

    def _close_needless(self) -> None:
        for index in self._failover.to_close():
            if index in self._ends:
                self._ends[index].close(
                    f"{self._host.name} is linked to a hub listed before this one again", CloseCode.REPLACED
                )
