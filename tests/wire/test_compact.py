"""Compact addresses."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtracker.errors import WireError
from meshtracker.wire.compact import (
    address_text,
    canonical_address,
    is_unicast,
    iterate_peers,
    iterate_peers6,
    pack_peer,
    packed_address,
    unpack_peer,
)

ports = st.integers(0, 65_535)
addresses4 = st.binary(min_size=4, max_size=4)
addresses6 = st.binary(min_size=16, max_size=16)


def packed(text: str) -> bytes:
    return ipaddress.ip_address(text).packed


@given(addresses4 | addresses6, ports)
def test_a_peer_comes_back_as_it_was(address: bytes, port: int) -> None:
    assert unpack_peer(pack_peer(address, port)) == (address, port)


def test_layouts_are_those_of_bep_23_and_bep_7() -> None:
    assert pack_peer(packed("192.0.2.1"), 6881) == b"\xc0\x00\x02\x01\x1a\xe1"
    assert pack_peer(packed("2001:db8::1"), 6881) == b"\x20\x01\x0d\xb8" + bytes(11) + b"\x01\x1a\xe1"


@given(st.lists(st.tuples(addresses4, ports)), st.lists(st.tuples(addresses6, ports)))
def test_all_peers_come_back_in_order(peers4: list[tuple[bytes, int]], peers6: list[tuple[bytes, int]]) -> None:
    assert list(iterate_peers(b"".join(pack_peer(*peer) for peer in peers4))) == peers4
    assert list(iterate_peers6(b"".join(pack_peer(*peer) for peer in peers6))) == peers6


def test_a_torn_peer_is_an_error_at_every_split_point() -> None:
    for length in set(range(60)) - {6, 18}:
        with pytest.raises(WireError):
            unpack_peer(bytes(length))
    for length in range(37):
        for iterate, size in ((iterate_peers, 6), (iterate_peers6, 18)):
            if length % size:
                with pytest.raises(WireError):
                    list(iterate(bytes(length)))
            else:
                assert len(list(iterate(bytes(length)))) == length // size


def test_quirk_29_ipv4_mapped_addresses_are_ipv4() -> None:
    assert canonical_address(packed("::ffff:192.0.2.1")) == packed("192.0.2.1")
    assert packed_address("::ffff:192.0.2.1") == packed("192.0.2.1")
    for other in ("192.0.2.1", "::192.0.2.1", "::fffe:192.0.2.1", "1::ffff:192.0.2.1", "64:ff9b::192.0.2.1"):
        assert canonical_address(packed(other)) == packed(other)


@given(st.ip_addresses())
def test_text_and_packed_are_the_same_address(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    assert packed_address(str(address)) == canonical_address(address.packed)
    assert ipaddress.ip_address(address_text(address.packed)) == address


def test_a_scope_is_left_out() -> None:
    assert packed_address("fe80::1%eth0") == packed("fe80::1")


@given(st.text())
def test_any_other_text_is_a_wire_error(text: str) -> None:
    try:
        address = packed_address(text)
    except WireError:
        return
    assert len(address) in (4, 16)


@pytest.mark.parametrize(
    "text", ["", "127.1", "1.2.3.4 x", "0x7f.0.0.1", "tracker.example", "1.2.3.4\0", "::1\0", ":", "\ud800", "%", "::g"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(WireError):
        packed_address(text)


@pytest.mark.parametrize(
    ("text", "unicast"),
    [
        ("127.0.0.1", True),
        ("1.0.0.0", True),
        ("223.255.255.255", True),
        ("0.0.0.0", False),  # noqa: S104 - nothing is bound
        ("0.1.2.3", False),
        ("224.0.0.1", False),
        ("239.255.255.250", False),
        ("240.0.0.1", False),
        ("255.255.255.255", False),
        ("::1", True),
        ("2001:db8::1", True),
        ("fe80::1", True),
        ("::", False),
        ("ff02::1", False),
    ],
)
def test_only_unicast_addresses_can_be_answered(*, text: str, unicast: bool) -> None:
    assert is_unicast(packed(text)) is unicast
