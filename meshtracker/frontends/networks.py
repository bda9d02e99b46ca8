"""IP networks asked with packed addresses, and the client's address behind trusted proxies."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network

from meshtracker.errors import WireError
from meshtracker.wire.compact import is_unicast, packed_address


class Networks:
    """A set of IP networks: ``packed in networks``."""

    __slots__ = ("_prefixes",)

    def __init__(self, networks: Iterable[IPv4Network | IPv6Network]) -> None:
        self._prefixes = []
        for network in networks:
            host_bits = network.max_prefixlen - network.prefixlen
            prefix = int(network.network_address) >> host_bits
            self._prefixes.append((network.max_prefixlen // 8, host_bits, prefix))

    def __contains__(self, packed: bytes) -> bool:
        number = int.from_bytes(packed)
        size = len(packed)
        return any(size == of_size and number >> host_bits == prefix for of_size, host_bits, prefix in self._prefixes)


def forwarded_client(hops: Iterable[bytes], *, peer: bytes, proxies: Networks) -> bytes:
    """Who asks, where a TCP peer that is a trusted proxy passes on for others: packed.

    ``hops`` are the addresses of X-Forwarded-For, each as its proxy was asked by it, the nearest last. What stands
    before the first that is no trusted proxy anybody can have written. If all are trusted, the first one asks; where
    one cannot be read, nothing is believed and it is ``peer``.
    """
    client = peer
    for hop in reversed(list(hops)):
        try:
            client = _packed_hop(hop)
        except WireError:
            return peer
        if client not in proxies:
            return client if is_unicast(client) else peer
    return client


def _packed_hop(hop: bytes) -> bytes:
    """An address that may have a port: ``192.0.2.1``, ``192.0.2.1:80``, ``2001:db8::1`` or ``[2001:db8::1]:80``."""
    text = hop.decode("latin-1").strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    return packed_address(text)
