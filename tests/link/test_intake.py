"""Who may send what over a link, and how a snapshot is held together."""

from __future__ import annotations

import pytest

from meshtracker.errors import LinkError, WireError
from meshtracker.link.feed import Feed
from meshtracker.link.intake import MAX_START_AHEAD_SECONDS, Intake, check_life, check_start
from meshtracker.wire import link as wire
from meshtracker.wire.link import FrameDecoder, FrameType, Position, StreamPlan
from tests.mouth_to_mouth import NOW, announce, node


def plan(origin: str, *, incarnation: int = 1000, full: bool = True) -> StreamPlan:
    """A stream that a peer announces."""
    reason = "new node" if full else ""
    return StreamPlan(
        origin=origin, position=Position(incarnation, 5), after=0 if full else 3, full=full, reason=reason
    )


def intake_of(*, forwards: bool) -> Intake:
    """What ``here`` takes in from ``there``."""
    return Intake(node("here").mesh, node("there", forwards=forwards).mesh.hello(NOW))


def test_the_operator_is_told_how_each_origin_comes() -> None:
    intake = intake_of(forwards=True)
    assert intake.burst([plan("there"), plan("third", full=False)], NOW) == [
        "there: full resync: new node",
        "third: partial resync after batch 3",
    ]
    assert intake.resync == {"there": "full (new node)", "third": "partial after batch 3"}


def test_a_leaf_sends_its_own_stream_and_what_the_hub_lost() -> None:
    intake = intake_of(forwards=False)
    assert intake.brings_back
    intake.burst([plan("there"), plan("here", incarnation=1)], NOW)
    assert intake.brings_back
    with pytest.raises(LinkError, match="a leaf sent the stream of another node, third"):
        intake.burst([plan("third")], NOW)


def test_nobody_writes_under_this_nodes_name() -> None:
    here = node("here").mesh
    intake = Intake(here, node("there", forwards=True).mesh.hello(NOW))
    with pytest.raises(LinkError, match="another node writes under this node's name"):
        intake.burst([plan("here", incarnation=here.incarnation)], NOW)


def test_an_older_life_of_the_peer_is_refused() -> None:
    here = node("here").mesh
    here.finish_snapshot("there", Position(9_000_000, 1))
    with pytest.raises(LinkError, match="its clock was set back, or two nodes have that name"):
        check_life(here, "there", 1000)
    check_life(here, "there", 9_000_000)
    check_life(here, "third", 1)


def test_a_snapshot_is_announced_whole_and_counted() -> None:
    owner = node("there", forwards=True)
    for client in range(30):
        announce(owner, client)
    owner.mesh.flush(NOW)
    here = node("here")
    feed = Feed(owner.mesh, here.mesh.hello(NOW), {})
    feed.holds_own = False
    decoder = FrameDecoder()
    decoder.max_payload_bytes = wire.MAX_PAYLOAD_BYTES
    stream = b"".join(iter(lambda: feed.next_frame(NOW), b""))
    frames = list(decoder.feed(stream))
    assert [kind for kind, _ in frames] == [FrameType.SNAPSHOT, FrameType.SNAPSHOT_END]
    piece, end = wire.decode_batch(frames[0][1]), wire.decode_snapshot_end(frames[1][1])

    intake = Intake(here.mesh, owner.mesh.hello(NOW))
    with pytest.raises(LinkError, match="that no burst announced"):
        intake.snapshot(piece, NOW)
    [announced] = feed.plans
    intake.burst([announced], NOW)
    assert not intake.brings_back
    with pytest.raises(LinkError, match="holds 0 records where 30 were sent"):
        intake.end_snapshot(*end)
    intake.snapshot(piece, NOW)
    assert here.mesh.position("there") == Position(0, 0)
    intake.end_snapshot(*end)
    assert (intake.records, here.registry.peers) == (30, 30)
    assert here.mesh.position("there") == announced.position
    with pytest.raises(LinkError, match="that no burst announced"):
        intake.end_snapshot(*end)


def test_origin_names_are_bounded() -> None:
    intake = intake_of(forwards=True)
    with pytest.raises(WireError, match="node names in one mesh"):
        intake.burst([plan(f"node-{number}") for number in range(1000)], NOW)


def test_the_end_of_what_is_brought_back_is_noticed() -> None:
    here = node("here", incarnation=2000)
    here.mesh.resume({"here": Position(1000, 3)})
    intake = Intake(here.mesh, node("there", forwards=True).mesh.hello(NOW))
    intake.burst([plan("here", full=False)], NOW)
    for sequence in (4, 5):
        assert intake.brings_back
        intake.batch(wire.Batch("here", 1000, sequence, 0, b""), b"", NOW)
    assert not intake.brings_back


def test_nobody_is_locked_out_by_a_start_in_the_far_future() -> None:
    here = node("here").mesh
    intake = Intake(here, node("there", forwards=True).mesh.hello(NOW))
    latest = here.wall_ms(NOW) + int(MAX_START_AHEAD_SECONDS * 1000)
    intake.burst([plan("third", incarnation=latest)], NOW)
    with pytest.raises(LinkError, match=r"the start of fourth is dated .* s ahead: its clock was wrong"):
        intake.burst([plan("fourth", incarnation=2**63 - 1)], NOW)
    check_start("there", latest, here.wall_ms(NOW))
    with pytest.raises(LinkError):
        check_start("there", latest + 1, here.wall_ms(NOW))
