"""Who may send what over a link, and how a snapshot is held together."""

from __future__ import annotations

import attrs
import pytest

from meshtracker.errors import LinkError, WireError
from meshtracker.link.feed import Feed
from meshtracker.link.intake import MAX_START_AHEAD_SECONDS, Intake, check_life, check_start
from meshtracker.wire import link as wire
from meshtracker.wire.batch import Batch, decode_batch, encode_batch
from meshtracker.wire.frame import FrameType
from meshtracker.wire.link import StreamPlan
from meshtracker.wire.vector import Position, Vector
from tests.mouth_to_mouth import NOW, announce, frames, node


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
    feed = Feed(owner.mesh, here.mesh.hello(NOW), {}, everything=False, interest=None)
    feed.holds_own = False
    sent = frames(b"".join(iter(lambda: feed.next_frame(NOW), b"")))
    assert [kind for kind, _ in sent] == [FrameType.SNAPSHOT, FrameType.SNAPSHOT_END]
    piece, end = decode_batch(sent[0][1]), wire.decode_snapshot_end(sent[1][1])

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
        intake.batch(Batch("here", 1000, sequence, 0, b""), b"", NOW)
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


# ---------------------------------------------------------------- batches between the pieces of a snapshot


def take(intake: Intake, origin: str, sequence: int, *, incarnation: int = 1000) -> None:
    """An empty batch comes."""
    batch = Batch(origin, incarnation, sequence, 0, b"")
    [(_, payload)] = frames(encode_batch(FrameType.BATCH, batch))
    intake.batch(batch, payload, NOW)


def test_a_batch_ahead_of_its_snapshot_counts_once_the_snapshot_is_complete() -> None:
    here = node("here").mesh
    intake = Intake(here, node("there", forwards=True).mesh.hello(NOW))
    intake.burst([plan("third")], NOW)
    for sequence in (6, 7, 8):
        take(intake, "third", sequence)
        assert here.position("third") == Position(0, 0)
    assert intake.batches == 3
    with pytest.raises(LinkError, match="ends at 7 after batch 8"):
        intake.end_snapshot("third", Position(1000, 7), 0)
    intake.end_snapshot("third", Position(1000, 8), 0)
    assert here.position("third") == (1000, 8)
    take(intake, "third", 9)
    assert here.position("third") == (1000, 9)
    assert here.frame("third", 9) is not None


def test_what_follows_on_what_is_known_is_passed_on_at_once() -> None:
    """A snapshot that was asked for, of a stream that is known: its batches need not wait."""
    here = node("here").mesh
    here.finish_snapshot("third", Position(1000, 5))
    intake = Intake(here, node("there", forwards=True).mesh.hello(NOW))
    intake.burst([plan("third")], NOW)
    take(intake, "third", 6)
    assert here.position("third") == (1000, 6)
    assert here.frame("third", 6) is not None
    # It had come from elsewhere before.
    here.finish_snapshot("third", Position(1000, 9))
    take(intake, "third", 7)
    assert here.position("third") == (1000, 9)
    intake.end_snapshot("third", Position(1000, 7), 0)
    assert here.position("third") == (1000, 9)


@pytest.mark.parametrize(
    ("sequence", "incarnation", "pattern"), [(8, 1000, "batch 8 of third came after 6"), (7, 1001, "another inc")]
)
def test_a_gap_between_the_batches_around_a_snapshot(sequence: int, incarnation: int, pattern: str) -> None:
    intake = intake_of(forwards=True)
    intake.burst([plan("third")], NOW)
    take(intake, "third", 6)
    with pytest.raises(LinkError, match=pattern) as caught:
        take(intake, "third", sequence, incarnation=incarnation)
    assert caught.value.kind == "gap"


def test_a_snapshot_that_is_begun_again_forgets_what_had_come_of_the_first() -> None:
    here = node("here").mesh
    intake = Intake(here, node("there", forwards=True).mesh.hello(NOW))
    intake.burst([plan("third")], NOW)
    take(intake, "third", 6)
    intake.burst([plan("third", incarnation=2000)], NOW)
    take(intake, "third", 1, incarnation=2000)
    intake.end_snapshot("third", Position(2000, 1), 0)
    assert here.position("third") == (2000, 1)


def test_a_continued_stream_ends_its_snapshot() -> None:
    intake = intake_of(forwards=True)
    intake.burst([plan("third")], NOW)
    intake.burst([plan("third", full=False)], NOW)
    with pytest.raises(LinkError, match="that no burst announced"):
        intake.end_snapshot("third", Position(1000, 5), 0)


# ---------------------------------------------------------------- what kind of refusal


@pytest.mark.parametrize(
    ("plans", "kind"),
    [
        ([plan("third")], "forged"),
        ([plan("here")], "forged"),
        ([plan("there", incarnation=900)], "name"),
        ([plan("there", incarnation=2**62)], "future"),
    ],
)
def test_refusals_are_of_a_kind(plans: list[StreamPlan], kind: str) -> None:
    here = node("here").mesh
    here.finish_snapshot("there", Position(1000, 1))
    intake = Intake(here, node("there").mesh.hello(NOW))
    with pytest.raises(LinkError) as caught:
        intake.burst(plans, NOW)
    assert caught.value.kind == kind


def test_swarms_come_from_hubs_only_and_say_nothing_of_streams() -> None:
    here = node("here").mesh
    batch = Batch("third", 0, 0, 0, b"")
    with pytest.raises(LinkError, match="a leaf sent swarms of third") as caught:
        Intake(here, node("there").mesh.hello(NOW)).swarms(batch, NOW)
    assert caught.value.kind == "forged"
    here.finish_snapshot("third", Position(1000, 5))
    hub = Intake(here, node("hub", forwards=True).mesh.hello(NOW))
    hub.swarms(batch, NOW)
    hub.swarms(attrs.evolve(batch, origin="fourth"), NOW)
    assert here.position("third") == (1000, 5)
    # Some of its rows may be known, and of its stream nothing.
    assert here.position("fourth") == (0, 0)


# ---------------------------------------------------------------- what is lacking

KNOWN = {"third": Position(1000, 5), "there": Position(1000, 3), "fourth": Position(0, 0)}


@pytest.mark.parametrize(
    ("theirs", "lacking"),
    [
        ({}, 0),
        (KNOWN, 0),
        ({"third": Position(1000, 4)}, 0),
        ({"third": Position(999, 50)}, 0),
        ({"third": Position(1000, 7)}, 2),
        ({"third": Position(1001, 0)}, 1),
        ({"third": Position(1001, 7)}, 8),
        ({"fourth": Position(1000, 0)}, 1),
        ({"unknown": Position(0, 0)}, 1),
        ({"unknown": Position(1000, 2), "third": Position(1000, 6)}, 4),
        # Of this node's own stream nobody knows more.
        ({"here": Position(500, 9)}, 0),
        ({"there": Position(1000, 5)}, 2),
    ],
)
def test_what_a_peers_vector_says_is_missing(theirs: Vector, lacking: int) -> None:
    here = node("here").mesh
    for origin, position in KNOWN.items():
        here.finish_snapshot(origin, position)
    hub = Intake(here, node("there", forwards=True).mesh.hello(NOW))
    assert hub.lacks(theirs) == lacking
    # A leaf does not send what it knows of others.
    leaf = Intake(here, node("there").mesh.hello(NOW))
    assert leaf.lacks(theirs) == (lacking if "there" in theirs else 0)
