"""The leaf's side: which hub is dialled, and when again."""

from __future__ import annotations

import random
import ssl
from collections.abc import Sequence
from functools import partial

import attrs
import structlog
import trio

from meshtracker.errors import CloseCode
from meshtracker.link.dialing import Backoff, Failover, Redial
from meshtracker.link.session import LinkSession
from meshtracker.network.addresses import endpoint_text
from meshtracker.network.connection import LinkConnection
from meshtracker.network.errors import plain_error
from meshtracker.network.link import LinkService

log = structlog.get_logger()


@attrs.frozen(kw_only=True)
class DialPolicy:
    """How a leaf dials its hubs."""

    bind_address: str | None
    reconnect_min_seconds: float
    reconnect_max_seconds: float


class Dialer:
    """Keeps a link to one hub; of several to the first, in the order given, that can be had."""

    def __init__(
        self,
        links: LinkService,
        hubs: Sequence[tuple[str, int]],
        *,
        tls: ssl.SSLContext | None,
        policy: DialPolicy,
        rng: random.Random,
    ) -> None:
        """``hubs``: host and port of each; a host's name is resolved anew at each attempt, for it may move."""
        self._links = links
        self._hubs = tuple(hubs)
        self._addresses = tuple(endpoint_text(host, port) for host, port in hubs)
        self._tls = tls
        self._policy = policy
        self._rng = rng
        self._failover = Failover(len(hubs))
        self._connections: dict[int, LinkConnection] = {}
        self._changed = trio.lowlevel.ParkingLot()
        """Hubs that are not wanted wait here."""
        for address in self._addresses:
            links.node.links.expect(address)

    async def run(self) -> None:
        """Dial until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._follow_commands)
            for index in range(len(self._hubs)):
                nursery.start_soon(self._keep_link, index)

    async def _follow_commands(self) -> None:
        while True:
            self._changed.unpark_all()
            await self._links.commanded.park()

    async def _keep_link(self, index: int) -> None:
        backoff = Backoff(
            min_seconds=self._policy.reconnect_min_seconds,
            max_seconds=self._policy.reconnect_max_seconds,
            steady_seconds=self._links.policy.soft_split_after_seconds,
            rng=self._rng,
        )
        redial = Redial(index, self._failover, backoff)
        while not self._links.is_stopping:
            while not self._is_wanted(index):
                await self._changed.park()
            session = self._links.session(dials=True, peer_address=self._addresses[index])
            up_seconds = await self._link(index, session)
            self._changed.unpark_all()
            if not self._is_wanted(index):
                continue
            await self._pause(index, redial.wait_seconds(session.code, up_seconds))

    async def _link(self, index: int, session: LinkSession) -> float:
        """Make one attempt and serve what comes of it; returns for how many seconds it was synced."""
        host, port = self._hubs[index]
        up_seconds = 0.0
        try:
            with trio.fail_after(self._links.policy.handshake_timeout_seconds):
                tcp = await trio.open_tcp_stream(host, port, local_address=self._policy.bind_address)
        except (OSError, trio.TooSlowError) as error:
            is_news = self._links.give_up(session, f"not reached: {plain_error(error)}")
        else:
            connection = self._links.connection(session, tcp, context=self._tls, server_name=host)
            connection.on_synced = partial(self._note_synced, index)
            self._connections[index] = connection
            self._close_needless()
            is_news = await self._links.serve(connection)
            del self._connections[index]
            up_seconds = connection.synced_seconds()
        self._tell(index, session, is_news=is_news)
        return up_seconds

    def _note_synced(self, index: int) -> None:
        self._failover.note_synced(index)
        self._close_needless()

    def _close_needless(self) -> None:
        for index in self._failover.to_close():
            if index in self._connections:
                first = self._addresses[self._failover.to_close()[0] - 1]
                reason = f"{self._links.node.name} is linked to {first} again, which is listed before this hub"
                self._connections[index].close(reason, CloseCode.REPLACED)

    async def _pause(self, index: int, seconds: float) -> None:
        """Wait before the next attempt, but once disabled and enabled again a hub is dialled at once."""
        with trio.move_on_after(seconds):
            while self._is_wanted(index):
                await self._links.commanded.park()

    def _is_wanted(self, index: int) -> bool:
        is_disabled = self._links.node.links.is_disabled
        self._failover.set_disabled([at for at, address in enumerate(self._addresses) if is_disabled(address)])
        return self._failover.may_dial(index)

    def _tell(self, index: int, session: LinkSession, *, is_news: bool) -> None:
        if self._links.is_stopping:
            return
        refused = session.told_by_peer and not session.was_synced
        say = log.info if not self._is_wanted(index) else log.warning if is_news else log.debug
        say(f"link to {self._addresses[index]} {'refused by the hub' if refused else 'ended'}: {session.reason}")
