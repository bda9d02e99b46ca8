"""Is a link that is up also carrying data? The rules of a soft-split, as pure functions of figures and time.

    rule       the figure                                           since
    applier    frames have come that are not applied                the last one applied, or the first to come
    silent     nothing at all has come                              the last byte that came
    decoder    part of a frame is waiting for the rest              its first byte
    inbound    the peer has, or says it sent, what has not come     the last data frame that came
    outbound   data frames were sent, and the peer confirms none    its last confirmation, or the first of them

A rule is broken once its figure has stood for ``after_seconds``. No traffic is not a soft-split: a node whose own
stream is idle sends an empty batch with each heartbeat, so the data path always has something to prove itself with.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

import attrs

NEVER = float("inf")
_NAME = "soft-split"

Rule: TypeAlias = Literal["silent", "applier", "decoder", "inbound", "outbound"]


@attrs.define
class Progress:
    """What has passed over one connection, and since when something is owed. Times are monotonic seconds."""

    heard_at: float
    """The last byte."""
    sent_frames: int = 0
    """Data frames written to the socket."""
    confirmed_frames: int = 0
    """Of those, what the peer's last heartbeat says it has applied."""
    unconfirmed_since: float = NEVER
    received_frames: int = 0
    """Data frames that have come whole."""
    applied_frames: int = 0
    """Data frames applied."""
    data_at: float = 0.0
    """The last data frame that came, or the last time that none was due."""
    owed: int = 0
    """Batches and frames that the peer's last heartbeat spoke of and that had not come."""
    lost_frames: int = 0
    """Data frames that the peer wrote before its last heartbeat and that did not come before it: they never will."""
    partial_bytes: int = 0
    """Of a frame that has not come whole."""
    partial_since: float = NEVER
    looked_at: float = 0.0
    """When this node last looked."""
    away_seconds: float = 0.0
    """The longest that it was away: heartbeats may have waited for it so long."""
    waiting_frames: int = 0
    """Frames that have come whole and are not applied."""
    waiting_since: float = NEVER

    def sent(self, now: float) -> None:
        """A data frame was written."""
        if self.sent_frames == self.confirmed_frames:
            self.unconfirmed_since = now
        self.sent_frames += 1

    def confirmed(self, frames: int, now: float) -> None:
        """The peer has applied so many data frames of this connection."""
        if frames > self.confirmed_frames:
            self.confirmed_frames = frames
            self.unconfirmed_since = now if frames < self.sent_frames else NEVER

    def read(self, partial_bytes: int, *, frames: int, data_frames: int, now: float) -> None:
        """Bytes have come: ``frames`` of them whole, ``data_frames`` among those, and part of another."""
        self.heard_at = now
        if not partial_bytes:
            self.partial_since = NEVER
        elif frames or not self.partial_bytes:
            self.partial_since = now
        self.partial_bytes = partial_bytes
        if frames and not self.waiting_frames:
            self.waiting_since = now
        self.waiting_frames += frames
        if data_frames:
            self.received_frames += data_frames
            if not self.lost_frames:
                self.data_at = now

    def applied(self, now: float, *, is_data: bool) -> None:
        """A waiting frame was applied."""
        self.waiting_frames -= 1
        self.waiting_since = now if self.waiting_frames else NEVER
        self.applied_frames += is_data

    def owes(self, owed: int, now: float, *, sent_frames: int) -> None:
        """What the peer's heartbeat says is missing here.

        ``sent_frames``: the data frames that it had written before the heartbeat. Bytes keep their order, so all of
        them should have come, and whatever comes later makes up for none.
        """
        self.lost_frames = max(0, sent_frames - self.received_frames)
        self.owed = max(self.lost_frames, owed)
        if not self.owed:
            self.data_at = now

    def looked(self, now: float, due_seconds: float) -> None:
        """This node is there; it looks every ``due_seconds`` unless something holds it up."""
        self.away_seconds = max(self.away_seconds, now - self.looked_at - due_seconds)
        self.looked_at = now

    def forgive(self, seconds: float, now: float) -> None:
        """This node itself was away (stopped, or too busy to look): that time is nobody's silence."""
        for name in ("heard_at", "unconfirmed_since", "data_at", "partial_since", "waiting_since"):
            since = getattr(self, name)
            if since != NEVER:
                setattr(self, name, min(since + seconds, now))


@attrs.frozen
class Verdict:
    """A rule that is broken."""

    rule: Rule
    seconds: float
    """How long the figure has stood."""
    text: str
    """The figures, for the operator."""

    def __str__(self) -> str:
        return f"{_NAME} ({self.rule}): {self.text}"


def silent(progress: Progress, now: float) -> Verdict:
    """Nothing at all comes: a stopped process, a firewall, a cable."""
    seconds = now - progress.heard_at
    return Verdict("silent", seconds, f"nothing heard for {seconds:.1f} s")


def applier(progress: Progress, now: float) -> Verdict:
    """What has come is not applied: this node's own fault."""
    seconds = now - progress.waiting_since
    return Verdict("applier", seconds, f"{_count(progress.waiting_frames, 'frame')} not applied for {seconds:.1f} s")


def decoder(progress: Progress, now: float) -> Verdict:
    """A frame was begun and not ended."""
    seconds = now - progress.partial_since
    text = f"part of a frame ({_count(progress.partial_bytes, 'byte')}) waiting for {seconds:.1f} s for the rest"
    return Verdict("decoder", seconds, text)


def inbound(progress: Progress, now: float) -> Verdict:
    """The peer is ahead, and nothing of that comes, or not all."""
    seconds = now - progress.data_at
    if progress.lost_frames:
        text = f"{_count(progress.lost_frames, 'data frame')} of the peer lost on the way {seconds:.1f} s ago"
    else:
        text = f"the peer is ahead by {progress.owed}, and no data has come for {seconds:.1f} s"
    return Verdict("inbound", seconds, text)


def outbound(progress: Progress, now: float) -> Verdict:
    """What is sent does not arrive."""
    seconds = now - progress.unconfirmed_since
    frames = _count(progress.sent_frames - progress.confirmed_frames, "data frame")
    return Verdict("outbound", seconds, f"{frames} sent and none confirmed for {seconds:.1f} s")


_RULES: tuple[tuple[Callable[[Progress], float], Callable[[Progress, float], Verdict]], ...] = (
    # A reader that waits for the applier hears nothing more, and that is not the peer's fault.
    (lambda progress: progress.waiting_since, applier),
    (lambda progress: progress.heard_at, silent),
    (lambda progress: progress.partial_since, decoder),
    (lambda progress: progress.data_at if progress.owed else NEVER, inbound),
    (lambda progress: progress.unconfirmed_since, outbound),
)
"""Since when each figure stands, and its rule; where several are broken the first says most about the cause."""


def judge(progress: Progress, now: float, after_seconds: float) -> Verdict | None:
    """The first rule that is broken; None while data flows, or none is owed."""
    for since, rule in _RULES:
        # As `next_look` computes it: a sum may round to another side than a difference.
        if since(progress) + after_seconds <= now:
            return rule(progress, now)
    return None


def next_look(progress: Progress, after_seconds: float) -> float:
    """When a rule could be broken next, if nothing moves until then."""
    return min(since(progress) for since, _ in _RULES) + after_seconds


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
