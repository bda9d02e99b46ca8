"""Who is let in, by source address alone."""

from __future__ import annotations

import ipaddress
from ipaddress import ip_network

import pytest
import structlog
from structlog.testing import capture_logs

from meshtracker.network.admission import Admission, Entry, ListenPolicy
from meshtracker.throttle import site

NOW = 1000.0
HERE = ip_network("192.0.2.0/24")


def packed(address: str) -> bytes:
    return ipaddress.ip_address(address).packed


def door(**changes: int) -> Admission:
    limits = {"max_handshakes": 8, "max_attempts_per_minute": 10, "max_failures_per_minute": 2} | changes
    return Admission(ListenPolicy(allowed_networks=(HERE, ip_network("2001:db8::/32")), **limits))


def entries(
    at: Admission, address: str, count: int, now: float = NOW, under_way: tuple[bytes, ...] = ()
) -> list[Entry]:
    return [at.judge(packed(address), lambda: under_way, now) for _ in range(count)]


def test_a_source_may_begin_so_many_links_a_minute() -> None:
    structlog.reset_defaults()
    at = door()
    with capture_logs() as log:
        assert entries(at, "192.0.2.1", 13) == ["welcome"] * 10 + ["rate"] * 3
        assert entries(at, "192.0.2.2", 1) == ["welcome"]
        # Said once for each source and window.
        assert entries(at, "192.0.2.1", 5, NOW + 59.9) == ["rate"] * 5
        assert [entry["source"] for entry in log] == ["192.0.2.1"]
        assert entries(at, "192.0.2.1", 11, NOW + 60) == ["welcome"] * 10 + ["rate"]
        assert [entry["event"] for entry in log] == ["links refused for a minute: too many new connections"] * 2
    assert (at.statistics().attempts, at.statistics().refused_rate) == (30, 9)


def test_a_source_of_ipv6_is_a_site() -> None:
    at = door()
    assert [at.judge(packed(f"2001:db8::{host:x}"), tuple, NOW) for host in range(12)].count("rate") == 2
    assert at.judge(packed("2001:db8:0:1::1"), tuple, NOW) == "welcome"


def test_a_stranger_is_told_so_a_few_times_and_then_not_served() -> None:
    structlog.reset_defaults()
    at = door()
    with capture_logs() as log:
        assert entries(at, "198.51.100.1", 12) == ["told"] * 5 + ["network"] * 5 + ["rate"] * 2
        assert entries(at, "198.51.100.1", 6, NOW + 60) == ["told"] * 5 + ["network"]
    assert [entry["event"].partition(": ")[2] for entry in log] == [
        "not in link.allowed_networks",
        "too many new connections",
        "not in link.allowed_networks",
    ]
    assert (at.statistics().refused_network, at.statistics().refused_rate) == (16, 2)


@pytest.mark.parametrize(
    ("under_way", "entry"),
    [
        ([], "welcome"),
        (["192.0.2.1"], "welcome"),
        (["192.0.2.1"] * 2, "room"),
        (["192.0.2.2"] * 7, "welcome"),
        (["192.0.2.2"] * 8, "room"),
    ],
)
def test_handshakes_under_way_are_bounded_over_all_and_by_source(under_way: list[str], entry: Entry) -> None:
    at = door()
    half_open = tuple(site(packed(address)) for address in under_way)
    assert entries(at, "192.0.2.1", 1, under_way=half_open) == [entry]
    # Strangers get no more room than others.
    assert entries(at, "198.51.100.1", 1, under_way=half_open * 2) == ["room" if len(under_way) > 3 else "told"]
    assert at.statistics().refused_room == (entry == "room") + (len(under_way) > 3)


def test_a_source_that_fails_often_is_refused_for_a_while() -> None:
    structlog.reset_defaults()
    at = door()
    source = packed("192.0.2.1")
    with capture_logs() as log:
        for failures in range(1, 5):
            at.note_failed_proof(source, NOW)
            assert entries(at, "192.0.2.1", 1) == ["welcome" if failures <= 2 else "proofs"]
    assert [entry["event"] for entry in log] == ["links refused for a minute: too many failed proofs"]
    assert entries(at, "192.0.2.1", 1, NOW + 60) == ["welcome"]
    assert (at.statistics().failed_proofs, at.statistics().refused_proofs) == (4, 2)
