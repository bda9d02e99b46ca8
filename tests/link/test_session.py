"""Two sessions mouth to mouth: every way a link comes up, stays up and ends."""

from __future__ import annotations

import itertools
import random
import re
from typing import Any

import attrs
import pytest

from meshtracker.link.authentication import FAILED, Credential
from meshtracker.link.session import _LEGAL, MAX_TOLD_BURSTS, SILENT_HEARTBEATS, LinkPolicy, LinkSession, State
from meshtracker.model import Event, PeerState
from meshtracker.node.node import Node
from meshtracker.wire import link as wire
from meshtracker.wire.link import (
    HEADER,
    MAGIC,
    MAX_HANDSHAKE_BYTES,
    Batch,
    FrameDecoder,
    FrameType,
    PeerRecord,
    Position,
    StreamPlan,
    control,
    encode_batch,
    encode_burst,
    encode_group,
    encode_hello,
    encode_record,
    encode_snapshot_end,
    encode_vector,
    frame,
)
from tests.mouth_to_mouth import (
    NOW,
    PASSWORD,
    Link,
    announce,
    node,
    rows,
    session,
    settle,
    synced,
)

CLOSED = (State.CLOSED, State.CLOSED)
SYNCED = (State.SYNCED, State.SYNCED)


def pair(clients: int = 0, **leaf_options: object) -> tuple[Node, Node]:
    """A leaf with so many clients, flushed, and an empty hub."""
    leaf, hub = node("leaf", **leaf_options), node("hub", forwards=True)  # type: ignore[arg-type]
    for client in range(clients):
        announce(leaf, client, torrent=client % 3, left=client % 2)
    leaf.mesh.flush(NOW)
    return leaf, hub


def reasons(link: Link) -> tuple[str, str]:
    return link.leaf.reason, link.hub.reason


def frames(stream: bytes | bytearray) -> list[tuple[FrameType, bytes]]:
    decoder = FrameDecoder()
    decoder.max_payload_bytes = wire.MAX_PAYLOAD_BYTES
    return list(decoder.feed(bytes(stream)))


def refused(end: LinkSession, data: bytes, pattern: str, now: float = NOW) -> None:
    """``data`` makes this end hang up with a reason."""
    end.receive_data(data, now)
    assert end.state is State.CLOSED
    assert re.search(pattern, end.reason), end.reason
    assert "\n" not in end.reason


# ---------------------------------------------------------------- coming up


def test_a_link_comes_up_and_brings_everything() -> None:
    leaf, hub = pair(50)
    announce(hub, 100)
    hub.mesh.flush(NOW)
    link = synced(leaf, hub)
    assert rows(leaf) == rows(hub)
    assert len(rows(hub)) == 51
    assert [end.statistics(NOW).peer for end in link.ends] == ["hub", "leaf"]
    assert link.hub.statistics(NOW).resync == "leaf: full (new node)"
    assert link.leaf.statistics(NOW).sent_resync == "leaf: full (new node)"
    kinds = [kind.name for kind, _ in frames(link.bytes[link.leaf])]
    assert kinds[:5] == ["AUTH_FIRST", "AUTH_PROOF", "HELLO", "VECTOR", "BURST"]
    # Snapshots come before the end of the burst, which says that all of them were sent.
    assert kinds.index("SNAPSHOT_END") < kinds.index("END_OF_BURST")


def test_changes_flow_both_ways_and_to_other_leaves() -> None:
    leaf, hub = pair()
    other = node("other")
    links = [synced(leaf, hub), synced(other, hub)]
    settle(*links)
    announce(leaf, 1)
    announce(other, 2)
    announce(hub, 3)
    for owner in (leaf, other, hub):
        owner.mesh.flush(NOW)
    settle(*links)
    assert rows(leaf) == rows(other) == rows(hub)
    assert len(rows(hub)) == 3
    announce(other, 1, NOW + 1, event=Event.STOPPED)
    other.mesh.flush(NOW + 1)
    settle(*links, now=NOW + 1)
    assert {state for _, _, state, _ in rows(leaf).values()} == {PeerState.LEECHER, PeerState.REMOVED}


def test_nothing_is_echoed() -> None:
    leaf, hub = pair(20)
    link = synced(leaf, hub)
    before = len(link.bytes[link.hub])
    announce(leaf, 1, left=0, torrent=9)
    leaf.mesh.flush(NOW)
    settle(link)
    assert len(link.bytes[link.hub]) == before


def test_a_node_that_joins_reaches_the_leaves_that_are_linked_already() -> None:
    leaf, hub = pair(5)
    first = synced(leaf, hub)
    other = node("other")
    announce(other, 77)
    other.mesh.flush(NOW)
    second = synced(other, hub)
    settle(first, second)
    assert rows(leaf) == rows(other) == rows(hub)
    assert "other: full (new node)" in first.leaf.statistics(NOW).resync
    assert first.states == SYNCED


@pytest.mark.parametrize("step", range(1, 40, 3))
def test_any_chunks(step: int) -> None:
    leaf, hub = pair(4)
    link = Link(leaf, hub)
    for _ in range(3000):
        moved = False
        for source, target in (link.ends, link.ends[::-1]):
            data = source.data_to_send(NOW)
            moved = moved or bool(data)
            for at in range(0, len(data), step):
                target.receive_data(data[at : at + step], NOW)
        if not moved:
            break
    assert link.states == SYNCED
    assert rows(leaf) == rows(hub)


def test_a_session_cut_at_any_byte_harms_nobody() -> None:
    """The bytes of a whole life, each cut: nothing raises, and the next link makes it good."""
    leaf, hub = pair(3)
    whole = synced(leaf, hub)
    announce(leaf, 9)
    leaf.mesh.flush(NOW)
    settle(whole)
    for owner, said in ((0, len(whole.bytes[whole.leaf])), (1, len(whole.bytes[whole.hub]))):
        for cut in range(said):
            leaf, hub = pair(3)
            link = Link(leaf, hub)
            left = [10**9, 10**9]
            left[owner] = cut
            for _ in range(100):
                moved = False
                for index, (source, target) in enumerate((link.ends, link.ends[::-1])):
                    data = source.data_to_send(NOW)[: left[index]]
                    left[index] -= len(data)
                    moved = moved or bool(data)
                    target.receive_data(data, NOW)
                if not moved or not left[owner]:
                    break
            assert State.CLOSED not in link.states
            if cut % 16 == 0:
                link.cut()
                synced(leaf, hub)
                assert rows(leaf) == rows(hub)


# ---------------------------------------------------------------- legality


def at_state(state: State, *, dials: bool) -> LinkSession:
    """One end of a link, led to a state."""
    leaf, hub = pair(3)
    if state in (State.CONNECTING, State.SECURING):
        owner = leaf if dials else hub
        made = LinkSession(
            replica=owner.mesh,
            credential=Credential(PASSWORD),
            dials=dials,
            policy=LinkPolicy(),
            admit=lambda *_: None,
            peer_address="",
            now=NOW,
        )
        if state is State.SECURING:
            made.connected(NOW)
        return made
    link = Link(leaf, hub)
    end = link.leaf if dials else link.hub
    for source, target in itertools.cycle((link.ends, link.ends[::-1])):
        if end.state is state:
            return end
        for kind, payload in frames(source.data_to_send(NOW)):
            if end.state is not state:
                target.receive_data(frame(kind, payload), NOW)
    raise AssertionError("unreachable")


FRAME_STATES = [state for state in State if state is not State.CLOSED]


@pytest.mark.parametrize("dials", [True, False])
@pytest.mark.parametrize(
    ("state", "kind"),
    [(state, kind) for state in FRAME_STATES for kind in FrameType if kind not in _LEGAL[state]],
    ids=lambda value: value.name,
)
def test_a_frame_that_is_not_in_the_table_ends_the_link(state: State, kind: FrameType, dials: bool) -> None:
    end = at_state(state, dials=dials)
    refused(end, frame(kind), f"^protocol error: {kind.name} is not allowed while {state.value}$")


@pytest.mark.parametrize("dials", [True, False])
@pytest.mark.parametrize(
    ("state", "kind"),
    [(state, kind) for state in FRAME_STATES for kind in FrameType if kind in _LEGAL[state]],
    ids=lambda value: value.name,
)
def test_legal_frames_with_rubbish_end_the_link_and_raise_nothing(state: State, kind: FrameType, dials: bool) -> None:
    for payload in (b"", b"x", b"de", b"d6:reason3:abce", bytes(300), b"\xff" * 40):
        end = at_state(state, dials=dials)
        end.receive_data(frame(kind, payload), NOW)
        if payload == b"x" and kind is not FrameType.END_OF_BURST:
            assert end.state is State.CLOSED


@pytest.mark.parametrize(
    ("kind", "dials"),
    [
        (FrameType.AUTH_FIRST, True),
        (FrameType.AUTH_PROOF, True),
        (FrameType.AUTH_CHALLENGE, False),
        (FrameType.AUTH_FINAL, False),
    ],
)
def test_the_other_sides_half_of_the_proof(kind: FrameType, dials: bool) -> None:
    end = at_state(State.AUTHENTICATING, dials=dials)
    refused(end, control(kind, message="x", v=1, mechanism="SCRAM-SHA-256-PLUS"), f"{kind.name} is not for this side")


def test_the_proof_cannot_be_skipped() -> None:
    listener = at_state(State.AUTHENTICATING, dials=False)
    refused(listener, control(FrameType.AUTH_PROOF, message="c=biws,r=x,p=eA=="), FAILED)
    dialer = at_state(State.AUTHENTICATING, dials=True)
    refused(dialer, control(FrameType.AUTH_FINAL, message="v=eA=="), "did not prove")


def test_nobody_speaks_to_a_closed_session() -> None:
    leaf, hub = pair()
    link = synced(leaf, hub)
    link.hub.close("enough", NOW)
    waiting = link.hub._decoder.waiting_bytes
    for _ in range(100):
        link.hub.receive_data(b"x" * 60_000, NOW)
    assert link.hub._decoder.waiting_bytes == waiting
    assert link.hub.reason == "enough"
    assert link.hub.next_deadline() == float("inf")
    link.hub.handle_deadline(NOW + 1000)
    link.hub.close("again", NOW)
    assert [kind for kind, _ in frames(link.hub.data_to_send(NOW))] == [FrameType.CLOSE]
    assert link.hub.data_to_send(NOW) == b""


# ---------------------------------------------------------------- strangers


@pytest.mark.parametrize(
    ("options", "leaf_says", "hub_says", "detail"),
    [
        ({"leaf_credential": Credential("guess")}, FAILED, FAILED, "wrong password"),
        ({"leaf_binding": bytes(32)}, FAILED, FAILED, "certificate"),
        ({"leaf_binding": None}, "link.tls differs", "link.tls differs", ""),
        ({"hub_binding": None}, "link.tls differs", "link.tls differs", ""),
    ],
)
def test_who_cannot_prove_it_is_told_one_plain_line(
    options: dict[str, Any], leaf_says: str, hub_says: str, detail: str
) -> None:
    leaf, hub = pair(5)
    link = Link(leaf, hub, **options)
    settle(link)
    assert link.states == CLOSED
    assert reasons(link)[0].startswith(leaf_says)
    assert reasons(link)[1].startswith(hub_says)
    assert detail in reasons(link)[1]
    assert not any("\n" in reason for reason in reasons(link))
    assert link.leaf.told_by_peer
    assert not link.hub.told_by_peer
    assert link.leaf.authentication_failed is link.hub.authentication_failed is bool(detail)
    # Neither a name nor a vector of the mesh was shown.
    said = [kind for kind, _ in frames(link.bytes[link.hub])]
    assert set(said) <= {FrameType.AUTH_CHALLENGE, FrameType.CLOSE}
    assert not rows(hub)
    if detail:
        assert frames(link.bytes[link.hub])[-1] == (FrameType.CLOSE, b"d6:reason21:authentication failede")


def test_the_password_never_crosses_the_link() -> None:
    leaf, hub = pair(5)
    link = synced(leaf, hub)
    for said in link.bytes.values():
        assert PASSWORD.encode() not in said


def test_a_recorded_link_cannot_be_played_again() -> None:
    leaf, hub = pair(5)
    link = synced(leaf, hub)
    empty = node("hub", forwards=True)
    end = session(empty, dials=False)
    end.receive_data(bytes(link.bytes[link.leaf]), NOW)
    assert end.state is State.CLOSED
    assert end.reason.startswith(FAILED)
    assert not rows(empty)


@pytest.mark.parametrize("dials", [True, False])
def test_a_stranger_cannot_send_large_frames(dials: bool) -> None:
    end = at_state(State.AUTHENTICATING, dials=dials)
    refused(end, HEADER.pack(MAGIC, FrameType.AUTH_FIRST, 0, MAX_HANDSHAKE_BYTES + 1), "4097 bytes")
    end = at_state(State.AUTHENTICATING, dials=dials)
    for _ in range(MAX_HANDSHAKE_BYTES):
        end.receive_data(HEADER.pack(MAGIC, FrameType.CLOSE, 0, MAX_HANDSHAKE_BYTES)[:1], NOW)
        if end.state is State.CLOSED:
            break
    assert end._decoder.waiting_bytes <= MAX_HANDSHAKE_BYTES + HEADER.size


def test_other_protocols_are_told_so() -> None:
    refused(at_state(State.AUTHENTICATING, dials=False), b"GET / HTTP/1.1\r\n\r\n", "not a meshtracker link frame")


def test_another_protocol_version_is_named_to_both() -> None:
    leaf, hub = pair()
    link = Link(leaf, hub)
    first = wire.read_control(frames(link.leaf.data_to_send(NOW))[0][1])
    fields = {key.decode(): value for key, value in first.items()} | {"v": 99}
    link.hub.receive_data(control(FrameType.AUTH_FIRST, **fields), NOW)
    settle(link)
    assert link.states == CLOSED
    assert link.leaf.reason == link.hub.reason
    assert "speaks 1, the dialer 99" in link.leaf.reason


def test_every_step_of_the_handshake_has_a_deadline() -> None:
    policy = LinkPolicy(handshake_timeout_seconds=7)
    for state in (State.CONNECTING, State.SECURING, State.AUTHENTICATING, State.COMPARING):
        end = at_state(state, dials=False)
        end._policy = policy
        assert end.next_deadline() == NOW + 7
        end.receive_data(b"", NOW + 6)
        end.handle_deadline(NOW + 6.9)
        assert end.state is state
        end.handle_deadline(NOW + 7)
        assert (end.state, end.reason) == (State.CLOSED, f"still {state.value} after 7 s")


# ---------------------------------------------------------------- who is there


@pytest.mark.parametrize("ahead", [6, -6, 59])
def test_a_clock_that_is_off_is_a_warning_on_both_sides(ahead: int) -> None:
    leaf, hub = pair(clock_ahead_seconds=ahead)
    link = synced(leaf, hub)
    for end in link.ends:
        [warning] = end.warnings
        assert f"{abs(ahead)} s" in warning
        assert "leaf" in warning
        assert "hub" in warning
        assert warning in [notice.text for notice in end.notices() if notice.level == "warning"]
    way = "ahead of" if ahead > 0 else "behind"
    assert link.hub.warnings == (f"the clock of leaf is {abs(ahead)} s {way} that of hub",)


@pytest.mark.parametrize("ahead", [61, -3600])
def test_a_clock_that_is_far_off_is_refused_in_plain_words(ahead: int) -> None:
    leaf, hub = pair(5, clock_ahead_seconds=ahead)
    link = Link(leaf, hub)
    settle(link)
    assert link.states == CLOSED
    for reason in reasons(link):
        assert "the clocks of" in reason
        assert f"differ by {abs(ahead)} s" in reason
        assert "NTP" in reason
    assert not rows(hub)


def test_other_settings_are_warned_about() -> None:
    leaf, _ = pair()
    hello = attrs.evolve(leaf.mesh.hello(NOW), announce_interval_seconds=600, peer_ttl_seconds=900)
    comparing = at_state(State.COMPARING, dials=False)
    comparing.receive_data(encode_hello(hello), NOW)
    assert comparing.warnings == (
        "tracker.announce_interval_seconds differs: hub 1800, leaf 600",
        "tracker.peer_ttl_seconds differs: hub 4500, leaf 900",
    )


def test_two_nodes_with_the_same_name() -> None:
    link = Link(node("hub"), node("hub", forwards=True))
    settle(link)
    assert link.states == CLOSED
    assert all("both nodes are named 'hub'" in reason for reason in reasons(link))


def test_hello_comes_once_and_before_the_vector() -> None:
    end = at_state(State.COMPARING, dials=False)
    refused(end, frame(FrameType.VECTOR), "VECTOR before HELLO")
    end = at_state(State.COMPARING, dials=False)
    hello = encode_hello(node("leaf").mesh.hello(NOW))
    refused(end, hello + hello, "second HELLO")


def test_a_start_that_is_older_than_what_the_mesh_knows() -> None:
    """A clock set back between two starts: all that the node sends would pass for old."""
    hub = node("hub", forwards=True)
    synced(node("leaf", incarnation=9000), hub).cut()
    link = Link(node("leaf", incarnation=4000), hub)
    settle(link)
    assert link.states == CLOSED
    assert all("knows a start of leaf that is 5 s later" in reason for reason in reasons(link))


def test_a_start_in_the_far_future_does_not_take_a_name_away() -> None:
    """Or the node would be refused as an older start of itself until that time has come."""
    leaf, hub = pair()
    first = synced(leaf, hub)
    forged = Link(node("leaf", incarnation=2**63 - 1), hub)
    settle(first, forged)
    assert forged.states == CLOSED
    assert "the start of leaf is dated" in forged.hub.reason
    assert first.states == SYNCED


# ---------------------------------------------------------------- lies of a peer with the password


def linked(forwards: bool = False) -> tuple[Link, Node]:
    hub = node("hub", forwards=True)
    return synced(node("peer", forwards=forwards), hub), hub


def batch_of(origin: str, incarnation: int, sequence: int, *, ahead_seconds: int = 0) -> bytes:
    stamp = (int((NOW + 1.7e9 + ahead_seconds) * 1000)) << 16
    record = PeerRecord(bytes([sequence]) * 24, stamp, PeerState.LEECHER, 6, b"\1" * 6)
    body = encode_group(b"h" * 20, encode_record(record, stamp))
    return encode_batch(FrameType.BATCH, Batch(origin, incarnation, sequence, stamp, body))


def burst_of(origin: str, incarnation: int, sequence: int = 5, *, full: bool = True) -> bytes:
    position = Position(incarnation, sequence)
    return encode_burst([StreamPlan(origin=origin, position=position, after=0, full=full, reason="")])


@pytest.mark.parametrize(
    ("lie", "pattern"),
    [
        pytest.param(batch_of("other", 1, 1), "a leaf sent the stream of another node, other", id="forged origin"),
        pytest.param(burst_of("other", 1), "a leaf sent the stream of another node, other", id="forged burst"),
        pytest.param(batch_of("hub", 1000, 1), "another node writes under this node's name", id="as the hub"),
        pytest.param(burst_of("hub", 2000), "another node writes under this node's name", id="as the hub's future"),
        pytest.param(batch_of("peer", 1000, 9), "batch 9 of peer came after", id="gap"),
        pytest.param(batch_of("peer", 1001, 1), "batch 1 of peer came after", id="unannounced life"),
        pytest.param(batch_of("peer", 999, 9), "knows a start of peer that is", id="past life"),
        pytest.param(
            encode_snapshot_end("peer", Position(1000, 4), records=0), "that no burst announced", id="no snapshot"
        ),
        pytest.param(
            burst_of("peer", 1000) + encode_snapshot_end("peer", Position(1000, 9), records=3),
            "holds 0 records where 3 were sent",
            id="wrong count",
        ),
        pytest.param(
            burst_of("peer", 1000) + encode_snapshot_end("peer", Position(1001, 9), records=0),
            "holds 0 records",
            id="other life at its end",
        ),
        pytest.param(
            burst_of("peer", 1000) + encode_batch(FrameType.SNAPSHOT, Batch("peer", 1001, 9, 0, b"")),
            "of another incarnation than its burst said",
            id="other life in its middle",
        ),
        pytest.param(
            batch_of("peer", 1000, 1, ahead_seconds=61),
            r"peer stamps its records 61 s ahead of the clock of hub: set the clocks",
            id="from the future",
        ),
        pytest.param(frame(FrameType.BATCH, b"\4peer"), "protocol error: a batch is cut short", id="rubbish"),
    ],
)
def test_a_lie_ends_the_link_and_changes_nothing(lie: bytes, pattern: str) -> None:
    link, hub = linked()
    before = rows(hub), hub.mesh.vector()
    refused(link.hub, lie, pattern)
    assert (rows(hub), hub.mesh.vector()) == before
    settle(link)
    assert link.leaf.reason == link.hub.reason
    assert link.leaf.told_by_peer


def test_a_batch_again_is_dropped() -> None:
    link, hub = linked()
    batch = batch_of("peer", 1000, 1)
    for _ in range(3):
        link.hub.receive_data(batch, NOW)
    assert link.states == SYNCED
    assert len(rows(hub)) == 1
    assert link.hub.statistics(NOW).received_batches == 1
    assert hub.mesh.position("peer") == (1000, 1)


def test_a_peer_cannot_invent_nodes_without_end() -> None:
    link, hub = linked(forwards=True)
    number = 0
    while link.hub.state is State.SYNCED:
        number += 1
        origin = f"invented-{number}"
        link.hub.receive_data(burst_of(origin, 5) + encode_snapshot_end(origin, Position(5, 5), records=0), NOW)
        assert number < 1000
    assert "node names" in link.hub.reason
    assert len(hub.mesh.vector()) <= 400
    # Those it knows can still be linked, with a vector that fits its frames.
    synced(node("peer", incarnation=2000), hub)


def test_endless_bursts_do_not_fill_the_log() -> None:
    link, hub = linked()
    link.hub.notices()
    for sequence in range(2 * MAX_TOLD_BURSTS):
        link.hub.receive_data(burst_of("peer", 1000, sequence), NOW)
    levels = [notice.level for notice in link.hub.notices()]
    assert len(levels) == 2 * MAX_TOLD_BURSTS
    assert levels.count("info") <= MAX_TOLD_BURSTS
    assert hub.links.synced()


def test_a_name_that_is_taken_by_a_running_node() -> None:
    leaf, hub = pair()
    first = synced(leaf, hub)
    same = Link(node("leaf", incarnation=999), hub)
    settle(first, same)
    assert same.states == CLOSED
    assert all("another live node named 'leaf'" in reason for reason in reasons(same))
    assert first.states == SYNCED


@pytest.mark.parametrize("incarnation", [1000, 1001])
def test_a_node_that_comes_back_replaces_its_old_link_at_once(incarnation: int) -> None:
    leaf, hub = pair(3)
    first = synced(leaf, hub)
    back = leaf if incarnation == 1000 else node("leaf", incarnation=incarnation)
    second = synced(back, hub)
    assert first.hub.state is State.CLOSED
    assert "replaced by a newer connection" in first.hub.reason
    assert second.states == SYNCED
    assert rows(back) == rows(hub)
    assert len(rows(hub)) == 3


# ---------------------------------------------------------------- resync


def test_continue_and_full_with_its_reason() -> None:
    leaf, hub = pair(3, mesh={"max_log_bytes": 1500})
    link = synced(leaf, hub)
    link.cut()
    announce(leaf, 50)
    leaf.mesh.flush(NOW)
    link = synced(leaf, hub)
    assert link.hub.statistics(NOW).resync == "leaf: partial after batch 1"
    link.cut()
    for client in range(60, 80):
        announce(leaf, client)
        leaf.mesh.flush(NOW)
    link = synced(leaf, hub)
    assert link.hub.statistics(NOW).resync == "leaf: full (fell behind)"
    assert rows(leaf) == rows(hub)
    link.cut()
    again = node("leaf", incarnation=2000)
    link = synced(again, hub)
    assert link.hub.statistics(NOW).resync == "leaf: full (new incarnation)"
    assert rows(again) == rows(hub)


def test_a_reader_that_falls_behind_in_the_middle_gets_a_snapshot() -> None:
    leaf, hub = pair(3, mesh={"max_log_bytes": 1500})
    link = synced(leaf, hub)
    for client in range(60, 80):
        announce(leaf, client)
        leaf.mesh.flush(NOW)
    settle(link)
    assert link.states == SYNCED
    assert "leaf: full (fell behind)" in link.leaf.statistics(NOW).sent_resync
    assert rows(leaf) == rows(hub)


def test_a_removal_reaches_a_leaf_that_was_away_past_the_log() -> None:
    hub = node("hub", forwards=True, mesh={"max_log_bytes": 1000})
    leaf, away = node("leaf"), node("away")
    announce(leaf, 1)
    leaf.mesh.flush(NOW)
    links = [synced(leaf, hub), synced(away, hub)]
    settle(*links)
    assert len(rows(away)) == 1
    links.pop().cut()
    announce(leaf, 1, NOW + 1, event=Event.STOPPED)
    for client in range(2, 30):
        announce(leaf, client, NOW + 1)
        leaf.mesh.flush(NOW + 1)
        settle(*links, now=NOW + 1)
    link = synced(away, hub, NOW + 2)
    assert "leaf: full (fell behind)" in link.leaf.statistics(NOW).resync
    assert rows(away) == rows(hub) == rows(leaf)
    assert away.registry.peers == 28
    assert away.registry.tombstones == 1


@pytest.mark.parametrize("saved", [False, True])
def test_a_restarted_nodes_own_clients_are_brought_back(saved: bool) -> None:
    leaf, hub = pair(5)
    synced(leaf, hub).cut()
    again = node("leaf", incarnation=2000)
    if saved:
        again.mesh.resume(leaf.mesh.vector())
    announce(leaf, 50)
    leaf.mesh.flush(NOW)
    link = synced(leaf, hub)
    announce(leaf, 51)
    leaf.mesh.flush(NOW)
    settle(link)
    link.cut()
    link = synced(again, hub)
    assert ("leaf: partial after batch 1" if saved else "leaf: full (new node)") in link.leaf.statistics(NOW).resync
    found = {row[2][:20] for row in rows(again)}
    assert found == {b"-MT0001-%012d" % client for client in ((50, 51) if saved else (0, 1, 2, 3, 4, 50, 51))}
    if not saved:
        assert rows(again) == rows(hub)


def test_what_was_brought_back_reaches_those_who_lacked_it() -> None:
    """The hub lost its memory; one leaf knows more of its earlier life than the other that linked first."""
    hub = node("hub", forwards=True)
    early, late = node("early"), node("late")
    announce(hub, 1)
    hub.mesh.flush(NOW)
    synced(early, hub).cut()
    announce(hub, 2)
    hub.mesh.flush(NOW)
    synced(late, hub).cut()
    again = node("hub", incarnation=2000, forwards=True)
    first = synced(early, again)
    assert len(rows(again)) == 1
    second = synced(late, again)
    settle(first, second)
    assert rows(early) == rows(again) == rows(late)
    assert len(rows(again)) == 2


def test_both_ends_restarted_at_once() -> None:
    leaf, hub = pair(5)
    announce(hub, 90)
    hub.mesh.flush(NOW)
    synced(leaf, hub).cut()
    leaf_again, hub_again = node("leaf", incarnation=2000), node("hub", incarnation=2000, forwards=True)
    leaf_again.mesh.resume({"hub": Position(1000, 1)})
    hub_again.mesh.resume({"leaf": Position(1000, 1)})
    link = synced(leaf_again, hub_again)
    assert "hub: full" in link.leaf.statistics(NOW).sent_resync
    assert "leaf: full" in link.hub.statistics(NOW).sent_resync


def test_a_second_hub_may_tell_of_the_new_life_before_the_first_brought_back_the_old_one() -> None:
    leaf = node("leaf")
    one, two = node("one", forwards=True), node("two", forwards=True)
    announce(leaf, 1)
    leaf.mesh.flush(NOW)
    synced(leaf, one).cut()
    announce(leaf, 2)
    leaf.mesh.flush(NOW)
    synced(leaf, two).cut()
    leaf = node("leaf", incarnation=2000)
    slow = Link(leaf, one)
    while slow.hub.state is not State.BURSTING:
        slow.step()
    quick = synced(leaf, two)
    between = Link(two, one)
    for _ in range(50):
        between.step()
        quick.step()
    assert one.mesh.position("leaf") is not None
    settle(slow, quick, between)
    assert slow.states == quick.states == between.states == SYNCED
    assert rows(leaf) == rows(one) == rows(two)
    assert len(rows(leaf)) == 2


# ---------------------------------------------------------------- staying up


def test_heartbeats_come_ahead_of_data_and_carry_the_vector() -> None:
    leaf, hub = pair()
    link = synced(leaf, hub)
    settle(link)
    for client in range(5):
        announce(leaf, client)
        leaf.mesh.flush(NOW)
    later = link.leaf.next_deadline()
    assert later <= NOW + 5
    link.leaf.handle_deadline(later)
    [(kind, payload)] = frames(link.leaf.data_to_send(later))
    assert kind is FrameType.HEARTBEAT
    assert wire.decode_heartbeat(payload)[1]["leaf"] == Position(1000, 6)
    assert frames(link.leaf.data_to_send(later))[0][0] is FrameType.BATCH
    link.hub.receive_data(frame(kind, payload), later)
    assert link.hub.statistics(later).heard_seconds_ago == 0


def test_the_lag_is_what_the_peers_heartbeat_did_not_know() -> None:
    leaf, hub = pair(3)
    link = synced(leaf, hub)
    for client in range(4):
        announce(leaf, client, left=0, torrent=8)
        leaf.mesh.flush(NOW)
    link.hub.handle_deadline(NOW + 5)
    link.leaf.receive_data(link.hub.data_to_send(NOW + 5), NOW + 5)
    assert link.leaf.statistics(NOW + 5).peer_lag_batches == 4
    settle(link, now=NOW + 5)
    link.hub.handle_deadline(NOW + 10)
    settle(link, now=NOW + 10)
    assert link.leaf.statistics(NOW + 10).peer_lag_batches == 0


def test_silence_ends_the_link() -> None:
    leaf, hub = pair()
    link = synced(leaf, hub)
    end = link.hub
    quiet_from = NOW
    now = NOW
    while end.state is State.SYNCED:
        now = end.next_deadline()
        end.handle_deadline(now)
    assert now == quiet_from + SILENT_HEARTBEATS * 5
    assert end.reason == "nothing heard for 15 s"


def test_links_that_are_idle_stay_up() -> None:
    leaf, hub = pair(3)
    link = synced(leaf, hub)
    now = NOW
    for _ in range(300):
        now = min(end.next_deadline() for end in link.ends)
        for end in link.ends:
            end.handle_deadline(now)
        settle(link, now=now)
    assert now > NOW + 100
    assert link.states == SYNCED


def test_a_reader_that_is_stuck_costs_no_memory() -> None:
    leaf, hub = pair(3, mesh={"max_log_bytes": 50_000})
    link = synced(leaf, hub)
    now = NOW
    for number in range(10_000):
        now += 0.1
        announce(leaf, number % 50, now, left=number // 50 % 2)
        leaf.mesh.flush(now)
        # It still sends, so it does not count as gone; but it takes nothing.
        link.leaf.receive_data(wire.encode_heartbeat(0, {}), now)
        link.leaf.handle_deadline(now)
    assert leaf.mesh.logs.statistics(now).bytes <= 50_000
    assert sum(map(len, link.leaf._control)) < 200
    assert link.leaf._feed is not None
    assert len(link.leaf._feed._fulls) == 0
    settle(link, now=now)
    assert link.states == SYNCED
    assert rows(leaf) == rows(hub)


def test_no_chunk_is_larger_than_a_frame() -> None:
    leaf, hub = pair(3)
    for client in range(3000):
        announce(leaf, client, torrent=client % 700)
    leaf.mesh.flush(NOW)
    link = Link(leaf, hub)
    largest = 0
    for _ in range(200):
        for source, target in (link.ends, link.ends[::-1]):
            data = source.data_to_send(NOW)
            largest = max(largest, len(data))
            target.receive_data(data, NOW)
    assert link.states == SYNCED
    assert 20_000 < largest <= wire.MAX_PAYLOAD_BYTES + HEADER.size
    assert rows(leaf) == rows(hub)


def test_the_end_of_the_stream_is_an_end() -> None:
    leaf, hub = pair()
    link = synced(leaf, hub)
    link.hub.end_of_stream(NOW)
    assert (link.hub.state, link.hub.reason) == (State.CLOSED, "the other side hung up")


def test_a_peers_reason_is_shown_printable() -> None:
    link, _ = linked()
    link.hub.receive_data(control(FrameType.CLOSE, reason="bye\x1b[2J" + "x" * 1000), NOW)
    assert link.hub.reason.startswith("bye?[2Jxxx")
    assert len(link.hub.reason) <= wire.MAX_REASON_BYTES
    assert link.hub.told_by_peer


# ---------------------------------------------------------------- fuzz


SEEDS = [
    encode_hello(node("peer").mesh.hello(NOW)),
    frame(FrameType.VECTOR, encode_vector({"hub": Position(1000, 0), "peer": Position(1, 2)})),
    burst_of("peer", 1000),
    burst_of("hub", 900),
    burst_of("leaf", 1000, full=False),
    batch_of("peer", 1000, 1),
    batch_of("hub", 900, 1),
    batch_of("leaf", 1000, 2),
    encode_snapshot_end("peer", Position(1000, 5), records=0),
    encode_snapshot_end("hub", Position(900, 5), records=0),
    frame(FrameType.END_OF_BURST),
    wire.encode_heartbeat(5, {"hub": Position(1000, 3)}),
    control(FrameType.CLOSE, reason="no"),
    control(FrameType.AUTH_FIRST, v=1, mechanism="SCRAM-SHA-256-PLUS", message="p=tls-server-end-point,,n=a,r=b"),
    control(FrameType.AUTH_CHALLENGE, message="r=b,s=eA==,i=4096"),
    control(FrameType.AUTH_PROOF, message="c=eA==,r=b,p=eA=="),
    control(FrameType.AUTH_FINAL, message="v=eA=="),
    encode_batch(FrameType.SNAPSHOT, Batch("peer", 1000, 5, 0, b"")),
]


def fuzz(seed: int, count: int) -> None:
    """Mutated frames to sessions in every state: nothing may be raised but a closed link."""
    rng = random.Random(seed)
    end = at_state(State.SYNCED, dials=False)
    for _ in range(count):
        if end.state is State.CLOSED:
            assert end.reason
            assert "\n" not in end.reason
            end.data_to_send(NOW)
            end.statistics(NOW)
            end = at_state(rng.choice(FRAME_STATES), dials=rng.random() < 0.5)
        data = bytearray(rng.choice(SEEDS))
        for _ in range(rng.choice((0, 0, 1, 1, 3))):
            at = rng.randrange(HEADER.size, len(data)) if len(data) > HEADER.size else 2
            data[at] = rng.choice((0, 1, 255, rng.randrange(256)))
        if rng.random() < 0.1:
            del data[rng.randrange(len(data)) :]
        end.receive_data(bytes(data), NOW)
        for _ in range(3):
            end.data_to_send(NOW)


@pytest.mark.parametrize("seed", range(4))
def test_fuzzed_frames(seed: int) -> None:
    fuzz(seed, 500)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(100, 120))
def test_fuzzed_frames_long(seed: int) -> None:
    fuzz(seed, 6000)
