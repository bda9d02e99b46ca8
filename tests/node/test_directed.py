"""Requests and answers between nodes by name, over real links in virtual time."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtracker.link.outgoing import MAX_DIRECTED
from meshtracker.node.directed import MAX_PENDING, TAKEN_AT_ONCE, TAKEN_PER_SECOND, Answer, UndeliverableError
from meshtracker.node.node import Node
from meshtracker.wire.link import MAX_DEADLINE_MS, MAX_DIRECTED_BYTES, MAX_HOPS, Directed, DirectedKind
from tests.mouth_to_mouth import NOW, Link, live, node, settle, swallow_all, synced


class Asker:
    """What a node was answered, in order."""

    def __init__(self, owner: Node) -> None:
        self.owner = owner
        self.answers: list[Answer] = []

    def ask(
        self, target: str, body: bytes = b"?", *, topic: str = "ping", now: float = NOW, deadline_seconds: float = 5.0
    ) -> None:
        self.owner.directed.request(
            target,
            topic,
            body,
            now,
            deadline_seconds=deadline_seconds,
            on_answer=lambda answer, _: self.answers.append(answer),
        )


def star() -> tuple[Node, Node, Node, Link, Link]:
    """A hub and two leaves; the hub has heard both."""
    hub, a, b = node("hub", forwards=True), node("a"), node("b")
    to_a, to_b = synced(a, hub), synced(b, hub)
    live((to_a, to_b), (hub, a, b), NOW - 10, 10)
    return hub, a, b, to_a, to_b


def figures(owner: Node) -> tuple[int, int, int, int]:
    """Requests, answered, passed on, dropped."""
    said = owner.directed.statistics()
    return said.requests, said.answered, said.passed_on, said.dropped


def request(number: int = 1, **fields: object) -> Directed:
    made = Directed(
        kind=DirectedKind.REQUEST,
        source="a",
        target="b",
        number=number,
        topic="ping",
        deadline_ms=1000,
        hops=MAX_HOPS,
        body=b"?",
    )
    return attrs.evolve(made, **fields)  # type: ignore[arg-type]


def test_a_leaf_asks_another_through_their_hub() -> None:
    hub, a, b, *links = star()
    asker = Asker(a)
    asker.ask("b", b"how are you")
    assert asker.answers == []
    settle(*links)
    assert asker.answers == [Answer(target="b", body=b"how are you")]
    assert (figures(a), figures(hub), figures(b)) == ((1, 0, 0, 0), (0, 0, 2, 0), (0, 1, 0, 0))
    assert a.statistics(NOW).directed == a.directed.statistics()


@pytest.mark.parametrize(("asked", "other"), [("hub", "a"), ("a", "hub")])
def test_both_ends_of_a_link_ask_each_other(asked: str, other: str) -> None:
    hub, a, _, *links = star()
    asker = Asker({"hub": hub, "a": a}[other])
    asker.ask(asked)
    settle(*links)
    assert asker.answers == [Answer(target=asked, body=b"?")]


def test_a_node_asks_itself() -> None:
    asker = Asker(node("alone"))
    asker.ask("alone", b"echo")
    assert asker.answers == [Answer(target="alone", body=b"echo")]
    assert figures(asker.owner) == (1, 1, 0, 0)


def test_a_handler_of_its_own_answers_what_a_node_is_asked() -> None:
    _, a, b, *links = star()
    heard: list[tuple[str, bytes, float]] = []

    def upper(message: Directed, now: float) -> bytes:
        heard.append((message.source, message.body, now))
        return message.body.upper() * 3000

    b.directed.handlers["upper"] = upper
    asker = Asker(a)
    asker.ask("b", b"loud!", topic="upper")
    asker.ask("b", topic="lower")
    settle(*links)
    assert heard == [("a", b"loud!", NOW)]
    [answer, refusal] = asker.answers
    assert len(answer.body) == 5 * 3000
    assert (refusal.problem, figures(b)) == ("it does not know that topic", (0, 1, 0, 0))
    # What a handler says is cut to what a frame may hold.
    b.directed.handlers["upper"] = lambda message, _: message.body * 100_000
    asker.ask("b", topic="upper")
    settle(*links)
    assert len(asker.answers[-1].body) == MAX_DIRECTED_BYTES


def test_messages_find_their_way_over_several_hubs() -> None:
    """By the way on which the target's own stream comes."""
    one, two, three = (node(f"hub-{number}", forwards=True) for number in (1, 2, 3))
    a, b = node("a"), node("b")
    links = [synced(a, one), synced(one, two), synced(two, three), synced(b, three)]
    live(links, (one, two, three, a, b), NOW - 10, 10)
    asker = Asker(a)
    asker.ask("b")
    settle(*links)
    assert asker.answers == [Answer(target="b", body=b"?")]
    assert [figures(hub)[2] for hub in (one, two, three)] == [2, 2, 2]


def test_a_node_without_links_has_no_way_to_anybody() -> None:
    asker = Asker(node("alone"))
    with pytest.raises(UndeliverableError, match="there is no way to b"):
        asker.ask("b")
    asker.owner.flush(NOW + 100)
    assert asker.answers == []


def test_a_leaf_is_told_by_its_hub_that_there_is_no_such_node() -> None:
    hub, a, _, *links = star()
    asker = Asker(a)
    asker.ask("nobody")
    settle(*links)
    assert [(answer.target, answer.problem) for answer in asker.answers] == [("nobody", "hub knows no way to it")]
    assert figures(hub) == (0, 0, 0, 1)


def test_a_node_that_has_gone_is_no_longer_on_the_way() -> None:
    _, a, _, to_a, to_b = star()
    to_b.cut()
    asker = Asker(a)
    asker.ask("b")
    settle(to_a)
    assert [answer.problem for answer in asker.answers] == ["hub knows no way to it"]


def test_who_gets_no_answer_is_told_at_the_deadline_and_once() -> None:
    _, a, _, to_a, to_b = star()
    to_b.wires[to_b.hub] = swallow_all
    asker = Asker(a)
    asker.ask("b", deadline_seconds=2.0)
    settle(to_a, to_b)
    a.directed.expire(NOW + 1.9)
    assert asker.answers == []
    a.flush(NOW + 2.0)
    a.flush(NOW + 3.0)
    assert asker.answers == [Answer(target="b", body=b"", problem="no answer in time")]


def test_an_answer_that_comes_late_is_dropped() -> None:
    _, a, _, to_a, to_b = star()
    asker = Asker(a)
    asker.ask("b", deadline_seconds=2.0)
    a.directed.expire(NOW + 2.0)
    settle(to_a, to_b)
    assert len(asker.answers) == 1
    assert figures(a) == (1, 0, 0, 1)


def test_a_message_that_nobody_waits_for_any_more_is_not_sent() -> None:
    _, a, b, to_a, to_b = star()
    asker = Asker(a)
    asker.ask("b", deadline_seconds=2.0)
    settle(to_a, to_b, now=NOW + 2.0)
    assert figures(b) == (0, 0, 0, 0)


def test_messages_that_come_too_late_on_their_way_are_counted() -> None:
    hub, a, _, to_a, to_b = star()
    Asker(a).ask("b", deadline_seconds=2.0)
    settle(to_a)
    settle(to_b, now=NOW + 2.0)
    assert figures(hub)[3] == 1


def test_a_deadline_is_bounded() -> None:
    _, a, _, *_ = star()
    asker = Asker(a)
    asker.ask("b", deadline_seconds=1e9)
    a.directed.expire(NOW + MAX_DEADLINE_MS / 1000)
    assert [answer.problem for answer in asker.answers] == ["no answer in time"]


def test_what_is_too_large_or_too_much_is_refused_at_once() -> None:
    _, a, _, to_a, to_b = star()
    asker = Asker(a)
    with pytest.raises(UndeliverableError, match="too large"):
        asker.ask("b", bytes(MAX_DIRECTED_BYTES + 1))
    asker.ask("b", bytes(MAX_DIRECTED_BYTES))
    settle(to_a, to_b)
    assert len(asker.answers[0].body) == MAX_DIRECTED_BYTES
    # A hub that swallows all that it is told: requests wait until so many do.
    to_a.wires[to_a.leaf] = swallow_all
    for _ in range(MAX_PENDING):
        asker.ask("b")
        settle(to_a)
    with pytest.raises(UndeliverableError, match="too many wait"):
        asker.ask("b")
    a.directed.expire(NOW + 5)
    asker.ask("b", now=NOW + 5)


def test_what_a_link_cannot_take_is_refused_and_does_not_wait() -> None:
    """The hub reads nothing."""
    _, a, _, *_ = star()
    asker = Asker(a)
    for _ in range(MAX_DIRECTED):
        asker.ask("b")
    with pytest.raises(UndeliverableError, match="there is no way to b"):
        asker.ask("b")
    a.directed.expire(NOW + 100)
    assert len(asker.answers) == MAX_DIRECTED


def test_a_link_that_brings_too_many_is_heard_out_slowly() -> None:
    hub, _, _, to_a, to_b = star()
    for number in range(int(TAKEN_AT_ONCE) + 50):
        hub.directed.deliver(to_a.hub, request(number, target="hub"), NOW)
        settle(to_a)
    assert figures(hub) == (0, TAKEN_AT_ONCE, 0, 50)
    # The other link has an allowance of its own.
    hub.directed.deliver(to_b.hub, request(target="hub", source="b"), NOW)
    assert figures(hub) == (0, TAKEN_AT_ONCE + 1, 0, 50)
    for number in range(int(TAKEN_PER_SECOND) + 10):
        hub.directed.deliver(to_a.hub, request(number, target="hub"), NOW + 1)
        settle(to_a, now=NOW + 1)
    assert figures(hub) == (0, TAKEN_AT_ONCE + 1 + TAKEN_PER_SECOND, 0, 60)


def test_a_message_that_has_passed_too_many_links_goes_no_further() -> None:
    hub, a, _, to_a, to_b = star()
    for hops in (0, 1):
        hub.directed.deliver(to_a.hub, request(hops=hops), NOW)
    assert figures(hub) == (0, 0, 0, 2)
    hub.directed.deliver(to_a.hub, request(hops=2), NOW)
    settle(to_a, to_b)
    assert figures(hub)[2] == 2
    # Of those lost its node is told, which did not ask.
    assert figures(a)[3] == 3


def test_a_message_never_goes_back_the_way_it_came() -> None:
    hub, a, _, to_a, to_b = star()
    hub.directed.deliver(to_b.hub, request(source="b", target="b"), NOW)
    assert figures(hub)[2:] == (0, 1)
    # A leaf passes nothing on, for its only way is the one by which it came.
    a.directed.deliver(to_a.leaf, request(source="hub", target="b"), NOW)
    assert figures(a)[2:] == (0, 1)


def test_of_an_answer_that_is_lost_nobody_is_told() -> None:
    hub, a, _, to_a, to_b = star()
    for kind in (DirectedKind.ANSWER, DirectedKind.UNDELIVERABLE):
        hub.directed.deliver(to_b.hub, request(kind=kind, source="b", target="nobody"), NOW)
    settle(to_a, to_b)
    assert figures(hub) == (0, 0, 0, 2)
    assert figures(a) == (0, 0, 0, 0)


_NAMES = st.sampled_from(("a", "b", "hub", "nobody"))


@given(
    st.lists(
        st.builds(
            Directed,
            kind=st.sampled_from(DirectedKind),
            source=_NAMES,
            target=_NAMES,
            number=st.integers(0, 3),
            topic=st.sampled_from(("ping", "other")),
            deadline_ms=st.integers(0, MAX_DEADLINE_MS),
            hops=st.integers(0, MAX_HOPS),
            body=st.binary(max_size=300),
        ),
        max_size=20,
    )
)
def test_whatever_a_link_brings_is_answered_passed_on_or_dropped(messages: list[Directed]) -> None:
    hub, a, b, to_a, to_b = star()
    for message in messages:
        to_a.leaf.send_directed(message, NOW)
        settle(to_a, to_b)
    said = [owner.directed.statistics() for owner in (hub, a, b)]
    assert all(one.requests == 0 for one in said)
    assert sum(one.answered + one.passed_on + one.dropped for one in said) <= 4 * len(messages)
    assert len(hub.links.synced()) == 2
