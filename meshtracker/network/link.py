"""The hub's listener and the leaf's dialer: who may begin a link, and when to try again."""

from __future__ import annotations

import random
import socket
import ssl
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import TypeAlias

import attrs
import structlog
import trio

from meshtracker.link.authentication import Credential
from meshtracker.link.backoff import Backoff
from meshtracker.link.session import HANDSHAKE_STATES, LinkPolicy, LinkSession
from meshtracker.network.addresses import bound_address, endpoint_text, listening_socket
from meshtracker.network.connection import LinkConnection, plain_error
from meshtracker.node.node import Node
from meshtracker.throttle import Throttle, site
from meshtracker.wire.compact import packed_address

log = structlog.get_logger()

IpNetwork: TypeAlias = IPv4Network | IPv6Network

_FAILURE_WINDOW_SECONDS = 60.0
_MAX_SOURCES = 10_000
"""Source addresses whose failed proofs are remembered."""
_SOURCES_AT_ONCE = 4
"""So many sources it takes to use up all handshakes: one alone cannot keep everybody else from beginning a link."""
_ACCEPT_PAUSE_SECONDS = 0.1
"""After a failed accept: when the process is out of descriptors, the next one fails at once as well."""


@attrs.frozen(kw_only=True)
class ListenPolicy:
    """Whom a hub lets begin a link."""

    allowed_networks: tuple[IpNetwork, ...]
    max_handshakes: int
    max_failures_per_minute: int


@attrs.frozen(kw_only=True)
class DialPolicy:
    """How a leaf dials its hubs."""

    bind_address: str | None
    reconnect_min_seconds: float
    reconnect_max_seconds: float


def bind(host: str, port: int) -> socket.socket:
    """A listening socket for links; raises `StartError`."""
    return listening_socket(socket.SOCK_STREAM, host, port, setting="link.listen")


class LinkService:
    """All links of a node; `listen` and `dial` are its tasks."""

    def __init__(self, node: Node, *, credential: Credential, policy: LinkPolicy, rng: random.Random) -> None:
        self._node = node
        self._credential = credential
        self._policy = policy
        self._rng = rng
        self._connections: set[LinkConnection] = set()
        self._sources: dict[LinkSession, bytes] = {}
        """Where accepted connections come from."""
        self._stopping = False
        node.mesh.on_new_batch = self._wake

    async def listen(
        self, listeners: Sequence[socket.socket], *, tls: tuple[ssl.SSLContext, bytes] | None, policy: ListenPolicy
    ) -> None:
        """Accept leaves until cancelled; ``tls`` is the context and this node's certificate (DER), None if off."""
        throttle = Throttle(
            limit=policy.max_failures_per_minute, window_seconds=_FAILURE_WINDOW_SECONDS, max_sources=_MAX_SOURCES
        )
        async with trio.open_nursery() as nursery:
            for listener in listeners:
                nursery.start_soon(self._accept, trio.socket.from_stdlib_socket(listener), tls, policy, throttle)

    async def dial(self, host: str, port: int, *, tls: ssl.SSLContext | None, policy: DialPolicy) -> None:
        """Keep a link to one hub; its name is resolved anew at each attempt, for it may be a dynamic name."""
        hub = endpoint_text(host, port)
        backoff = Backoff(
            min_seconds=policy.reconnect_min_seconds, max_seconds=policy.reconnect_max_seconds, rng=self._rng
        )
        while not self._stopping:
            session = self._session(dials=True, peer_address=hub)
            try:
                with trio.fail_after(self._policy.handshake_timeout_seconds):
                    tcp = await trio.open_tcp_stream(host, port, local_address=policy.bind_address)
            except (OSError, trio.TooSlowError) as error:
                session.end_of_stream(trio.current_time(), why=f"not reached: {plain_error(error)}")
                is_news = self._node.links.remove(session, trio.current_time())
            else:
                connection = LinkConnection(session, tcp, context=tls, server_name=host)
                self._connections.add(connection)
                is_news = await self._serve(connection)
            if session.was_synced:
                backoff.reset()
            self._tell_of_failure(hub, session, is_news=is_news)
            await trio.sleep(backoff.next_seconds())

    async def drain(self) -> None:
        """Send what is not sent yet and say goodbye; the caller sets a deadline."""
        self._stopping = True
        self._node.mesh.flush(trio.current_time())
        for connection in self._connections:
            connection.stop(f"{self._node.name} is stopping")
        for connection in list(self._connections):
            await connection.finished.wait()

    def _wake(self) -> None:
        for connection in self._connections:
            connection.wake()

    async def _accept(
        self,
        listener: trio.socket.SocketType,
        tls: tuple[ssl.SSLContext, bytes] | None,
        policy: ListenPolicy,
        throttle: Throttle,
    ) -> None:
        context, certificate = tls or (None, None)
        async with trio.open_nursery() as nursery:
            while True:
                try:
                    tcp, source = await listener.accept()
                except OSError as error:
                    log.warning("link not accepted", reason=plain_error(error))
                    await trio.sleep(_ACCEPT_PAUSE_SECONDS)
                    continue
                packed = packed_address(source[0])
                if throttle.blocks(packed, trio.current_time()) or self._has_no_room(packed, policy):
                    tcp.close()
                    continue
                session = self._session(dials=False, peer_address=endpoint_text(source[0], source[1]))
                refusal = "" if _is_allowed(packed, policy.allowed_networks) else _not_allowed(source[0])
                connection = LinkConnection(
                    session, trio.SocketStream(tcp), context=context, certificate=certificate, refusal=refusal
                )
                self._connections.add(connection)
                self._sources[session] = site(packed)
                nursery.start_soon(self._serve_accepted, connection, packed, throttle)

    def _has_no_room(self, packed: bytes, policy: ListenPolicy) -> bool:
        """Do too many handshakes go on, over all or of one source?"""
        half_open = [source for session, source in self._sources.items() if session.state in HANDSHAKE_STATES]
        share = max(1, policy.max_handshakes // _SOURCES_AT_ONCE)
        return len(half_open) >= policy.max_handshakes or half_open.count(site(packed)) >= share

    async def _serve_accepted(self, connection: LinkConnection, source: bytes, throttle: Throttle) -> None:
        session = connection.session
        try:
            is_news = await self._serve(connection)
        finally:
            del self._sources[session]
        if session.authentication_failed and throttle.record(source, trio.current_time()):
            log.warning("link refused for a minute: too many failed proofs", peer=session.peer_address)
        if not self._stopping:
            name = session.peer.name if session.peer else "a stranger"
            say = log.warning if is_news else log.debug
            say(f"link of {name} ended: {session.reason}", peer=session.peer_address)

    async def _serve(self, connection: LinkConnection) -> bool:
        """Run a connection to its end; is that end news?"""
        try:
            await connection.run()
        finally:
            self._connections.discard(connection)
            is_news = self._node.links.remove(connection.session, trio.current_time())
        return is_news

    def _session(self, *, dials: bool, peer_address: str) -> LinkSession:
        session = LinkSession(
            replica=self._node.mesh,
            credential=self._credential,
            dials=dials,
            policy=self._policy,
            admit=lambda session, hello: self._node.links.admit(session, hello, trio.current_time()),
            peer_address=peer_address,
            now=trio.current_time(),
        )
        self._node.links.add(session)
        return session

    def _tell_of_failure(self, hub: str, session: LinkSession, *, is_news: bool) -> None:
        if self._stopping:
            return
        refused = session.told_by_peer and not session.was_synced
        say = log.warning if is_news else log.debug
        say(f"link to {hub} {'refused by the hub' if refused else 'ended'}: {session.reason}")


def _is_allowed(source: bytes, networks: tuple[IpNetwork, ...]) -> bool:
    address = ip_address(source)
    return any(address in network for network in networks)


def _not_allowed(host: str) -> str:
    return f"{host} is not in the listening node's link.allowed_networks"


def listening_addresses(listeners: Sequence[socket.socket]) -> tuple[tuple[str, int], ...]:
    """Host and port of each."""
    return tuple(bound_address(listener) for listener in listeners)
