"""Counts what a source did wrong, so that it is not answered any more for a while."""

from __future__ import annotations

_IPV6_SITE_BYTES = 8


def site(address: bytes) -> bytes:
    """What one host has of a packed address: all of an IPv4 address, the /64 of an IPv6 address."""
    return address if len(address) == 4 else address[:_IPV6_SITE_BYTES]


class Throttle:
    """At most ``limit`` offences of a source in a window that begins with its first one.

    A source is an IPv4 address, or the /64 of an IPv6 address: a host has all of its /64 to send from.
    The table is bounded: past ``max_sources`` the source whose window ends first is forgotten. Whoever commands so
    many addresses escapes the throttle, but cannot fill the memory.
    """

    __slots__ = ("_limit", "_max_sources", "_sources", "_window_seconds")

    def __init__(self, *, limit: int, window_seconds: float, max_sources: int) -> None:
        self._limit = limit
        self._window_seconds = window_seconds
        self._max_sources = max_sources
        self._sources: dict[bytes, list[float]] = {}
        """[end of the window, offences in it] by source. In order of the ends, as all windows are of one length."""

    def __len__(self) -> int:
        """Sources remembered."""
        return len(self._sources)

    def record(self, address: bytes, now: float) -> bool:
        """Count an offence of a packed address; is the source blocked from now on?"""
        source = site(address)
        entry = self._sources.get(source)
        if entry is None or entry[0] <= now:
            self._make_room(now)
            entry = self._sources[source] = [now + self._window_seconds, 0]
        entry[1] += 1
        return entry[1] > self._limit

    def blocks(self, address: bytes, now: float) -> bool:
        """Has the source of a packed address offended more than ``limit`` times in its window?"""
        entry = self._sources.get(site(address))
        return entry is not None and entry[0] > now and entry[1] > self._limit

    def _make_room(self, now: float) -> None:
        """Forget what is over, and the oldest where nothing is."""
        while self._sources:
            oldest = next(iter(self._sources))
            if len(self._sources) < self._max_sources and self._sources[oldest][0] > now:
                break
            del self._sources[oldest]
