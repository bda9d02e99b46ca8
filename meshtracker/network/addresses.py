"""Listening sockets and the addresses they got."""

from __future__ import annotations

import os
import socket
from socket import SocketKind

from meshtracker.errors import StartError

LISTEN_BACKLOG = 4096
"""Connections that wait to be accepted; the system takes its own net.core.somaxconn when that is less."""


def endpoint_text(host: str, port: int) -> str:
    """``127.0.0.1:6969`` or ``[::1]:6969``."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def bound_address(listener: socket.socket) -> tuple[str, int]:
    """Host and port that an IPv4 or IPv6 socket is bound to: tells the port that the system chose for port 0."""
    host, port = listener.getsockname()[:2]
    return host, port


def listening_socket(kind: SocketKind, host: str, port: int, *, setting: str = "listen") -> socket.socket:
    """A non-blocking socket bound to an IP address; a SOCK_STREAM one listens.

    An IPv6 socket takes IPv6 alone, so that 0.0.0.0 and :: can both be listened on with the same port.
    Raises `StartError`, which begins with ``setting`` and the address.
    """
    try:
        [(family, _, _, _, sockaddr)] = socket.getaddrinfo(host, port, type=kind, flags=socket.AI_NUMERICHOST)
        listener = socket.socket(family, kind)
    except OSError as error:
        raise _start_error(error, setting=setting, endpoint=endpoint_text(host, port)) from error
    try:
        listener.setblocking(False)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if kind == SocketKind.SOCK_STREAM:
            # Start again while connections of the process before are in TIME_WAIT. Not for UDP, where it would let
            # two nodes bind the same port, and the second one would quietly take the first one's clients.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(sockaddr)
        if kind == SocketKind.SOCK_STREAM:
            listener.listen(LISTEN_BACKLOG)
    except OSError as error:
        listener.close()
        raise _start_error(error, setting=setting, endpoint=endpoint_text(host, port)) from error
    return listener


def _start_error(error: OSError, *, setting: str, endpoint: str) -> StartError:
    # gaierror has a strerror of its own; errno is of another table there.
    problem = error.strerror or os.strerror(error.errno or 0)
    return StartError(f"{setting} {endpoint}: {problem[:1].lower()}{problem[1:]}")
