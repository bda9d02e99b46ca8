"""The UDP tracker (BEP 15): a datagram in, an answer or nothing out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import IPv4Network, IPv6Network

import attrs

from meshtracker.errors import ClientError, UnanswerableError, WireError
from meshtracker.frontends.networks import Networks
from meshtracker.node.node import Node
from meshtracker.node.refreshes import Refreshes
from meshtracker.throttle import Throttle
from meshtracker.wire import udp
from meshtracker.wire.compact import IPV4_BYTES, is_unicast
from meshtracker.wire.connection_id import ConnectionIds

BAD_CONNECTION_ID = "connection id expired"
"""As short as it is for the sake of its packet, 29 bytes: the least that can carry a bad id has 36 (see `_refuse`)."""


@attrs.frozen
class UdpStatistics:
    """What came in since the start; every datagram counts once."""

    connects: int
    announces: int
    scrapes: int
    errors: int
    """Answered with an error of the node's, such as a torrent that is not tracked."""
    dropped_malformed: int
    """No request of BEP 15."""
    dropped_source: int
    """From an address or port that cannot be answered (client-quirks 24)."""
    bad_connection_ids: int
    """Answered with an error."""
    throttled: int
    """Bad connection ids not answered: their source had sent too many."""


class UdpFrontend:
    """Answers datagrams for one node, on any number of sockets."""

    __slots__ = (
        "_address_networks",
        "_announces",
        "_bad_connection_ids",
        "_connection_ids",
        "_connects",
        "_dropped_malformed",
        "_dropped_source",
        "_errors",
        "_node",
        "_scrapes",
        "_throttle",
        "_throttled",
    )

    def __init__(
        self,
        *,
        node: Node,
        connection_ids: ConnectionIds,
        throttle: Throttle,
        address_networks: Sequence[IPv4Network | IPv6Network] = (),
    ) -> None:
        """``throttle`` is for bad connection ids. Of IPv4 clients in ``address_networks`` the ``ip`` is believed."""
        self._node = node
        self._connection_ids = connection_ids
        self._throttle = throttle
        self._address_networks = Networks(address_networks) if address_networks else None
        self._connects = 0
        self._announces = 0
        self._scrapes = 0
        self._errors = 0
        self._dropped_malformed = 0
        self._dropped_source = 0
        self._bad_connection_ids = 0
        self._throttled = 0

    def receive_datagram(self, data: bytes, address: bytes, port: int, now: float) -> bytes | None:
        """The answer to a datagram from a packed address, or None for none. Takes any bytes."""
        if port == 0 or not is_unicast(address):
            self._dropped_source += 1
            return None
        action = data[8:12]
        if action == udp.CONNECT:
            return self._connect(data, address, now)
        if (action != udp.ANNOUNCE and action != udp.SCRAPE) or len(data) < udp.HEAD_BYTES:
            self._dropped_malformed += 1
            return None
        if not self._connection_ids.check(data[:8], address, self._node.clock.wall_seconds(now)):
            return self._refuse(data, address, now)
        try:
            if action == udp.ANNOUNCE:
                return self._announce(data, address, now)
            return self._scrape(data)
        except ClientError as error:
            self._errors += 1
            return udp.pack_error(data[12:16], error.reason)
        except (WireError, UnanswerableError):
            self._dropped_malformed += 1
            return None

    def refreshes(self, now: float) -> Refreshes:
        """For a service that answers usual announces by itself."""
        return self._node.refreshes(now)

    def connection_ids(self, now: float) -> Mapping[bytes, bytes]:
        """For the same: good ones by packed address; there may be others."""
        return self._connection_ids.remembered(self._node.clock.wall_seconds(now))

    def count_announces(self, announces: int) -> None:
        """A service has answered so many by `refreshes`."""
        self._announces += announces
        self._node.count_announces(announces)

    def statistics(self) -> UdpStatistics:
        """A snapshot."""
        return UdpStatistics(
            connects=self._connects,
            announces=self._announces,
            scrapes=self._scrapes,
            errors=self._errors,
            dropped_malformed=self._dropped_malformed,
            dropped_source=self._dropped_source,
            bad_connection_ids=self._bad_connection_ids,
            throttled=self._throttled,
        )

    def _connect(self, data: bytes, address: bytes, now: float) -> bytes | None:
        if not udp.is_connect(data):
            self._dropped_malformed += 1
            return None
        self._connects += 1
        connection_id = self._connection_ids.make(address, self._node.clock.wall_seconds(now))
        return udp.pack_connect_answer(data[12:16], connection_id)

    def _announce(self, data: bytes, address: bytes, now: float) -> bytes:
        request = udp.parse_announce_request(data, address)
        if self._address_networks is not None and len(address) == IPV4_BYTES and address in self._address_networks:
            ip = udp.announced_ip(data)
            if ip != udp.NO_ADDRESS and is_unicast(ip):
                # The client knows its public address, we do not.
                request.address = ip
        answer = self._node.announce(request, now)
        self._announces += 1
        return udp.pack_announce_answer(
            data[12:16], answer, answer.peers if len(address) == IPV4_BYTES else answer.peers6
        )

    def _scrape(self, data: bytes) -> bytes:
        answers = self._node.scrape(udp.parse_scrape_request(data))
        self._scrapes += 1
        return udp.pack_scrape_answer(data[12:16], answers)

    def _refuse(self, data: bytes, address: bytes, now: float) -> bytes | None:
        """Answer a bad connection id: µTorrent keeps ids for longer than they live, and connects again on an error.

        The sender's address may be forged. So the answer is never longer than the request, soon there are none,
        and only bad ids count: nobody can have another's valid ids go unanswered.
        """
        if self._throttle.record(address, now):
            self._throttled += 1
            return None
        answer = udp.pack_error(data[12:16], BAD_CONNECTION_ID)
        if len(answer) > len(data):
            self._dropped_malformed += 1
            return None
        self._bad_connection_ids += 1
        return answer
