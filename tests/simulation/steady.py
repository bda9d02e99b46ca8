"""An hour of a mesh that nothing happens to, idle or with more to say than its links can carry: there is no alarm."""

from __future__ import annotations

import attrs

from meshtracker.model import AnnounceRequest, Event
from tests.mouth_to_mouth import LOCALHOST
from tests.simulation.network import Way
from tests.simulation.scenario import Plan, Scenario
from tests.simulation.simulate import Outcome
from tests.simulation.timeline import START
from tests.simulation.world import World

HOUR_SECONDS = 3600.0
_BYTES_PER_SECOND = 150.0
_WINDOW_BYTES = 600
"""Four seconds of the link: what a real kernel holds of a link of 50 kB/s."""
_LATENCY_SECONDS = 0.03
_ANNOUNCE_SECONDS = 0.25
"""Between two announces that change something: about twice what the links carry."""
_CLIENTS = 12
_LOOK_SECONDS = 60.0


@attrs.frozen(kw_only=True)
class Steady:
    """What came of it."""

    outcome: Outcome
    full_share: float
    """Of all looks at the hub's ways to its leaves, those at which the socket took no more."""


def idle(seed: int) -> Outcome:
    """Nobody announces."""
    return _run(seed, announces=False).outcome


def saturated(seed: int) -> Steady:
    """Clients change so much that the links are full all the time, and cursors fall off the logs."""
    return _run(seed, announces=True)


def saturated_outcome(seed: int) -> Outcome:
    """The same, for `runner.run`."""
    return saturated(seed).outcome


def _run(seed: int, *, announces: bool) -> Steady:
    hub = Plan(name="hub-0", forwards=True, hubs=())
    leaves = [Plan(name=f"leaf-{number}", forwards=False, hubs=("hub-0",)) for number in range(2)]
    scenario = Scenario(
        seed=seed,
        plans=(hub, *leaves),
        peer_ttl_seconds=4500,
        max_log_bytes=6_000,
        max_batch_bytes=400,
        auto_reset=True,
        by_turns=False,
        events=(),
    )
    narrow = _BYTES_PER_SECOND if announces else 1e6
    world = World(
        scenario,
        way=lambda: Way(latency_seconds=_LATENCY_SECONDS, bytes_per_second=narrow, window_bytes=_WINDOW_BYTES),
    )
    if announces:
        _announce(world)
    full = looks = 0
    while world.timeline.now < START + HOUR_SECONDS:
        world.timeline.run(world.timeline.now + _LOOK_SECONDS)
        for edge in world.edges.values():
            connections = edge.connections
            if [end.is_gone for connection in connections for end in connection.ends] != [False, False]:
                world.violated(f"the link {edge} did not stay up")
            looks += 1
            full += any(not connection.dialer.incoming.has_room for connection in connections)
    for host in world.hosts.values():
        for end in host.ends:
            world.note_resyncs(end)
    world.record.changes = world.ledger.noted
    outcome = Outcome(
        scenario=scenario,
        record=world.record,
        digest="",
        seconds=HOUR_SECONDS,
        calls=world.timeline.calls,
    )
    return Steady(outcome=outcome, full_share=full / looks)


def _announce(world: World) -> None:
    """A client comes or goes, and another one after a moment."""
    dice, timeline = world.dice, world.timeline
    client = dice.randrange(_CLIENTS)
    request = AnnounceRequest(
        info_hash=bytes(20),
        peer_id=b"-MT0001-%012d" % client,
        key=7 + client,
        address=LOCALHOST,
        port=1000 + client + 50 * dice.randrange(2),
        event=dice.choice((Event.STARTED, Event.STOPPED)),
        left=dice.randrange(2),
    )
    host = world.hosts[dice.choice(("hub-0", "leaf-0", "leaf-1"))]
    host.announce(request)
    timeline.at(timeline.now + dice.uniform(0, 2 * _ANNOUNCE_SECONDS), None, _announce, world)
