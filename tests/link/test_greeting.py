"""What two HELLOs say of a link: refused, warned about, or neither."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from meshtracker.errors import LinkError, LinkFault
from meshtracker.link.greeting import ClockPolicy, check, differences
from meshtracker.link.intake import MAX_START_AHEAD_SECONDS
from meshtracker.wire.link import Hello

CLOCK_MS = 1_700_000_000_000
CLOCKS = ClockPolicy(warn_seconds=5.0, refuse_seconds=60.0)
MINE = Hello(
    name="hub",
    incarnation=CLOCK_MS - 5000,
    forwards=True,
    clock_ms=CLOCK_MS,
    announce_interval_seconds=1800,
    peer_ttl_seconds=4500,
    software="meshtracker",
    previous=None,
)


def theirs(**fields: Any) -> Hello:
    return attrs.evolve(MINE, name="leaf", forwards=False, **fields)


def test_nodes_that_agree_are_linked_without_a_word() -> None:
    for hello in (theirs(), theirs(software="another", incarnation=1), theirs(clock_ms=CLOCK_MS - 5000)):
        check(MINE, hello, CLOCKS)
        assert list(differences(MINE, hello, CLOCKS)) == []


@pytest.mark.parametrize(
    ("ahead_ms", "is_told", "is_refused"),
    [
        (5000, False, False),
        (5001, True, False),
        (-5001, True, False),
        (60_000, True, False),
        (-60_000, True, False),
        (60_001, True, True),
        (-60_001, True, True),
    ],
)
def test_how_far_clocks_may_be_apart(ahead_ms: int, is_told: bool, is_refused: bool) -> None:
    hello = theirs(clock_ms=CLOCK_MS + ahead_ms)
    assert bool(list(differences(MINE, hello, CLOCKS))) is is_told
    if not is_refused:
        check(MINE, hello, CLOCKS)
        return
    with pytest.raises(LinkError) as caught:
        check(MINE, hello, CLOCKS)
    assert caught.value.kind == "clock"
    assert str(caught.value) == (
        "the clocks of leaf and hub differ by 60 s (at most 60 s): set them, for instance with NTP"
    )


@pytest.mark.parametrize(
    ("fields", "kind", "words"),
    [
        ({"name": "hub"}, "name", "both nodes are named 'hub'"),
        ({"incarnation": CLOCK_MS + int(MAX_START_AHEAD_SECONDS * 1000) + 1}, "future", "the start of leaf is dated"),
    ],
)
def test_what_forbids_a_link(fields: dict[str, Any], kind: LinkFault, words: str) -> None:
    with pytest.raises(LinkError, match=words) as caught:
        check(MINE, attrs.evolve(theirs(), **fields), CLOCKS)
    assert caught.value.kind == kind


def test_a_clock_that_is_far_off_is_said_first() -> None:
    """A start in the future is its consequence."""
    hello = theirs(clock_ms=CLOCK_MS + 10**9, incarnation=CLOCK_MS + 10**9)
    with pytest.raises(LinkError) as caught:
        check(MINE, hello, CLOCKS)
    assert caught.value.kind == "clock"


def test_what_does_not_forbid_it() -> None:
    hello = theirs(clock_ms=CLOCK_MS - 9000, announce_interval_seconds=600, peer_ttl_seconds=900)
    check(MINE, hello, CLOCKS)
    assert list(differences(MINE, hello, CLOCKS)) == [
        "the clock of leaf is 9 s behind that of hub",
        "tracker.announce_interval_seconds differs: hub 1800, leaf 600",
        "tracker.peer_ttl_seconds differs: hub 4500, leaf 900",
    ]
    assert "ahead of" in next(differences(hello, MINE, CLOCKS))
