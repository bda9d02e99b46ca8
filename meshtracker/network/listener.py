"""The hub's side: connections that come in, and what becomes of them."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Sequence

import structlog
import trio

from meshtracker.link.session import LinkSession
from meshtracker.link.transitions import HANDSHAKE_STATES
from meshtracker.network.addresses import endpoint_text, listening_socket
from meshtracker.network.admission import Admission, ListenerStatistics, ListenPolicy
from meshtracker.network.connection import LinkConnection
from meshtracker.network.errors import plain_error
from meshtracker.network.link import LinkService
from meshtracker.throttle import site
from meshtracker.wire.compact import packed_address

log = structlog.get_logger()

_ACCEPT_PAUSE_SECONDS = 0.1
"""After a failed accept: when the process is out of descriptors, the next one fails at once as well."""


def bind(host: str, port: int) -> socket.socket:
    """A listening socket for links; raises `StartError`."""
    return listening_socket(socket.SOCK_STREAM, host, port, setting="link.listen")


class Listener:
    """Accepts leaves, and other hubs."""

    def __init__(self, links: LinkService, *, tls: tuple[ssl.SSLContext, bytes] | None, policy: ListenPolicy) -> None:
        """``tls`` is the context and this node's certificate (DER), None if off."""
        self._links = links
        self._context = tls[0] if tls else None
        self._certificate = tls[1] if tls else None
        self._admission = Admission(policy)
        self._sources: dict[LinkSession, bytes] = {}
        """Where accepted connections come from."""

    async def run(self, sockets: Sequence[socket.socket]) -> None:
        """Accept until cancelled."""
        async with trio.open_nursery() as nursery:
            for listener in sockets:
                nursery.start_soon(self._accept, trio.socket.from_stdlib_socket(listener))

    def statistics(self) -> ListenerStatistics:
        """A frozen snapshot of the figures."""
        return self._admission.statistics()

    async def _accept(self, listener: trio.socket.SocketType) -> None:
        async with trio.open_nursery() as nursery:
            while True:
                try:
                    tcp, source = await listener.accept()
                except OSError as error:
                    log.warning("link not accepted", reason=plain_error(error))
                    await trio.sleep(_ACCEPT_PAUSE_SECONDS)
                    continue
                packed = packed_address(source[0])
                entry = self._admission.judge(packed, self._half_open, trio.current_time())
                if entry not in ("welcome", "told"):
                    tcp.close()
                    continue
                session = self._links.session(dials=False, peer_address=endpoint_text(source[0], source[1]))
                connection = self._links.connection(
                    session,
                    trio.SocketStream(tcp),
                    context=self._context,
                    certificate=self._certificate,
                    refusal=_not_allowed(source[0]) if entry == "told" else "",
                )
                self._sources[session] = site(packed)
                nursery.start_soon(self._serve, connection, packed)

    def _half_open(self) -> list[bytes]:
        return [source for session, source in self._sources.items() if session.state in HANDSHAKE_STATES]

    async def _serve(self, connection: LinkConnection, source: bytes) -> None:
        session = connection.session
        try:
            is_news = await self._links.serve(connection)
        finally:
            del self._sources[session]
        if session.authentication_failed:
            self._admission.note_failed_proof(source, trio.current_time())
        if not self._links.is_stopping:
            name = session.peer.name if session.peer else "a stranger"
            say = log.warning if is_news else log.debug
            say(f"link of {name} ended: {session.reason}", peer=session.peer_address)


def _not_allowed(host: str) -> str:
    return f"{host} is not in the listening node's link.allowed_networks"
