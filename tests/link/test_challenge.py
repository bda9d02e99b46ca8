"""A node keeps its name if it says anything within two seconds."""

from __future__ import annotations

import pytest

from meshtracker.link.challenge import CHALLENGE_SECONDS, Challenge
from meshtracker.link.split import NEVER


def test_nobody_is_challenged_at_first() -> None:
    challenge = Challenge()
    assert challenge.due_at == NEVER
    assert not challenge.is_lost(0, 1e9)


@pytest.mark.parametrize("answer_bytes", [0, 1])
def test_who_is_silent_loses(answer_bytes: int) -> None:
    challenge = Challenge()
    assert challenge.begin(700, 10.0)
    assert challenge.due_at == 10.0 + CHALLENGE_SECONDS
    assert not challenge.is_lost(700, 10.0 + CHALLENGE_SECONDS - 0.1)
    assert challenge.is_lost(700 + answer_bytes, 10.0 + CHALLENGE_SECONDS) is (answer_bytes == 0)


def test_a_second_one_waits_for_the_first() -> None:
    challenge = Challenge()
    assert challenge.begin(700, 10.0)
    assert not challenge.begin(700, 11.0)
    assert challenge.due_at == 10.0 + CHALLENGE_SECONDS
    assert not challenge.is_lost(701, 11.5)
    # Answered: the next one is challenged anew.
    assert challenge.begin(701, 20.0)
    assert challenge.is_lost(701, 20.0 + CHALLENGE_SECONDS)
