"""What two nodes must have in common to be linked, and what they should: a comparison of their HELLOs."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from meshtracker.errors import LinkError
from meshtracker.link.intake import check_start
from meshtracker.wire.link import Hello


@attrs.frozen(kw_only=True)
class ClockPolicy:
    """How far the clocks of two nodes may be apart."""

    warn_seconds: float = 5.0
    refuse_seconds: float = 60.0


def check(mine: Hello, theirs: Hello, clocks: ClockPolicy) -> None:
    """Raises `LinkError` for what forbids a link, in words that both operators can act on."""
    apart_seconds = abs(theirs.clock_ms - mine.clock_ms) / 1000
    if apart_seconds > clocks.refuse_seconds:
        raise LinkError(
            f"the clocks of {theirs.name} and {mine.name} differ by {apart_seconds:.0f} s"
            f" (at most {clocks.refuse_seconds:g} s): set them, for instance with NTP",
            kind="clock",
        )
    if theirs.name == mine.name:
        raise LinkError(f"both nodes are named {mine.name!r}: give each node of a mesh a name of its own", kind="name")
    check_start(theirs.name, theirs.incarnation, mine.clock_ms)


def differences(mine: Hello, theirs: Hello, clocks: ClockPolicy) -> Iterator[str]:
    """What does not forbid a link but makes a mesh go wrong quietly."""
    ahead_seconds = (theirs.clock_ms - mine.clock_ms) / 1000
    if abs(ahead_seconds) > clocks.warn_seconds:
        way = "ahead of" if ahead_seconds > 0 else "behind"
        yield f"the clock of {theirs.name} is {abs(ahead_seconds):.0f} s {way} that of {mine.name}"
    if theirs.announce_interval_seconds != mine.announce_interval_seconds:
        yield (
            f"tracker.announce_interval_seconds differs: {mine.name} {mine.announce_interval_seconds},"
            f" {theirs.name} {theirs.announce_interval_seconds}"
        )
    if theirs.peer_ttl_seconds != mine.peer_ttl_seconds:
        yield (
            f"tracker.peer_ttl_seconds differs: {mine.name} {mine.peer_ttl_seconds},"
            f" {theirs.name} {theirs.peer_ttl_seconds}"
        )
