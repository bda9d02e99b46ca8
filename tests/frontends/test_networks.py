"""Networks by packed address, and who is behind a proxy."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from meshtracker.frontends.networks import Networks, forwarded_client


@pytest.mark.parametrize(
    ("address", "inside"),
    [
        ("10.0.0.0", True),
        ("10.255.255.255", True),
        ("11.0.0.0", False),
        ("192.0.2.7", True),
        ("192.0.2.8", False),
        ("fc00::1", True),
        ("fdff::1", True),
        ("fe00::1", False),
        ("::1", True),
        ("::2", False),
        ("a00::", False),  # begins with the bytes of 10.0.0.0
    ],
)
def test_networks(address: str, *, inside: bool) -> None:
    networks = Networks(map(ip_network, ["10.0.0.0/8", "192.0.2.7/32", "fc00::/7", "::1"]))
    assert (ip_address(address).packed in networks) is inside


def test_all_and_none() -> None:
    assert b"\xff\xff\xff\xff" in Networks([ip_network("0.0.0.0/0")])
    assert bytes(16) not in Networks([ip_network("0.0.0.0/0")])
    assert b"\x7f\0\0\1" not in Networks([])


@pytest.mark.parametrize(
    ("hops", "client"),
    [
        ([], "10.0.0.1"),
        (["192.0.2.1"], "192.0.2.1"),
        (["198.51.100.1", "192.0.2.1"], "192.0.2.1"),
        (["198.51.100.1", "192.0.2.1", "10.0.0.7"], "192.0.2.1"),
        (["192.0.2.1", "10.0.0.7", "10.0.0.8"], "192.0.2.1"),
        (["10.0.0.9", "10.0.0.8"], "10.0.0.9"),
        (["192.0.2.1:4711"], "192.0.2.1"),
        (["2001:db8::1"], "2001:db8::1"),
        (["[2001:db8::1]"], "2001:db8::1"),
        (["[2001:db8::1]:4711"], "2001:db8::1"),
        (['"[2001:db8::1]:4711"'], "2001:db8::1"),
        (["::ffff:192.0.2.1"], "192.0.2.1"),
        (["unknown"], "10.0.0.1"),
        (["unknown", "192.0.2.1"], "192.0.2.1"),
        (["192.0.2.1", "unknown"], "10.0.0.1"),
        (["192.0.2.1", "unknown", "10.0.0.7"], "10.0.0.1"),
        (["192.0.2.1", ""], "10.0.0.1"),
        (["::"], "10.0.0.1"),
        (["224.0.0.1"], "10.0.0.1"),
        (["\xff\0"], "10.0.0.1"),
    ],
)
def test_forwarded_client(hops: list[str], client: str) -> None:
    proxies = Networks([ip_network("10.0.0.0/8")])
    found = forwarded_client(
        [hop.encode("latin-1") for hop in hops], peer=ip_address("10.0.0.1").packed, proxies=proxies
    )
    assert found == ip_address(client).packed
