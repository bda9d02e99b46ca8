"""What a node sends of a stream, from both ends' positions: a pure function, so that every case is a line of a test.

    the receiver knows the stream ...                    it is sent
    up to the sender's position, or further              nothing
    further, and here only rows without a position       FULL "lacking"
    less far, and the log covers the rest                CONTINUE
    less far, and the log does not                       FULL "fell behind"
    by other batches than the sender (the digests say)   FULL "conflict": both ends then have the rows of both
    at 0: nothing of it is known to be complete          FULL "lacking"
    not at all                                           FULL "new node"
    anything, but all was asked for anew                 FULL "asked for"

Where the log does not reach back to the receiver's position, a conflict is not seen: the receiver has the rows of both
then, and the sender its own until they age out.

A node's present stream is never sent back to it. What it lost in a restart is a stream like any other.
"""

from __future__ import annotations

from meshtracker.link.replica import Replica
from meshtracker.wire.link import Hello, StreamPlan
from meshtracker.wire.vector import Position, StreamId, Vector, differ

NEW_NODE = "new node"
LACKING = "lacking"
FELL_BEHIND = "fell behind"
CONFLICT = "conflict"
ASKED_FOR = "asked for"
ANSWER = "answer"
"""To a conflict: the rows that the other end lacks. Not marked as a conflict itself, or answers would have no end."""


def resync_text(plan: StreamPlan) -> str:
    """How a stream is brought up, as status shows it."""
    return f"full ({plan.reason})" if plan.full else f"partial after batch {plan.after}"


def may_offer(replica: Replica, peer: Hello, stream: StreamId) -> bool:
    """Is a stream one that this node sends that peer in a burst?

    A hub sends all of them, a leaf the one that it writes. A leaf also sends the streams of its earlier lives, and
    those of other nodes if the peer lets it (`Hello.may_speak`), but none from which it has left out a record.
    """
    if stream == peer.stream:
        return False
    is_trusted = stream.name == replica.name or peer.may_speak
    return replica.forwards or stream == replica.own or (is_trusted and replica.keeps(stream))


def plan_burst(replica: Replica, peer: Hello, theirs: Vector, *, everything: bool) -> list[StreamPlan]:
    """Streams that the peer lacks, this node's own first. ``everything``: all anew."""
    streams = [stream for stream in replica.vector() if may_offer(replica, peer, stream)]
    streams.sort(key=lambda stream: stream != replica.own)
    plans = [plan_stream(replica, stream, theirs.get(stream), everything=everything) for stream in streams]
    return [plan for plan in plans if plan is not None]


def plan_stream(
    replica: Replica, stream: StreamId, known: Position | None, *, everything: bool = False
) -> StreamPlan | None:
    """How to bring a receiver that knows ``known`` to where this node is; None if there is nothing to send."""
    mine = replica.position(stream)
    if mine is None:
        return None
    if known is None or not known.sequence:
        if not mine.sequence and not replica.rows(stream):
            return None
        return _full(stream, mine, NEW_NODE if known is None else LACKING)
    if everything:
        return _full(stream, mine, ASKED_FOR)
    if known.sequence > mine.sequence:
        # Of a stream of which nothing is complete here, rows may be from after what the receiver knows.
        return None if mine.sequence or not replica.rows(stream) else _full(stream, mine, LACKING)
    read = replica.digest_at(stream, known.sequence)
    if read is not None and differ(read, known.digest):
        return StreamPlan(stream=stream, position=mine, after=0, full=True, reason=CONFLICT, conflict=True)
    if known.sequence == mine.sequence:
        return None
    if read is None:
        return _full(stream, mine, FELL_BEHIND)
    return StreamPlan(stream=stream, position=mine, after=known.sequence, full=False, reason="")


def _full(stream: StreamId, position: Position, reason: str) -> StreamPlan:
    return StreamPlan(stream=stream, position=position, after=0, full=True, reason=reason)
