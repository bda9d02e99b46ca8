"""Two sessions mouth to mouth: how a link comes up, what may be said in which state, and how it ends."""

from __future__ import annotations

import pytest

from meshtracker.errors import CloseCode
from meshtracker.link.policy import LinkPolicy
from meshtracker.link.proof.authentication import FAILED
from meshtracker.link.transitions import TRANSITIONS, State
from meshtracker.model import Event, PeerState
from meshtracker.wire import link as wire
from meshtracker.wire.frame import HEADER, MAX_PAYLOAD_BYTES, FrameType, frame
from meshtracker.wire.link import control
from tests.link.support import (
    FRAME_STATES,
    SYNCED,
    at_state,
    linked,
    pair,
    refused,
)
from tests.mouth_to_mouth import NOW, Link, Wire, announce, frames, node, rows, settle, swallow_data, synced


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


def without_heartbeats(data: bytes) -> bytes:
    return b"".join(frame(kind, payload) for kind, payload in frames(data) if kind is not FrameType.HEARTBEAT)


@pytest.mark.parametrize(("way", "synced_ends"), [(swallow_data, (False, False)), (without_heartbeats, (True, False))])
def test_an_end_is_synced_once_its_burst_is_confirmed(way: Wire, synced_ends: tuple[bool, bool]) -> None:
    """However small the burst is, so that the system's buffer takes it all."""
    leaf, hub = pair(3)
    link = Link(leaf, hub)
    link.wires[link.leaf] = way
    settle(link)
    assert tuple(end.state is State.SYNCED for end in link.ends) == synced_ends
    assert all(end.statistics(NOW).state in ("bursting", "synced") for end in link.ends)


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


def phase(state: State) -> State:
    """A soft-split is on top of a state, here that of a link that was up."""
    return State.SYNCED if state is State.SOFT_SPLIT else state


@pytest.mark.parametrize("dials", [True, False])
@pytest.mark.parametrize(
    ("state", "kind"),
    [(state, kind) for state in FRAME_STATES for kind in FrameType if (phase(state), kind) not in TRANSITIONS],
    ids=lambda value: value.name,
)
def test_a_frame_that_is_not_in_the_table_ends_the_link(state: State, kind: FrameType, dials: bool) -> None:
    end = at_state(state, dials=dials)
    refused(end, frame(kind), f"^protocol error: {kind.name} is not allowed while {phase(state).value}$")


@pytest.mark.parametrize("dials", [True, False])
@pytest.mark.parametrize(
    ("state", "kind"),
    [(state, kind) for state in FRAME_STATES for kind in FrameType if (phase(state), kind) in TRANSITIONS],
    ids=lambda value: value.name,
)
def test_legal_frames_with_rubbish_end_the_link_and_raise_nothing(state: State, kind: FrameType, dials: bool) -> None:
    for payload in (b"", b"x", b"de", b"d6:reason3:abce", bytes(300), b"\xff" * 40):
        end = at_state(state, dials=dials)
        end.receive_data(frame(kind, payload), NOW)
        if payload == b"x":
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
    link.hub.close("enough", NOW, code=CloseCode.STOPPING)
    waiting = link.hub._decoder.waiting_bytes
    for _ in range(100):
        link.hub.receive_data(b"x" * 60_000, NOW)
    assert link.hub._decoder.waiting_bytes == waiting
    assert (link.hub.reason, link.hub.code) == ("enough", CloseCode.STOPPING)
    assert link.hub.next_deadline() == float("inf")
    link.hub.handle_deadline(NOW + 1000)
    link.hub.close("again", NOW, code=CloseCode.OTHER)
    assert [kind for kind, _ in frames(link.hub.data_to_send(NOW))] == [FrameType.CLOSE]
    assert link.hub.data_to_send(NOW) == b""


def test_every_step_of_the_handshake_has_a_deadline() -> None:
    policy = LinkPolicy(handshake_timeout_seconds=7)
    for state in (State.CONNECTING, State.SECURING, State.AUTHENTICATING, State.GREETING, State.COMPARING):
        end = at_state(state, dials=False)
        end._policy = policy
        assert end.next_deadline() == NOW + 7
        end.receive_data(b"", NOW + 6)
        end.handle_deadline(NOW + 6.9)
        assert end.state is state
        end.handle_deadline(NOW + 7)
        assert (end.state, end.reason) == (State.CLOSED, f"still {state.shown} after 7 s")
        assert end.code is CloseCode.TIMEOUT


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
    assert 15_000 < largest <= MAX_PAYLOAD_BYTES + HEADER.size
    assert rows(leaf) == rows(hub)


def test_the_end_of_the_stream_is_an_end() -> None:
    leaf, hub = pair()
    link = synced(leaf, hub)
    link.hub.end_of_stream(NOW)
    assert (link.hub.state, link.hub.reason) == (State.CLOSED, "the other side hung up")
    assert link.hub.code is CloseCode.UNREACHABLE
    assert not link.hub.data_to_send(NOW)


def test_a_peers_reason_is_shown_printable() -> None:
    link, _ = linked()
    link.hub.receive_data(control(FrameType.CLOSE, reason="bye\x1b[2J" + "x" * 1000), NOW)
    assert link.hub.reason.startswith("bye?[2Jxxx")
    assert len(link.hub.reason) <= wire.MAX_REASON_BYTES
    assert link.hub.told_by_peer


@pytest.mark.parametrize("code", CloseCode)
def test_a_peer_is_told_the_code(code: CloseCode) -> None:
    link, _ = linked()
    link.leaf.close("why", NOW, code=code)
    settle(link)
    assert (link.leaf.code, link.hub.code) == (code, code)
    assert (link.leaf.refusal, link.hub.refusal) == (None, None)
    assert link.hub.statistics(NOW).code == code.label


@pytest.mark.parametrize("fields", [{"code": 250}, {"code": -1}, {"code": "reset"}, {}])
def test_a_code_that_is_not_known_counts_as_other(fields: dict[str, int | str]) -> None:
    link, _ = linked()
    link.hub.receive_data(control(FrameType.CLOSE, reason="later", **fields), NOW)
    assert (link.hub.state, link.hub.code, link.hub.reason) == (State.CLOSED, CloseCode.OTHER, "later")


def test_the_newest_common_version_is_shown() -> None:
    leaf, hub = pair()
    link = synced(leaf, hub, leaf_policy=LinkPolicy(versions=(3, 5)), hub_policy=LinkPolicy(versions=(1, 4)))
    assert [end.statistics(NOW).version for end in link.ends] == [4, 4]


def test_the_finer_states_are_not_shown() -> None:
    assert State.GREETING.shown == "comparing"
    assert State.HEARD.shown == State.CONFIRMED.shown == State.BURSTING.shown == "bursting"
    assert at_state(State.HEARD, dials=True).statistics(NOW).state == "bursting"


@pytest.mark.parametrize("dials", [True, False])
def test_every_state_of_a_burst_leads_to_synced(dials: bool) -> None:
    """The peer's burst and its confirmation of this end's come in either order."""
    leaf, hub = pair(3)
    announce(hub, 50)
    hub.mesh.flush(NOW)
    link = Link(leaf, hub)
    near, far = link.ends if dials else link.ends[::-1]
    seen: list[State] = []
    for _ in range(100):
        far.receive_data(near.data_to_send(NOW), NOW)
        for kind, payload in frames(far.data_to_send(NOW)):
            near.receive_data(frame(kind, payload), NOW)
            if near.state not in seen:
                seen.append(near.state)
    assert seen[-3:] in (
        [State.BURSTING, State.HEARD, State.SYNCED],
        [State.BURSTING, State.CONFIRMED, State.SYNCED],
    )
