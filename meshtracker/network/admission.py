"""Who may begin a link with a hub, judged by source address before any cryptography is spent on it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Literal, TypeAlias

import attrs
import structlog

from meshtracker.throttle import Throttle, site

log = structlog.get_logger()

IpNetwork: TypeAlias = IPv4Network | IPv6Network

Entry: TypeAlias = Literal["welcome", "told", "rate", "proofs", "room", "network"]
"""Let in; let in only to be told that its network is not allowed; or why it is hung up on without a word."""

_WINDOW_SECONDS = 60.0
_MAX_SOURCES = 10_000
"""Sources remembered in each of the counts."""
_SOURCES_AT_ONCE = 4
"""So many sources it takes to use up all handshakes: one alone cannot keep everybody else from beginning a link."""
_TOLD_PER_MINUTE = 5
"""Times a source outside the allowed networks is told so: each costs a handshake, and its operator needs only one."""


@attrs.frozen(kw_only=True)
class ListenPolicy:
    """Whom a hub lets begin a link."""

    allowed_networks: tuple[IpNetwork, ...]
    max_handshakes: int
    max_attempts_per_minute: int
    max_failures_per_minute: int


@attrs.frozen(kw_only=True)
class ListenerStatistics:
    """What came to a hub's link listener since the start."""

    attempts: int
    """Connections accepted from the system."""
    refused_rate: int
    """Closed at once: its source had begun too many within a minute."""
    refused_proofs: int
    """Closed at once: its source had failed too many proofs within a minute."""
    refused_room: int
    """Closed at once: too many handshakes were under way."""
    refused_network: int
    """From outside the allowed networks, whether told so or closed at once."""
    failed_proofs: int
    """Authentications that failed."""


def _throttle(limit: int) -> Throttle:
    return Throttle(limit=limit, window_seconds=_WINDOW_SECONDS, max_sources=_MAX_SOURCES)


class Admission:
    """Counts what sources do; a source is an IPv4 address or the /64 of an IPv6 address. Addresses are packed."""

    def __init__(self, policy: ListenPolicy) -> None:
        self._policy = policy
        self._attempts = _throttle(policy.max_attempts_per_minute)
        self._failures = _throttle(policy.max_failures_per_minute)
        self._told = _throttle(_TOLD_PER_MINUTE)
        self._counts: Counter[str] = Counter()

    def judge(self, source: bytes, half_open: Callable[[], Sequence[bytes]], now: float) -> Entry:
        """May a connection from ``source`` begin a link? ``half_open``: tells `site` of each handshake under way."""
        entry = self._judge(source, half_open, now)
        self._counts["attempts"] += 1
        self._counts["network" if entry == "told" else entry] += 1
        return entry

    def _judge(self, source: bytes, half_open: Callable[[], Sequence[bytes]], now: float) -> Entry:
        if self._is_over(self._attempts, source, now, "too many new connections"):
            return "rate"
        if self._failures.blocks(source, now):
            return "proofs"
        if not any(ip_address(source) in network for network in self._policy.allowed_networks):
            if self._is_over(self._told, source, now, "not in link.allowed_networks"):
                return "network"
            entry: Entry = "told"
        else:
            entry = "welcome"
        share = max(1, self._policy.max_handshakes // _SOURCES_AT_ONCE)
        under_way = half_open()
        is_full = len(under_way) >= self._policy.max_handshakes or under_way.count(site(source)) >= share
        return "room" if is_full else entry

    def note_failed_proof(self, source: bytes, now: float) -> None:
        """Somebody from ``source`` did not know the password."""
        self._counts["failed"] += 1
        self._is_over(self._failures, source, now, "too many failed proofs")

    def _is_over(self, throttle: Throttle, source: bytes, now: float, why: str) -> bool:
        """Count it; is it more than the source may do?"""
        was_over = throttle.blocks(source, now)
        is_over = throttle.record(source, now)
        if is_over and not was_over:
            log.warning(f"links refused for a minute: {why}", source=str(ip_address(source)))
        return is_over

    def statistics(self) -> ListenerStatistics:
        """A frozen snapshot of the figures."""
        counts = self._counts
        return ListenerStatistics(
            attempts=counts["attempts"],
            refused_rate=counts["rate"],
            refused_proofs=counts["proofs"],
            refused_room=counts["room"],
            refused_network=counts["network"],
            failed_proofs=counts["failed"],
        )
