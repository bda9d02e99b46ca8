"""The whole table, walked: what is in it is taken, and all else closes the link with one line that names both."""

from __future__ import annotations

import itertools

import pytest

from meshtracker.errors import CloseCode, LinkError
from meshtracker.link.session import LinkSession
from meshtracker.link.transitions import HANDSHAKE_STATES, TRANSITIONS, Event, State, Step, after
from meshtracker.wire import link as wire
from meshtracker.wire.frame import DATA_FRAMES, FrameType, frame
from meshtracker.wire.link import Directed, DirectedKind, Interest, SnapshotEnd
from meshtracker.wire.vector import Position, StreamId
from tests.link.support import FRAME_STATES, at_state, batch_of, burst_of, heartbeat_of, hello_of
from tests.mouth_to_mouth import NOW, Link, frames, node, settle

PHASES = [state for state in FRAME_STATES if state is not State.SOFT_SPLIT]
"""States that the table has rows of: a soft-split lies on top of one."""
AUTH_FRAMES = [FrameType.AUTH_FIRST, FrameType.AUTH_CHALLENGE, FrameType.AUTH_PROOF, FrameType.AUTH_FINAL]


def possible(kind: FrameType, end: LinkSession) -> bytes:
    """Frames of which the last is of that kind, and such as a peer in good faith could send."""
    peer = end.peer
    name, incarnation = (peer.name, peer.incarnation) if peer is not None else ("peer", 7)
    stream = StreamId(name, incarnation)
    directed = Directed(
        kind=DirectedKind.REQUEST, source=name, target="nobody", number=1, topic="x", deadline_ms=1, hops=1, body=b""
    )
    match kind:
        case FrameType.CLOSE:
            return wire.encode_close(CloseCode.STOPPING, "the node is being stopped")
        case FrameType.HELLO:
            # A hub that is dialled, or a leaf, with the name that `at_state` gives it and has it prove.
            return wire.encode_hello(hello_of(node("hub", forwards=True) if end.dials else node("leaf")))
        case FrameType.VECTOR:
            return b"".join(wire.encode_knowledge({}, everything=False))
        case FrameType.BURST:
            return burst_of(name, incarnation)
        case FrameType.BATCH:
            return burst_of(name, incarnation) + batch_of(name, incarnation, 900)
        case FrameType.SNAPSHOT:
            batch = batch_of(name, incarnation, 0)
            [(_, payload)] = frames(batch)
            return burst_of(name, incarnation) + frame(FrameType.SNAPSHOT, payload)
        case FrameType.SNAPSHOT_END:
            last = wire.encode_snapshot_end(SnapshotEnd(stream, Position(900, 0), records=0))
            return burst_of(name, incarnation) + last
        case FrameType.END_OF_BURST:
            return wire.encode_end_of_burst()
        case FrameType.HEARTBEAT:
            return heartbeat_of()
        case FrameType.INTEREST:
            interest = Interest.TRACK if end.state is State.COMPARING else Interest.DROP
            return b"".join(wire.encode_interest(interest, [bytes(20)]))
        case FrameType.DIRECTED:
            return wire.encode_directed(directed)
        case _:
            return frame(kind, b"de")


def tells_of_the_state(end: LinkSession) -> bool:
    return "is not allowed while" in end.reason


@pytest.mark.parametrize("dials", [True, False])
@pytest.mark.parametrize("kind", FrameType)
@pytest.mark.parametrize("state", PHASES)
def test_every_frame_in_every_state(state: State, kind: FrameType, *, dials: bool) -> None:
    end = at_state(state, dials=dials)
    data = possible(kind, end)
    *first, (last, payload) = frames(data)
    assert last is kind
    leads_to = TRANSITIONS.get((state, kind))
    if leads_to is None:
        end.receive_data(frame(last, payload), NOW)
        assert end.state is State.CLOSED
        assert end.reason == f"protocol error: {kind.name} is not allowed while {state.value}"
        assert end.code is end.refusal is CloseCode.PROTOCOL
        # Nothing that comes afterwards is looked at.
        end.receive_data(b"\xff" * 100, NOW)
        assert end.reason == f"protocol error: {kind.name} is not allowed while {state.value}"
        return
    for other, before in first:
        end.receive_data(frame(other, before), NOW)
        assert end.state is state, end.reason
    end.receive_data(frame(last, payload), NOW)
    assert not tells_of_the_state(end), end.reason
    if kind in AUTH_FRAMES:
        # What an empty one is refused for is not its coming.
        assert "missing" in end.reason
    elif kind is FrameType.INTEREST and dials:
        assert end.reason == "protocol error: INTEREST of a hub, which is sent everything"
    elif kind in (FrameType.SWARMS, FrameType.SWARMS_END):
        assert end.is_closed
    elif (state, kind) == (State.COMPARING, FrameType.VECTOR):
        assert end.state is State.BURSTING
    else:
        assert end.state is leads_to, end.reason


@pytest.mark.parametrize("kind", FrameType)
@pytest.mark.parametrize("dials", [True, False])
def test_in_a_soft_split_what_comes_is_taken_as_before(kind: FrameType, *, dials: bool) -> None:
    end = at_state(State.SOFT_SPLIT, dials=dials)
    *first, (last, payload) = frames(possible(kind, end))
    for other, before in first:
        end.receive_data(frame(other, before), NOW)
    assert end.state is State.SOFT_SPLIT
    end.receive_data(frame(last, payload), NOW)
    assert tells_of_the_state(end) is ((State.SYNCED, kind) not in TRANSITIONS)
    if tells_of_the_state(end):
        assert end.reason == f"protocol error: {kind.name} is not allowed while synced"


def test_a_closed_session_takes_nothing() -> None:
    assert not any(state is State.CLOSED for state, _ in TRANSITIONS)
    end = at_state(State.SYNCED, dials=True)
    end.end_of_stream(NOW)
    for kind in FrameType:
        end.receive_data(possible(kind, end), NOW)
    assert (end.state, end.reason) == (State.CLOSED, "the other side hung up")
    assert end.data_to_send(NOW) == b""


# ---------------------------------------------------------------- the table itself


EVENTS: list[Event] = [*FrameType, *Step]


@pytest.mark.parametrize(("state", "event"), list(itertools.product(State, EVENTS)))
def test_an_event_leads_on_or_is_refused_by_both_names(state: State, event: Event) -> None:
    if (state, event) in TRANSITIONS:
        assert after(state, event) is TRANSITIONS[state, event]
        return
    with pytest.raises(LinkError) as caught:
        after(state, event)
    assert str(caught.value) == f"protocol error: {event.name} is not allowed while {state.value}"
    assert caught.value.code is CloseCode.PROTOCOL


def reachable_from(state: State, *, without: State | None = None) -> set[State]:
    found, ahead = {state}, [state]
    while ahead:
        at = ahead.pop()
        for (before, _), follows in TRANSITIONS.items():
            if before is at and follows not in found and follows is not without:
                found.add(follows)
                ahead.append(follows)
    return found


def test_every_state_is_reached_and_none_twice() -> None:
    assert reachable_from(State.CONNECTING) == set(State) - {State.SOFT_SPLIT}
    for state in PHASES:
        beyond = {follows for (before, _), follows in TRANSITIONS.items() if before is state} - {state}
        assert all(state not in reachable_from(follows) for follows in beyond)


@pytest.mark.parametrize(
    "state", [State.SECURING, State.AUTHENTICATING, State.GREETING, State.COMPARING, State.BURSTING]
)
def test_no_step_of_the_handshake_can_be_left_out(state: State) -> None:
    """Nobody is synced without a proof, a HELLO and a vector."""
    assert State.SYNCED not in reachable_from(State.CONNECTING, without=state)


def test_a_burst_is_heard_and_confirmed_in_either_order() -> None:
    for without in (State.HEARD, State.CONFIRMED):
        assert State.SYNCED in reachable_from(State.CONNECTING, without=without)
    assert after(after(State.BURSTING, FrameType.END_OF_BURST), Step.BURST_CONFIRMED) is State.SYNCED
    assert after(after(State.BURSTING, Step.BURST_CONFIRMED), FrameType.END_OF_BURST) is State.SYNCED


@pytest.mark.parametrize("state", [state for state in PHASES if state in HANDSHAKE_STATES])
def test_no_data_comes_during_the_handshake(state: State) -> None:
    assert not any((state, kind) in TRANSITIONS for kind in DATA_FRAMES | {FrameType.HEARTBEAT, FrameType.DIRECTED})


@pytest.mark.parametrize(
    ("kind", "states"),
    [
        (FrameType.HELLO, {State.GREETING}),
        (FrameType.VECTOR, {State.COMPARING}),
        (FrameType.END_OF_BURST, {State.BURSTING, State.CONFIRMED}),
        (FrameType.CLOSE, set(PHASES) - {State.CONNECTING, State.SECURING}),
    ],
)
def test_what_may_be_said_once_or_at_any_time(kind: FrameType, states: set[State]) -> None:
    assert {state for state, event in TRANSITIONS if event is kind} == states


# ---------------------------------------------------------------- as people are told


def test_the_words_for_people() -> None:
    words = {state: state.shown for state in State}
    finer = {State.GREETING: "comparing", State.HEARD: "bursting", State.CONFIRMED: "bursting"}
    assert words == {state: finer.get(state, state.value) for state in State}


def test_both_ends_of_a_link_go_through_the_states_in_order() -> None:
    link = Link(node("leaf"), node("hub", forwards=True))
    settle(link)
    for end in link.ends:
        entered = [notice.text for notice in end.notices() if notice.text in {state.value for state in State}]
        assert entered[:5] == ["securing", "authenticating", "greeting", "comparing", "bursting"]
        assert entered[5] in ("heard", "confirmed")
        assert entered[6:] == ["synced"]
