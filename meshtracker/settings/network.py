"""Addresses as an operator writes them; parsing raises ValueError, and ``str()`` parses to the same again."""

from __future__ import annotations

import os
import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Self, TypeAlias

import attrs

IpAddress: TypeAlias = IPv4Address | IPv6Address
IpNetwork: TypeAlias = IPv4Network | IPv6Network

MAX_PORT = 65_535
MAX_HOST_CHARACTERS = 253
"""RFC 1035, 2.3.4."""
MAX_UNIX_PATH_BYTES = 107
"""Linux's ``sun_path`` holds 108, the last of them NUL (unix(7))."""

_HOST_PORT = re.compile(r"(?:\[(?P<bracketed>[^\[\]]+)\]|(?P<plain>[^\[\]:]+)):(?P<port>[0-9]{1,5})")
_HOST_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST_NAME = re.compile(rf"{_HOST_LABEL}(?:\.{_HOST_LABEL})*\.?")


def _split(text: str) -> tuple[str, int]:
    """Host and port of ``host:port`` or ``[IPv6]:port``; an IP address comes back in its canonical spelling."""
    match = _HOST_PORT.fullmatch(text)
    if match is None:
        raise ValueError(f'"{text}" is not address:port (IPv6 addresses go in brackets)')
    port = int(match["port"])
    if port > MAX_PORT:
        raise ValueError(f'"{text}" has a port above {MAX_PORT}')
    if match["bracketed"] is not None:
        return str(IPv6Address(match["bracketed"])), port
    return match["plain"], port


def _join(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@attrs.frozen
class ListenAddress:
    """An IP address and a port to listen on; port 0 lets the system choose."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``0.0.0.0:6969`` or ``[::]:6969``; names are refused, for a name may resolve to several addresses."""
        host, port = _split(text)
        return cls(str(ip_address(host)), port)

    @property
    def is_loopback(self) -> bool:
        """Reachable from this machine alone?"""
        return ip_address(self.host).is_loopback

    def __str__(self) -> str:
        return _join(self.host, self.port)


@attrs.frozen
class UnixAddress:
    """A Unix socket to listen on."""

    path: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``unix:/absolute/path``."""
        path = text.removeprefix("unix:")
        if not path.startswith("/") or "\0" in path:
            raise ValueError(f'"{text}" is not unix:/absolute/path')
        if len(os.fsencode(path)) > MAX_UNIX_PATH_BYTES:
            raise ValueError(f'"{text}" is longer than {MAX_UNIX_PATH_BYTES} bytes')
        return cls(path)

    def __str__(self) -> str:
        return f"unix:{self.path}"


AdminAddress: TypeAlias = ListenAddress | UnixAddress


def parse_admin_address(text: str) -> AdminAddress:
    """Read a Unix socket's path or an address and port."""
    return UnixAddress.parse(text) if text.startswith("unix:") else ListenAddress.parse(text)


@attrs.frozen
class RemoteAddress:
    """A host, by name or IP address, and a port to dial."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``hub.example.org:59100``, ``192.0.2.1:59100`` or ``[2001:db8::1]:59100``."""
        host, port = _split(text)
        if port == 0:
            raise ValueError(f'"{text}" has port 0, which nobody can dial')
        if not re.search(r"[^0-9.]", host):
            return cls(str(IPv4Address(host)), port)
        if ":" not in host and (len(host) > MAX_HOST_CHARACTERS or not _HOST_NAME.fullmatch(host)):
            raise ValueError(f'"{host}" is not a host name')
        return cls(host, port)

    def __str__(self) -> str:
        return _join(self.host, self.port)
