"""Requests and answers between any two nodes of the mesh, by name: passed on by hubs, each bounded in size and time.

A message takes the way on which its target's own stream comes; a leaf that does not know one gives it to its hub. What
cannot be delivered is dropped and counted, and the node that asked is told.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final, TypeAlias

import attrs

from meshtracker.errors import MeshtrackerError
from meshtracker.link.allowance import Allowance
from meshtracker.link.session import LinkSession
from meshtracker.node.links import Links
from meshtracker.wire.link import MAX_DEADLINE_MS, MAX_DIRECTED_BYTES, MAX_HOPS, Directed, DirectedKind

MAX_PENDING: Final = 1000
"""Requests of this node that wait for an answer."""
TAKEN_PER_SECOND: Final = 100.0
"""Messages that one link may bring, over time; what is beyond is dropped."""
TAKEN_AT_ONCE: Final = 200.0

Handler: TypeAlias = Callable[[Directed, float], bytes]
"""Answers a request of one topic: the request and ``now`` to the body of the answer. Must not take long."""
OnAnswer: TypeAlias = Callable[["Answer", float], None]


class UndeliverableError(MeshtrackerError):
    """A request that cannot be sent: there is no way to its target, or too much waits."""


@attrs.frozen(kw_only=True)
class Answer:
    """What came of a request."""

    target: str
    body: bytes
    problem: str = ""
    """Why there is no answer; empty if there is one."""


@attrs.frozen(kw_only=True)
class DirectedStatistics:
    """Directed messages since the start."""

    requests: int
    """Of this node."""
    answered: int
    """Of others, by this node."""
    passed_on: int
    dropped: int
    """Undeliverable, too many, or too late."""


@attrs.define
class _Pending:
    target: str
    until: float
    on_answer: OnAnswer


def _ping(request: Directed, now: float) -> bytes:  # noqa: ARG001  # as every handler is called
    return request.body


class DirectedMessages:
    """Those of one node."""

    def __init__(self, name: str, links: Links, rng: random.Random) -> None:
        self.handlers: dict[str, Handler] = {"ping": _ping}
        """By topic. Every node answers "ping" with what it was sent."""
        self._name = name
        self._links = links
        self._rng = rng
        self._pending: dict[int, _Pending] = {}
        self._allowances: dict[LinkSession, Allowance] = {}
        self._requests = self._answered = self._passed_on = self._dropped = 0
        links.on_directed = self.deliver

    def request(
        self, target: str, topic: str, body: bytes, now: float, *, deadline_seconds: float, on_answer: OnAnswer
    ) -> None:
        """Ask another node; ``on_answer`` is called once, at the latest at the deadline.

        Raises `UndeliverableError`.
        """
        if len(body) > MAX_DIRECTED_BYTES or len(self._pending) >= MAX_PENDING:
            raise UndeliverableError("the request is too large, or too many wait for their answers")
        number = self._rng.getrandbits(62)
        deadline_ms = min(MAX_DEADLINE_MS, max(1, int(deadline_seconds * 1000)))
        message = Directed(
            kind=DirectedKind.REQUEST,
            source=self._name,
            target=target,
            number=number,
            topic=topic,
            deadline_ms=deadline_ms,
            hops=MAX_HOPS,
            body=body,
        )
        self._pending[number] = _Pending(target, now + deadline_ms / 1000, on_answer)
        self._requests += 1
        if target == self._name:
            self._answer(message, now)
        elif not self._send(message, None, now):
            del self._pending[number]
            raise UndeliverableError(f"there is no way to {target}")

    def deliver(self, session: LinkSession, message: Directed, now: float) -> None:
        """A message has come over a link: it is for this node, or to be passed on."""
        allowance = self._allowances.get(session)
        if allowance is None:
            live = self._links.synced()
            self._allowances = {one: kept for one, kept in self._allowances.items() if one in live}
            allowance = Allowance(per_second=TAKEN_PER_SECOND, most=TAKEN_AT_ONCE, now=now)
            self._allowances[session] = allowance
        if not allowance.take(1, now):
            self._dropped += 1
            return
        if message.target == self._name:
            if message.kind is DirectedKind.REQUEST:
                self._answer(message, now)
            else:
                self._answered_by(message, now)
        elif self._send(attrs.evolve(message, hops=max(0, message.hops - 1)), session, now):
            self._passed_on += 1
        else:
            self._dropped += 1
            self._tell_undeliverable(message, now)

    def _send(self, message: Directed, came_over: LinkSession | None, now: float) -> bool:
        """Give it to the next node on its way; False if there is none, or if it would go back."""
        way = self._links.way_to(message.target)
        if way is None or way is came_over or not message.hops:
            return False
        if not way.send_directed(message, now):
            return False
        self._links.on_command()
        return True

    def _answer(self, request: Directed, now: float) -> None:
        handler = self.handlers.get(request.topic)
        if handler is None:
            self._reply(request, DirectedKind.UNDELIVERABLE, b"it does not know that topic", now)
            return
        self._answered += 1
        self._reply(request, DirectedKind.ANSWER, handler(request, now)[:MAX_DIRECTED_BYTES], now)

    def _reply(self, request: Directed, kind: DirectedKind, body: bytes, now: float) -> None:
        answer = attrs.evolve(request, kind=kind, source=self._name, target=request.source, hops=MAX_HOPS, body=body)
        if request.source == self._name:
            self._answered_by(answer, now)
        elif not self._send(answer, None, now):
            self._dropped += 1

    def _tell_undeliverable(self, message: Directed, now: float) -> None:
        # Of an answer that is lost nobody is told: who asked sees the deadline.
        if message.kind is DirectedKind.REQUEST:
            self._reply(message, DirectedKind.UNDELIVERABLE, f"{self._name} knows no way to it".encode(), now)

    def _answered_by(self, answer: Directed, now: float) -> None:
        pending = self._pending.get(answer.number)
        if pending is None:
            self._dropped += 1
            return
        del self._pending[answer.number]
        problem = ""
        if answer.kind is DirectedKind.UNDELIVERABLE:
            problem = answer.body[:200].decode("utf-8", "replace")
        pending.on_answer(Answer(target=pending.target, body=answer.body, problem=problem), now)

    def expire(self, now: float) -> None:
        """Tell those who asked and got no answer in time."""
        for number, pending in list(self._pending.items()):
            if now >= pending.until:
                del self._pending[number]
                pending.on_answer(Answer(target=pending.target, body=b"", problem="no answer in time"), now)

    def statistics(self) -> DirectedStatistics:
        """A frozen snapshot of the figures."""
        return DirectedStatistics(
            requests=self._requests,
            answered=self._answered,
            passed_on=self._passed_on,
            dropped=self._dropped + self._links.late_directed(),
        )
