"""A guest that says what `tests.hostile.frames` draws, over a link that it made as an honest node does."""

from __future__ import annotations

import random

from meshtracker.link.transitions import HANDSHAKE_STATES, State
from tests.hostile import frames
from tests.mouth_to_mouth import WALL_OFFSET_SECONDS
from tests.simulation.connection import End
from tests.simulation.host import Host

_STATES = (State.COMPARING, State.BURSTING, State.SYNCED, State.SYNCED)
"""When it begins to lie."""
_WAITS_SECONDS = (0.01, 0.1, 0.3, 0.6)
_MOST_BYTES = 65_536
"""What one write takes."""


class Liar:
    """Plays one guest."""

    def __init__(self, guest: Host) -> None:
        self._guest = guest
        self._timeline = guest.world.timeline
        self._rng = random.Random(f"{guest.world.scenario.seed} {guest.name}")
        self._words = frames.Liar(self._rng)
        self._from: dict[End, State] = {}
        """Connections by the state from which on it lies over them."""

    def begin(self) -> None:
        """Lie from now on, as long as the guest lives."""
        self._lie()

    def _lie(self) -> None:
        rng = self._rng
        for end in self._guest.ends:
            begins = self._from.setdefault(end, rng.choice(_STATES))
            if end.is_deaf or end.session.state is begins or end.session.was_synced:
                self._lie_over(end)
        self._timeline.at(self._timeline.now + rng.choice(_WAITS_SECONDS), self._guest.process, self._lie)

    def _lie_over(self, end: End) -> None:
        """Its own session hears nothing from then on, or it would hang up for what the answers are."""
        if end.session.is_closed or end.session.state in HANDSHAKE_STATES:
            return
        end.is_deaf = True
        for _ in range(self._rng.choice((1, 1, 2, 5))):
            words = self._words.say(self._view())
            if len(words) <= _MOST_BYTES and end.outgoing.has_room:
                end.outgoing.write(words)

    def _view(self) -> frames.View:
        world = self._guest.world
        assert self._guest.node is not None
        return frames.View(
            me=self._guest.node.mesh.own,
            wall_ms=int((self._timeline.now + WALL_OFFSET_SECONDS) * 1000),
            vectors=[host.node.mesh.vector() for host in world.hosts.values() if host.node is not None],
        )
