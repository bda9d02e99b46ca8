"""Addresses as an operator writes them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtracker.settings.network import ListenAddress, RemoteAddress, UnixAddress, parse_admin_address

hosts = st.one_of(st.ip_addresses(v=4).map(str), st.ip_addresses(v=6).map(str))


@given(hosts, st.integers(0, 65_535))
def test_listen_address_round_trip(host: str, port: int) -> None:
    address = ListenAddress(host, port)
    assert ListenAddress.parse(str(address)) == address


@given(hosts | st.sampled_from(["hub", "hub.example.org", "a-b.c_d.example."]), st.integers(1, 65_535))
def test_remote_address_round_trip(host: str, port: int) -> None:
    address = RemoteAddress(host, port)
    assert RemoteAddress.parse(str(address)) == address


def test_ipv6_is_canonical() -> None:
    assert ListenAddress.parse("[0:0:0:0:0:0:0:0]:6969") == ListenAddress("::", 6969)
    assert str(RemoteAddress.parse("[2001:DB8::0001]:59100")) == "[2001:db8::1]:59100"


@pytest.mark.parametrize(
    ("text", "loopback"),
    [("127.0.0.1:1", True), ("127.9.9.9:1", True), ("[::1]:1", True), ("0.0.0.0:1", False), ("[::]:1", False)],
)
def test_loopback(text: str, loopback: bool) -> None:
    assert ListenAddress.parse(text).is_loopback is loopback


@pytest.mark.parametrize(
    "text",
    [
        "",
        "6969",
        ":6969",
        "127.0.0.1",
        "0.0.0.0:",
        "0.0.0.0:65536",
        "0.0.0.0:-1",
        "0.0.0.0:+1",
        "0.0.0.0:٦",
        "0.0.0.0:1\n",
        "::1:6969",
        "[::1]",
        "[127.0.0.1]:1",
        "[::1]x:1",
        "localhost:6969",
        "256.0.0.1:1",
        "unix:/x",
    ],
)
def test_listen_address_refuses(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        ListenAddress.parse(text)


@pytest.mark.parametrize(
    "text",
    ["hub", "hub:0", "hub:70000", "hub:x", "-hub:1", "hub..org:1", "h b:1", "1.2.3:1", "300.1.1.1:1", "a" * 254 + ":1"],
)
def test_remote_address_refuses(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        RemoteAddress.parse(text)


def test_admin_address_is_a_unix_socket_or_an_address() -> None:
    assert parse_admin_address("unix:/run/x.sock") == UnixAddress("/run/x.sock")
    assert str(UnixAddress("/run/x.sock")) == "unix:/run/x.sock"
    assert parse_admin_address("127.0.0.1:0") == ListenAddress("127.0.0.1", 0)


@pytest.mark.parametrize("text", ["unix:", "unix:run/x", "unix:/a\0b", "unix:/" + "x" * 107])
def test_unix_address_refuses(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_admin_address(text)
    assert UnixAddress.parse("unix:/" + "x" * 106).path == "/" + "x" * 106


@pytest.mark.parametrize("parse", [ListenAddress.parse, RemoteAddress.parse, parse_admin_address])
@given(text=st.text(alphabet="[]:.0123456789abfx%/-_uni", max_size=40))
def test_whatever_is_read_can_be_written(parse: Callable[[str], object], text: str) -> None:
    try:
        address = parse(text)
    except ValueError:
        return
    assert parse(str(address)) == address
