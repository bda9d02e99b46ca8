"""The rules of a soft-split: worked numbers for each, to the float, in both directions."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtracker.link.split import (
    NEVER,
    Progress,
    Rule,
    Verdict,
    applier,
    decoder,
    inbound,
    judge,
    next_look,
    outbound,
    silent,
)

AFTER = 15.0
LATE = 1e9
"""So late that no other rule has anything to say: the last byte came then."""


def fine(**fields: float) -> Progress:
    """A connection over which bytes come, and nothing is owed but what ``fields`` say."""
    return Progress(**{"heard_at": LATE, "data_at": LATE, **fields})  # type: ignore[arg-type]


def sent_and_not_confirmed() -> Progress:
    """Three data frames written at 90, 100 and 104; the first is confirmed at 100, then no more."""
    progress = fine()
    for now in (90.0, 100.0):
        progress.sent(now)
    progress.confirmed(1, 100.0)
    progress.sent(104.0)
    return progress


def never_confirmed() -> Progress:
    """Written at 100 and 110, and none of it confirmed ever; a heartbeat that confirms nothing new changes nothing."""
    progress = fine()
    progress.sent(100.0)
    progress.confirmed(0, 105.0)
    progress.sent(110.0)
    return progress


def owed_and_not_come() -> Progress:
    """The last data at 100; a heartbeat at 103 says that four batches are known over there."""
    progress = fine()
    progress.read(0, frames=1, data_frames=1, now=100.0)
    progress.applied(100.0, is_data=True)
    progress.owes(4, 103.0, sent_frames=1)
    progress.owes(5, 108.0, sent_frames=1)
    progress.heard_at = LATE
    return progress


def lost_on_the_way() -> Progress:
    """All was well at 100; at 105 the peer says that it has sent two frames more. What comes then does not help."""
    progress = fine()
    progress.owes(0, 100.0, sent_frames=0)
    progress.owes(0, 105.0, sent_frames=2)
    progress.read(0, frames=1, data_frames=1, now=106.0)
    progress.applied(106.0, is_data=True)
    progress.owes(0, 110.0, sent_frames=3)
    progress.heard_at = LATE
    return progress


def half_a_frame() -> Progress:
    """Its first 7 bytes came at 100, one more a second since."""
    progress = fine()
    progress.read(7, frames=1, data_frames=0, now=100.0)
    progress.applied(100.0, is_data=False)
    for second in range(1, 6):
        progress.read(7 + second, frames=0, data_frames=0, now=100.0 + second)
    progress.heard_at = LATE
    return progress


def taken_in_and_not_applied() -> Progress:
    """Three frames came at 98, one was applied at 100; another came at 109."""
    progress = fine()
    progress.read(0, frames=3, data_frames=2, now=98.0)
    progress.applied(100.0, is_data=True)
    progress.read(0, frames=1, data_frames=1, now=109.0)
    progress.heard_at = progress.data_at = LATE
    return progress


CASES = [
    pytest.param(Progress(heard_at=100.0, data_at=LATE), "silent", "nothing heard for 15.0 s", id="silent"),
    pytest.param(taken_in_and_not_applied(), "applier", "3 frames not applied for 15.0 s", id="applier"),
    pytest.param(half_a_frame(), "decoder", "part of a frame (12 bytes) waiting for 15.0 s for the rest", id="decoder"),
    pytest.param(
        owed_and_not_come(), "inbound", "the peer is ahead by 5, and no data has come for 15.0 s", id="inbound"
    ),
    pytest.param(
        lost_on_the_way(), "inbound", "2 data frames of the peer lost on the way 15.0 s ago", id="inbound, lost"
    ),
    pytest.param(
        sent_and_not_confirmed(), "outbound", "2 data frames sent and none confirmed for 15.0 s", id="outbound"
    ),
    pytest.param(
        never_confirmed(), "outbound", "2 data frames sent and none confirmed for 15.0 s", id="outbound from the start"
    ),
]
"""In each, the figure stands since 100."""


@pytest.mark.parametrize(("progress", "rule", "text"), CASES)
def test_a_rule_is_broken_at_its_time_and_not_before(progress: Progress, rule: Rule, text: str) -> None:
    assert next_look(progress, AFTER) == 115.0
    assert judge(progress, math.nextafter(115.0, 0.0), AFTER) is None
    assert judge(progress, 115.0, AFTER) == Verdict(rule, 15.0, text)
    after = judge(progress, math.nextafter(115.0, LATE), AFTER)
    assert after is not None
    assert (after.rule, str(after)) == (rule, f"soft-split ({rule}): {text}")
    much_later = judge(progress, 161.26, AFTER)
    assert much_later is not None
    assert much_later.seconds == pytest.approx(61.26)
    assert "61.3 s" in much_later.text


@pytest.mark.parametrize("since", [0.0, 0.1, 0.7, 1e-9, 12345.678901, 1e9 + 0.3])
@pytest.mark.parametrize("after_seconds", [0.1, 3.3, 15.0])
def test_sums_that_round_are_no_trouble(since: float, after_seconds: float) -> None:
    """Or a timer would be woken at `next_look` again and again and find nothing."""
    progress = Progress(heard_at=since)
    at = next_look(progress, after_seconds)
    assert judge(progress, at, after_seconds) is not None
    assert judge(progress, math.nextafter(at, -1.0), after_seconds) is None


# ---------------------------------------------------------------- what is no soft-split


def test_no_traffic_is_no_soft_split() -> None:
    progress = Progress(heard_at=0.0)
    for now in range(0, 3600, 5):
        progress.read(0, frames=1, data_frames=0, now=float(now))
        progress.applied(float(now), is_data=False)
        progress.owes(0, float(now), sent_frames=0)
        assert judge(progress, now + 4.9, AFTER) is None


def test_whoever_is_slow_but_moves_is_let_be() -> None:
    """A hundred frames are under way all the time, and one is confirmed, comes and is applied every 14 s."""
    progress = Progress(heard_at=0.0)
    for _ in range(100):
        progress.sent(0.0)
    progress.read(5, frames=100, data_frames=100, now=0.0)
    for step in range(1, 60):
        now = 14.0 * step
        progress.sent(now)
        progress.confirmed(step, now)
        progress.read(5, frames=1, data_frames=1, now=now)
        progress.owes(100, now, sent_frames=100 + step)
        progress.applied(now, is_data=True)
        assert judge(progress, now + 14.9, AFTER) is None
    assert judge(progress, 14.0 * 59 + 15, AFTER) is not None


def test_all_confirmed_is_nothing_owed() -> None:
    progress = sent_and_not_confirmed()
    progress.confirmed(3, 114.0)
    assert progress.unconfirmed_since == NEVER
    assert judge(progress, LATE, AFTER) is None
    progress.sent(200.0)
    assert progress.unconfirmed_since == 200.0


def test_a_confirmation_never_goes_back() -> None:
    progress = sent_and_not_confirmed()
    progress.confirmed(0, 110.0)
    assert (progress.confirmed_frames, progress.unconfirmed_since) == (1, 100.0)


def test_only_the_time_since_the_last_heartbeat_that_owed_nothing_counts() -> None:
    progress = owed_and_not_come()
    progress.owes(0, 114.0, sent_frames=1)
    progress.owes(9, 120.0, sent_frames=1)
    progress.owes(9, 125.0, sent_frames=1)
    assert next_look(progress, AFTER) == 114.0 + AFTER


def test_what_has_come_is_no_longer_owed() -> None:
    progress = owed_and_not_come()
    progress.owes(0, 114.0, sent_frames=1)
    assert judge(progress, LATE, AFTER) is None


def test_a_frame_that_was_ended_begins_the_count_anew() -> None:
    progress = half_a_frame()
    progress.read(3, frames=1, data_frames=1, now=110.0)
    progress.applied(110.0, is_data=True)
    progress.heard_at = progress.data_at = LATE
    assert next_look(progress, AFTER) == 110.0 + AFTER
    progress.read(0, frames=1, data_frames=1, now=111.0)
    progress.applied(111.0, is_data=True)
    assert (progress.partial_bytes, progress.partial_since) == (0, NEVER)


def test_the_first_rule_says_most_about_the_cause() -> None:
    progress = Progress(heard_at=0.0)
    progress.sent(0.0)
    progress.read(5, frames=2, data_frames=1, now=0.0)
    progress.owes(1, 0.0, sent_frames=1)
    found = []

    def apply_all() -> None:
        while progress.waiting_frames:
            progress.applied(LATE, is_data=False)

    for heal in (
        apply_all,
        lambda: setattr(progress, "heard_at", LATE),
        lambda: setattr(progress, "partial_since", NEVER),
        lambda: progress.owes(0, LATE, sent_frames=1),
        lambda: progress.confirmed(1, LATE),
    ):
        verdict = judge(progress, 15.0, AFTER)
        assert verdict is not None
        found.append(verdict.rule)
        heal()
    assert found == ["applier", "silent", "decoder", "inbound", "outbound"]
    assert judge(progress, 15.0, AFTER) is None


@pytest.mark.parametrize(
    ("verdict", "text"),
    [
        (applier(Progress(0.0, waiting_frames=1, waiting_since=0.0), 16.0), "1 frame not applied for 16.0 s"),
        (decoder(Progress(0.0, partial_bytes=1, partial_since=0.0), 16.0), "part of a frame (1 byte) waiting"),
        (outbound(Progress(0.0, sent_frames=1, unconfirmed_since=0.0), 16.0), "1 data frame sent and none confirmed"),
        (inbound(Progress(0.0, owed=1), 16.0), "ahead by 1, and"),
        (silent(Progress(0.0), 16.0), "nothing heard for 16.0 s"),
    ],
)
def test_one_is_not_many(verdict: Verdict, text: str) -> None:
    assert text in verdict.text


# ---------------------------------------------------------------- time that this node was away


def test_what_is_forgiven() -> None:
    """Stopped for 60 s: a minute is put on every count, but none begins later than now."""
    progress = Progress(heard_at=100.0, data_at=95.0, owed=2, sent_frames=1, unconfirmed_since=80.0)
    progress.forgive(60.0, 163.0)
    assert (progress.heard_at, progress.data_at, progress.unconfirmed_since) == (160.0, 155.0, 140.0)
    assert (progress.partial_since, progress.waiting_since) == (NEVER, NEVER)
    progress.forgive(60.0, 164.0)
    assert (progress.heard_at, progress.data_at, progress.unconfirmed_since) == (164.0, 164.0, 164.0)


@pytest.mark.parametrize(("progress", "rule", "text"), CASES)
def test_forgiven_seconds_delay_each_rule_by_as_much(progress: Progress, rule: Rule, text: str) -> None:
    forgiven = Progress(**{name: getattr(progress, name) for name in Progress.__slots__ if name != "__weakref__"})
    forgiven.forgive(8.0, LATE)
    assert next_look(forgiven, AFTER) == 123.0
    verdict = judge(forgiven, 123.0, AFTER)
    assert verdict is not None
    assert (verdict.rule, verdict.text) == (rule, text)


# ---------------------------------------------------------------- any story

EVENTS = st.sampled_from(["sent", "confirm", "read", "part", "apply", "owes", "owes little", "forgive", "wait"])


@given(
    st.lists(st.tuples(EVENTS, st.integers(0, 3), st.floats(0.0, 7.0)), max_size=40),
    st.sampled_from([0.1, 5.0, 15.0, 20.3]),
)
def test_a_look_is_due_exactly_when_there_is_something_to_see(
    story: list[tuple[str, int, float]], after_seconds: float
) -> None:
    now = 0.3
    progress = Progress(heard_at=now, data_at=now)
    for event, number, seconds in story:
        now += seconds
        match event:
            case "sent":
                progress.sent(now)
            case "confirm":
                progress.confirmed(min(number, progress.sent_frames), now)
            case "read":
                progress.read(0, frames=number + 1, data_frames=number, now=now)
            case "part":
                progress.read(number + 1, frames=number // 2, data_frames=0, now=now)
            case "apply" if progress.waiting_frames:
                progress.applied(now, is_data=bool(number % 2))
            case "owes":
                progress.owes(number, now, sent_frames=progress.received_frames + number // 2)
            case "owes little":
                progress.owes(number // 3, now, sent_frames=progress.received_frames)
            case "forgive":
                progress.forgive(seconds, now)
        look = next_look(progress, after_seconds)
        assert judge(progress, look, after_seconds) is not None
        assert judge(progress, math.nextafter(look, -1.0), after_seconds) is None
        assert judge(progress, look - 0.01, after_seconds) is None
        assert (judge(progress, now, after_seconds) is not None) is (now >= look)


def test_how_long_this_node_was_away() -> None:
    progress = Progress(heard_at=100.0, looked_at=100.0)
    progress.looked(105.0, 5.0)
    assert progress.away_seconds == 0.0
    progress.looked(150.0, 5.0)
    progress.looked(151.0, 5.0)
    assert progress.away_seconds == 40.0
