"""Listening sockets on loopback."""

from __future__ import annotations

import socket

import pytest

from meshtracker.errors import StartError
from meshtracker.network.addresses import bound_address, endpoint_text, listening_socket


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.9", "::1"])
def test_the_port_that_the_system_chose_is_told(kind: socket.SocketKind, host: str) -> None:
    with listening_socket(kind, host, 0) as listener:
        bound_host, port = bound_address(listener)
        assert bound_host == host
        assert port > 0
        assert listener.type == kind
        assert not listener.getblocking()


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_both_families_can_listen_on_one_port_of_all_interfaces(kind: socket.SocketKind) -> None:
    with listening_socket(kind, "::", 0) as six:
        port = bound_address(six)[1]
        with listening_socket(kind, "0.0.0.0", port) as four:  # noqa: S104 - the case in question
            assert bound_address(four)[1] == port


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_a_port_in_use_is_named(kind: socket.SocketKind) -> None:
    with listening_socket(kind, "127.0.0.1", 0) as first:
        port = bound_address(first)[1]
        with pytest.raises(StartError) as caught:
            listening_socket(kind, "127.0.0.1", port, setting="some.listen")
        assert str(caught.value) == f"some.listen 127.0.0.1:{port}: address already in use"
        assert isinstance(caught.value.__cause__, OSError)


@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1"])
def test_an_address_of_another_machine_is_named(host: str) -> None:
    with pytest.raises(StartError) as caught:
        listening_socket(socket.SOCK_DGRAM, host, 6969)
    assert str(caught.value) == f"listen {endpoint_text(host, 6969)}: cannot assign requested address"


def test_a_name_is_no_address() -> None:
    with pytest.raises(StartError, match=r"listen localhost:6969: name or service not known"):
        listening_socket(socket.SOCK_DGRAM, "localhost", 6969)


def test_a_tcp_port_can_be_had_again_at_once() -> None:
    with listening_socket(socket.SOCK_STREAM, "127.0.0.1", 0) as first:
        host, port = bound_address(first)
        with socket.create_connection((host, port)) as client:
            server, _ = first.accept()
            server.close()
            client.recv(1)
    listening_socket(socket.SOCK_STREAM, host, port).close()


def test_endpoints_are_written_so_that_they_can_be_read() -> None:
    assert endpoint_text("127.0.0.1", 80) == "127.0.0.1:80"
    assert endpoint_text("::1", 80) == "[::1]:80"
