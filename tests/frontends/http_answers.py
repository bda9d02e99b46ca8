"""What the tests of the HTTP front end share: answers read, and swarms filled."""

from __future__ import annotations

from ipaddress import ip_network

import bencodepy

from meshtracker.wire.compact import iterate_peers, iterate_peers6
from tests.http_support import Caller, announce_target

LOCAL = (ip_network("127.0.0.0/8"), ip_network("::1"))
"""Networks that a tracker may be told to believe."""


def decode(body: bytes) -> dict[bytes, object]:
    """An answer as the dictionary that it is."""
    answer = bencodepy.Bencode().decode(body)
    assert isinstance(answer, dict)
    return answer


def peers_of(caller: Caller, **parameters: bytes | int | None) -> set[tuple[bytes, int]]:
    """The peers, address and port, that an announce is answered with."""
    answer = caller.announce(announce_target(**parameters))
    return {*iterate_peers(answer.peers), *iterate_peers6(answer.peers6)}


def seen_by_another(caller: Caller) -> set[tuple[bytes, int]]:
    """The peers that another client at the same address is given."""
    return peers_of(caller, peer_id=b"o" * 20, port=7)


def fill(caller: Caller, count: int, *, left: int = 1) -> None:
    """Others announce, each at a port of its own from 2000 on."""
    for number in range(count):
        caller.announce(peer_id=b"-TS0002-%012d" % number, port=2000 + number, left=left)
