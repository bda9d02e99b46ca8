"""What two HELLOs say of a link: refused, warned about, or neither."""

from __future__ import annotations

import contextlib
import re
from typing import Any

import attrs
import pytest

from meshtracker.errors import CloseCode, LinkError
from meshtracker.link.greeting import ClockPolicy, check, check_clock, common_version, differences
from meshtracker.wire.link import Hello

CLOCK_MS = 1_700_000_000_000
CLOCKS = ClockPolicy(warn_seconds=5.0, refuse_seconds=60.0)
MINE = Hello(
    name="hub",
    incarnation=7,
    forwards=True,
    clock_ms=CLOCK_MS,
    announce_interval_seconds=1800,
    peer_ttl_seconds=4500,
    software="meshtracker",
    tables=("peers", "completed"),
)


def theirs(**fields: Any) -> Hello:
    defaults: dict[str, Any] = {"name": "leaf", "forwards": False}
    return attrs.evolve(MINE, **defaults | fields)


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
    assert caught.value.code is CloseCode.CLOCK
    assert str(caught.value) == (
        "the clocks of leaf and hub differ by 60 s (at most 60 s): set them, for instance with NTP"
    )


def test_two_nodes_of_one_name_are_not_linked() -> None:
    with pytest.raises(LinkError, match="both nodes are named 'hub': give each node of a mesh a name") as caught:
        check(MINE, theirs(name="hub"), CLOCKS)
    assert caught.value.code is CloseCode.NAME


@pytest.mark.parametrize("incarnation", [0, 7, 8, 2**64 - 1])
def test_an_incarnation_forbids_nothing(incarnation: int) -> None:
    """It is random, and says nothing of when a node was started."""
    check(MINE, theirs(incarnation=incarnation), CLOCKS)


# ---------------------------------------------------------------- versions


@pytest.mark.parametrize(
    ("mine", "their", "common"),
    [
        ((3, 3), (3, 3), 3),
        ((3, 3), (3, 4), 3),
        ((3, 4), (3, 3), 3),
        ((3, 5), (4, 9), 5),
        ((3, 5), (1, 4), 4),
        ((3, 5), (5, 5), 5),
        ((3, 5), (3, 3), 3),
    ],
)
def test_the_newest_version_that_both_speak(mine: tuple[int, int], their: tuple[int, int], common: int) -> None:
    assert common_version(mine, their, here="hub", there="leaf") == common
    assert common_version(their, mine, here="leaf", there="hub") == common


@pytest.mark.parametrize(
    ("mine", "their", "words"),
    [
        ((3, 3), (2, 2), "hub speaks version 3 of the link protocol, leaf version 2: upgrade leaf"),
        ((3, 3), (4, 5), "hub speaks version 3 of the link protocol, leaf versions 4 to 5: upgrade hub"),
        ((4, 6), (1, 3), "hub speaks versions 4 to 6 of the link protocol, leaf versions 1 to 3: upgrade leaf"),
    ],
)
def test_the_older_one_is_to_be_upgraded(mine: tuple[int, int], their: tuple[int, int], words: str) -> None:
    with pytest.raises(LinkError) as caught:
        common_version(mine, their, here="hub", there="leaf")
    assert (str(caught.value), caught.value.code) == (words, CloseCode.VERSION)
    with pytest.raises(LinkError, match=re.escape(words.rpartition(": ")[2])):
        common_version(their, mine, here="leaf", there="hub")


def test_a_version_that_is_not_common_is_said_before_all_else() -> None:
    hello = theirs(name="hub", clock_ms=0, versions=(9, 9))
    with pytest.raises(LinkError) as caught:
        check(MINE, hello, CLOCKS)
    assert caught.value.code is CloseCode.VERSION


# ---------------------------------------------------------------- clocks, and what is only told


@pytest.mark.parametrize(
    ("ahead_ms", "late_seconds", "is_refused"),
    [
        (60_000, 0.0, False),
        (60_001, 0.0, True),
        # What was said a while ago and is read only now looks behind, never ahead.
        (-75_000, 15.0, False),
        (-75_001, 15.0, True),
        (60_001, 15.0, True),
    ],
)
def test_a_word_may_have_been_on_its_way(ahead_ms: int, late_seconds: float, *, is_refused: bool) -> None:
    with pytest.raises(LinkError) if is_refused else contextlib.nullcontext():
        check_clock(ahead_ms, CLOCKS, mine="hub", theirs="leaf", late_seconds=late_seconds)


@pytest.mark.parametrize(
    ("tables", "forwards", "told"),
    [
        (("peers", "completed"), True, []),
        (("completed", "peers", "more"), True, []),
        (("peers",), True, ["leaf does not know completed: upgrade this hub first to carry that"]),
        ((), True, ["leaf does not know peers, completed: upgrade this hub first to carry that"]),
        # What a leaf does not know is nobody's loss but its own.
        ((), False, []),
    ],
)
def test_a_hub_that_does_not_know_a_table_is_told_of(
    tables: tuple[str, ...], told: list[str], *, forwards: bool
) -> None:
    hello = theirs(tables=tables, forwards=forwards)
    check(MINE, hello, CLOCKS)
    assert list(differences(MINE, hello, CLOCKS)) == told


def test_what_does_not_forbid_it() -> None:
    hello = theirs(clock_ms=CLOCK_MS - 9000, announce_interval_seconds=600, peer_ttl_seconds=900)
    check(MINE, hello, CLOCKS)
    assert list(differences(MINE, hello, CLOCKS)) == [
        "the clock of leaf is 9 s behind that of hub",
        "tracker.announce_interval_seconds differs: hub 1800, leaf 600",
        "tracker.peer_ttl_seconds differs: hub 4500, leaf 900",
    ]
    assert "ahead of" in next(differences(hello, MINE, CLOCKS))
