"""What each side owes the other, from two vectors: a pure function, so that every case is one line of a table test.

    the receiver knows the stream ...                    it is sent
    up to the sender's position                          nothing
    less far, and the log covers the rest                CONTINUE
    less far, and the log does not                       FULL "fell behind"
    of an older incarnation                              FULL "new incarnation"
    not at all                                           FULL "new node"
    of a newer incarnation                               nothing: the sender is the one that lags; but between
                                                         hubs FULL "earlier life"
    anything, but all was asked for anew                 FULL "asked for"

A node's own stream is sent back to it only from before its restart (it may have lost what it had not yet saved), judged
by what its HELLO calls ``previous``.
"""

from __future__ import annotations

from meshtracker.link.replica import Replica
from meshtracker.wire.link import Hello, StreamPlan
from meshtracker.wire.vector import Position, Vector

NEW_NODE = "new node"
NEW_INCARNATION = "new incarnation"
FELL_BEHIND = "fell behind"
ASKED_FOR = "asked for"
EARLIER_LIFE = "earlier life"


def resync_text(plan: StreamPlan) -> str:
    """How a stream is brought up, as status shows it."""
    return f"full ({plan.reason})" if plan.full else f"partial after batch {plan.after}"


def plan_burst(replica: Replica, peer: Hello, theirs: Vector, *, everything: bool) -> list[StreamPlan]:
    """Streams that the peer lacks, its own earlier one first, then this node's own. ``everything``: all anew."""
    streams = []
    plans = []
    lost = replica.position(peer.name)
    if lost is not None and lost.incarnation < peer.incarnation:
        # Of a life before its previous one nobody knows how much it kept.
        same_life = peer.previous is not None and peer.previous.incarnation == lost.incarnation
        plans.append(plan_stream(replica, peer.name, lost, peer.previous if same_life and not everything else None))
    elif lost is not None and everything:
        # What it lacks of itself, if anything, is not of its present stream: it was brought back while not tracked.
        plans.append(StreamPlan(origin=peer.name, position=Position(0, 0), after=0, full=True, reason=ASKED_FOR))
    own = replica.position(replica.name)
    if own is not None:
        streams.append((replica.name, own, theirs.get(replica.name)))
    if replica.forwards:
        for origin, position in replica.vector().items():
            if origin not in (replica.name, peer.name):
                streams.append((origin, position, theirs.get(origin)))
    plans += [plan_stream(replica, origin, mine, known, everything=everything) for origin, mine, known in streams]
    if peer.forwards:
        # The peer may have met the origin when neither had any memory, and nobody else will bring that back.
        plans += [
            StreamPlan(origin=origin, position=mine, after=0, full=True, reason=EARLIER_LIFE)
            for origin, mine, known in streams
            if known is not None and known.incarnation > mine.incarnation
        ]
    return [plan for plan in plans if plan is not None]


def plan_stream(
    replica: Replica, origin: str, mine: Position, known: Position | None, *, everything: bool = False
) -> StreamPlan | None:
    """How to bring a receiver that knows ``known`` to ``mine``; None if there is nothing to send."""
    if known is None:
        return StreamPlan(origin=origin, position=mine, after=0, full=True, reason=NEW_NODE)
    if known.incarnation > mine.incarnation:
        return None
    if known.incarnation < mine.incarnation:
        return StreamPlan(origin=origin, position=mine, after=0, full=True, reason=NEW_INCARNATION)
    if everything:
        return StreamPlan(origin=origin, position=mine, after=0, full=True, reason=ASKED_FOR)
    if known.sequence >= mine.sequence:
        return None
    if replica.covers(origin, known):
        return StreamPlan(origin=origin, position=mine, after=known.sequence, full=False, reason="")
    return StreamPlan(origin=origin, position=mine, after=0, full=True, reason=FELL_BEHIND)
