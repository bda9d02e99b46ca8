"""What two nodes must have in common to be linked, and what they should: a comparison of their HELLOs."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from meshtracker.errors import CloseCode, LinkError
from meshtracker.wire.link import Hello


@attrs.frozen(kw_only=True)
class ClockPolicy:
    """How far the clocks of two nodes may be apart."""

    warn_seconds: float = 5.0
    refuse_seconds: float = 60.0


def common_version(mine: tuple[int, int], theirs: tuple[int, int], *, here: str, there: str) -> int:
    """The newest protocol version that both nodes speak. Raises `LinkError`, which says which of them is older."""
    version = min(mine[1], theirs[1])
    if version >= max(mine[0], theirs[0]):
        return version
    older = here if mine[1] < theirs[1] else there
    raise LinkError(
        f"{here} speaks {_versions(mine)} of the link protocol, {there} {_versions(theirs)}: upgrade {older}",
        code=CloseCode.VERSION,
    )


def _versions(span: tuple[int, int]) -> str:
    return f"version {span[0]}" if span[0] == span[1] else f"versions {span[0]} to {span[1]}"


def check(mine: Hello, theirs: Hello, clocks: ClockPolicy) -> None:
    """Raises `LinkError` for what forbids a link, in words that both operators can act on."""
    common_version(mine.versions, theirs.versions, here=mine.name, there=theirs.name)
    check_clock(theirs.clock_ms - mine.clock_ms, clocks, mine=mine.name, theirs=theirs.name)
    if theirs.name == mine.name:
        raise LinkError(
            f"both nodes are named {mine.name!r}: give each node of a mesh a name of its own", code=CloseCode.NAME
        )


def check_clock(ahead_ms: int, clocks: ClockPolicy, *, mine: str, theirs: str, late_seconds: float = 0.0) -> None:
    """Raises `LinkError` if the peer's clock is too far off; its word may have been ``late_seconds`` on its way."""
    ahead_seconds = ahead_ms / 1000
    if not -clocks.refuse_seconds - late_seconds <= ahead_seconds <= clocks.refuse_seconds:
        raise LinkError(
            f"the clocks of {theirs} and {mine} differ by {abs(ahead_seconds):.0f} s"
            f" (at most {clocks.refuse_seconds:g} s): set them, for instance with NTP",
            code=CloseCode.CLOCK,
        )


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
    lacking = [table for table in mine.tables if table not in theirs.tables]
    if lacking and theirs.forwards:
        yield f"{theirs.name} does not know {', '.join(lacking)}: upgrade this hub first to carry that"
