"""What a session has to say besides data: its order and its bounds."""

from __future__ import annotations

import pytest

from meshtracker.errors import CloseCode, LinkError
from meshtracker.link.outgoing import MAX_CONTROL_BYTES, MAX_DIRECTED, MAX_DIRECTED_BYTES, Outgoing
from meshtracker.wire import link as wire
from meshtracker.wire.link import Directed, DirectedKind, decode
from meshtracker.wire.vector import MAX_NAME_BYTES, MAX_STREAMS, Position, StreamId
from tests.mouth_to_mouth import NOW, frames


def message_of(number: int = 1, *, body: bytes = b"hello", deadline_ms: int = 5000) -> Directed:
    return Directed(
        kind=DirectedKind.REQUEST,
        source="leaf",
        target="hub",
        number=number,
        topic="ping",
        deadline_ms=deadline_ms,
        hops=3,
        body=body,
    )


def taken(outgoing: Outgoing, now: float = NOW) -> Directed | None:
    data = outgoing.take_directed(now)
    if not data:
        return None
    [(kind, payload)] = frames(data)
    message = decode(kind, payload)
    assert isinstance(message, Directed)
    return message


# ---------------------------------------------------------------- control frames


def test_control_frames_go_in_their_order_and_once() -> None:
    outgoing = Outgoing()
    assert outgoing.take() == b""
    outgoing.put(b"one", b"two")
    outgoing.put(b"three")
    assert outgoing.waiting_bytes == 11
    assert outgoing.take() == b"onetwothree"
    assert outgoing.take() == b""
    assert outgoing.waiting_bytes == 0


def test_control_frames_are_bounded() -> None:
    outgoing = Outgoing()
    half = bytes(MAX_CONTROL_BYTES // 2)
    outgoing.put(half, half)
    with pytest.raises(LinkError, match=f"more than {MAX_CONTROL_BYTES} bytes wait for a node that does not") as caught:
        outgoing.put(b"x")
    assert caught.value.code is CloseCode.OTHER
    assert not caught.value.code.is_breach
    # What was written makes room.
    outgoing.take()
    outgoing.put(half, half)


def test_a_vector_and_an_access_list_of_the_largest_fit_twice() -> None:
    outgoing = Outgoing()
    vector = {StreamId("n" * MAX_NAME_BYTES, number): Position(1, 1) for number in range(MAX_STREAMS)}
    for _ in range(2):
        outgoing.put(*wire.encode_knowledge(vector, everything=False))
        outgoing.put(*wire.encode_interest(wire.Interest.TRACK, [bytes(20)] * wire.MAX_INTEREST))


def test_last_words_come_after_what_waits_and_directed_messages_are_dropped() -> None:
    outgoing = Outgoing()
    outgoing.put(b"one")
    assert outgoing.put_directed(message_of(), NOW)
    outgoing.last_words(b"goodbye")
    assert outgoing.take() == b"onegoodbye"
    assert taken(outgoing) is None


def test_last_words_are_said_however_much_waits() -> None:
    outgoing = Outgoing()
    outgoing.put(bytes(MAX_CONTROL_BYTES))
    outgoing.last_words(b"goodbye")
    assert outgoing.take().endswith(b"goodbye")


def test_nothing_waits_after_the_last_words_were_said() -> None:
    outgoing = Outgoing()
    outgoing.put_directed(message_of(), NOW)
    outgoing.last_words(b"goodbye")
    outgoing.take()
    assert outgoing.waiting_bytes == 0


# ---------------------------------------------------------------- directed messages


def test_directed_messages_go_one_at_a_time_in_their_order() -> None:
    outgoing = Outgoing()
    for number in range(3):
        assert outgoing.put_directed(message_of(number), NOW)
    assert outgoing.waiting_bytes == 3 * len(b"hello")
    assert outgoing.take() == b""
    assert [taken(outgoing) for _ in range(4)] == [message_of(number) for number in range(3)] + [None]
    assert outgoing.waiting_bytes == 0


def test_time_that_a_message_waits_is_taken_from_its_deadline() -> None:
    outgoing = Outgoing()
    outgoing.put_directed(message_of(deadline_ms=5000), NOW)
    assert taken(outgoing, NOW + 1.5) == message_of(deadline_ms=3500)


@pytest.mark.parametrize("late_seconds", [5.0, 3600.0])
def test_a_message_that_nobody_waits_for_is_not_sent(late_seconds: float) -> None:
    outgoing = Outgoing()
    outgoing.put_directed(message_of(1, deadline_ms=5000), NOW)
    outgoing.put_directed(message_of(2, deadline_ms=5000), NOW + late_seconds)
    assert taken(outgoing, NOW + late_seconds) == message_of(2, deadline_ms=5000)
    assert outgoing.waiting_bytes == 0


def test_directed_messages_are_bounded_in_number() -> None:
    outgoing = Outgoing()
    for number in range(MAX_DIRECTED):
        assert outgoing.put_directed(message_of(number, body=b""), NOW)
    assert not outgoing.put_directed(message_of(99, body=b""), NOW)
    assert taken(outgoing) == message_of(0, body=b"")
    assert outgoing.put_directed(message_of(99, body=b""), NOW)


def test_directed_messages_are_bounded_in_bytes() -> None:
    outgoing = Outgoing()
    body = bytes(wire.MAX_DIRECTED_BYTES)
    fitting = MAX_DIRECTED_BYTES // len(body)
    assert fitting < MAX_DIRECTED
    for number in range(fitting):
        assert outgoing.put_directed(message_of(number, body=body), NOW)
    assert not outgoing.put_directed(message_of(99, body=b"x"), NOW)
    assert outgoing.put_directed(message_of(99, body=b""), NOW)
    assert outgoing.waiting_bytes == MAX_DIRECTED_BYTES
    # One that is too late makes room as well.
    outgoing.take_directed(NOW + 3600)
    assert outgoing.put_directed(message_of(99, body=body), NOW)
