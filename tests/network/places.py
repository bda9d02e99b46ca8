"""Nodes whose links run over real loopback sockets."""

from __future__ import annotations

import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from ipaddress import ip_network

import attrs
import trio

from meshtracker.link.clock import HybridClock
from meshtracker.link.policy import LinkPolicy
from meshtracker.link.proof.authentication import Credential
from meshtracker.link.proof.credentials import CredentialList
from meshtracker.link.session import LinkSession
from meshtracker.link.statistics import SessionStatistics
from meshtracker.model import AnnounceRequest, Event
from meshtracker.network import listener, tls
from meshtracker.network.admission import IpNetwork, ListenerStatistics, ListenPolicy
from meshtracker.network.dialer import Dialer, DialPolicy
from meshtracker.network.link import LinkService
from meshtracker.network.listener import Listener
from meshtracker.node.mesh import MeshPolicy
from meshtracker.node.node import Node

PASSWORD = "a mesh password of the tests"
WALL_OFFSET_SECONDS = 1_800_000_000.0
EVERYBODY = (ip_network("0.0.0.0/0"), ip_network("::/0"))
INCARNATIONS = iter(range(1_800_000_000_000, 1_900_000_000_000))
SECURITY = tls.unsaved_server_context("hub", datetime(2026, 1, 1, tzinfo=UTC))

Log = list[dict[str, object]]


@attrs.define
class Place:
    """A node whose link service runs, and where it listens."""

    node: Node
    service: LinkService
    port: int = 0
    listener: Listener | None = None

    def announce(self, port: int, *, event: Event = Event.NONE) -> None:
        """A client of this node speaks."""
        request = AnnounceRequest(
            info_hash=b"T" * 20,
            peer_id=b"-XX0001-" + random.Random(port).randbytes(12),
            key=port,
            address=b"\x7f\0\0\1",
            port=port,
            event=event,
        )
        self.node.announce(request, trio.current_time())

    def links(self) -> tuple[SessionStatistics, ...]:
        """All links, the ended ones last."""
        return self.node.links.statistics(trio.current_time())

    def doors(self) -> ListenerStatistics:
        """What came to the listener."""
        assert self.listener is not None
        return self.listener.statistics()


def place(
    name: str,
    *,
    password: str | None = PASSWORD,
    listed: CredentialList | None = None,
    ahead_seconds: float = 0,
    max_log_bytes: int = 1 << 20,
    forwards: bool = False,
    soft_split_after_seconds: float = 15.0,
) -> Place:
    """A node that is not linked yet."""
    node = Node(
        name=name,
        incarnation=next(INCARNATIONS),
        clock=HybridClock(wall_offset_seconds=WALL_OFFSET_SECONDS + ahead_seconds),
        rng=random.Random(name),
        mesh=MeshPolicy(forwards=forwards, max_log_bytes=max_log_bytes),
        now=trio.current_time(),
    )
    policy = LinkPolicy(
        heartbeat_seconds=0.2, handshake_timeout_seconds=2.0, soft_split_after_seconds=soft_split_after_seconds
    )
    return Place(node, LinkService(node, credential=Credential(password, listed), policy=policy))


def one_clock() -> float:
    """``ahead_seconds`` that makes nodes in several processes agree, where trio's own clocks differ."""
    return time.monotonic() - trio.current_time()


async def flush(node: Node) -> None:
    """What the app's flush service does."""
    while True:
        node.flush(trio.current_time())
        await trio.sleep(0.02)


@asynccontextmanager
async def listening(
    hub: Place,
    *,
    secure: bool = True,
    networks: tuple[IpNetwork, ...] = EVERYBODY,
    port: int = 0,
    max_handshakes: int = 8,
    max_attempts_per_minute: int = 10_000,
) -> AsyncIterator[Place]:
    """The hub accepts leaves; afterwards it is gone, and so are its links."""
    policy = ListenPolicy(
        allowed_networks=networks,
        max_handshakes=max_handshakes,
        max_attempts_per_minute=max_attempts_per_minute,
        max_failures_per_minute=3,
    )
    with listener.bind("127.0.0.1", port) as socket:
        hub.port = socket.getsockname()[1]
        hub.listener = Listener(hub.service, tls=SECURITY if secure else None, policy=policy)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(flush, hub.node)
            nursery.start_soon(hub.listener.run, [socket])
            yield hub
            nursery.cancel_scope.cancel()


@asynccontextmanager
async def dialing(
    leaf: Place,
    *ports: int,
    secure: bool = True,
    host: str = "127.0.0.1",
    bind_address: str | None = None,
    reconnect_max_seconds: float = 0.2,
) -> AsyncIterator[Place]:
    """The leaf keeps a link, to the first of several hubs that can be had."""
    policy = DialPolicy(
        bind_address=bind_address, reconnect_min_seconds=0.05, reconnect_max_seconds=reconnect_max_seconds
    )
    dialer = Dialer(
        leaf.service,
        [(host, port) for port in ports],
        tls=tls.client_context(None) if secure else None,
        policy=policy,
        rng=random.Random(leaf.node.name),
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(flush, leaf.node)
        nursery.start_soon(dialer.run)
        yield leaf
        nursery.cancel_scope.cancel()


def dialer_session(leaf: Place, *, peer_address: str) -> LinkSession:
    """A leaf's end of a link, which the test moves itself."""
    return LinkSession(
        replica=leaf.node.mesh,
        credential=Credential(PASSWORD),
        dials=True,
        policy=LinkPolicy(),
        owner=leaf.node.links,
        peer_address=peer_address,
        now=trio.current_time(),
    )


async def until(condition: Callable[[], object], *, seconds: float = 10.0) -> None:
    """Wait for something that must come."""
    with trio.fail_after(seconds):
        while not condition():
            await trio.sleep(0.005)


def is_synced(*places: Place) -> bool:
    """Does each have a link over which peers flow?"""
    return all(node.node.links.synced() for node in places)


def warnings(log: Log) -> list[str]:
    """What an operator reads at once."""
    return [str(entry["event"]) for entry in log if entry["log_level"] == "warning"]
