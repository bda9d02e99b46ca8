"""The links of a node, whichever side began them (`listener`, `dialer`): their connections, and whose turn it is."""

from __future__ import annotations

import ssl

import trio

from meshtracker.link.policy import LinkPolicy
from meshtracker.link.proof.authentication import Credential
from meshtracker.link.proof.credentials import CredentialList
from meshtracker.link.session import LinkSession
from meshtracker.network.connection import LinkConnection
from meshtracker.node.node import Node


class LinkService:
    """What all links of a node share. One at a time works at its frames, and announces are answered in between."""

    def __init__(self, node: Node, *, credential: Credential, policy: LinkPolicy) -> None:
        self.node = node
        self.policy = policy
        self.is_stopping = False
        self.commanded = trio.lowlevel.ParkingLot()
        """Everybody in it is woken when an operator has given a command for links."""
        self._credential = credential
        self._turn = trio.StrictFIFOLock()
        self._connections: set[LinkConnection] = set()
        node.mesh.on_new_batch = self._wake
        node.links.on_command = self._carry_out

    def session(self, *, dials: bool, peer_address: str) -> LinkSession:
        """Begin a session; it ends with `serve`, or with `give_up` if there is no connection for it."""
        session = LinkSession(
            replica=self.node.mesh,
            credential=self._credential,
            dials=dials,
            policy=self.policy,
            owner=self.node.links,
            peer_address=peer_address,
            now=trio.current_time(),
        )
        self.node.links.add(session)
        return session

    def connection(
        self,
        session: LinkSession,
        tcp: trio.SocketStream,
        *,
        context: ssl.SSLContext | None,
        certificate: bytes | None = None,
        server_name: str | None = None,
        refusal: str = "",
    ) -> LinkConnection:
        """A session's connection, to be given to `serve`. See `LinkConnection` for what it is told."""
        connection = LinkConnection(
            session,
            tcp,
            turn=self._turn,
            context=context,
            certificate=certificate,
            server_name=server_name,
            refusal=refusal,
        )
        self._connections.add(connection)
        return connection

    async def serve(self, connection: LinkConnection) -> bool:
        """Run a connection to its end; is that end news?"""
        try:
            await connection.run()
        finally:
            self._connections.discard(connection)
            is_news = self.node.links.remove(connection.session, trio.current_time())
        return is_news

    def give_up(self, session: LinkSession, why: str) -> bool:
        """No connection came of it; is that news?"""
        session.end_of_stream(trio.current_time(), why=why)
        return self.node.links.remove(session, trio.current_time())

    def update_credentials(self, listed: CredentialList) -> bool:
        """Take over who may link; links whose proof counts no longer end at once. Is anything new in the list?"""
        is_new = self._credential.update(listed)
        for connection in self._connections:
            connection.session.check_credential(trio.current_time())
        self._wake()
        return is_new

    async def drain(self) -> None:
        """Send what is not sent yet and say goodbye; the caller sets a deadline."""
        self.is_stopping = True
        self.node.flush(trio.current_time())
        for connection in self._connections:
            connection.stop(f"{self.node.name} is stopping")
        for connection in list(self._connections):
            await connection.finished.wait()

    def _carry_out(self) -> None:
        # What was closed by the command has last words to send.
        self._wake()
        self.commanded.unpark_all()

    def _wake(self) -> None:
        for connection in self._connections:
            connection.wake()
