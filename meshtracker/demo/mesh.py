"""A hub and three leaves in this process, on loopback ports that the system chooses; nothing is read or written."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from functools import partial
from typing import Protocol

import attrs
import trio

from meshtracker.app import RunningNode, serve
from meshtracker.client.http import HttpTracker
from meshtracker.client.udp import UdpTracker
from meshtracker.demo.swarms import EVERYBODY
from meshtracker.model import AnnounceAnswer, AnnounceRequest
from meshtracker.node.node import Node
from meshtracker.settings import (
    AdminSettings,
    HttpSettings,
    LinkSettings,
    ListenAddress,
    NodeSettings,
    RemoteAddress,
    Secret,
    Settings,
    TrackerSettings,
    UdpSettings,
)

LOOPBACK = "127.0.0.1"
HUB = "hub"
LEAVES = ("leaf-a", "leaf-b", "leaf-c")
PROTOCOLS = ("udp", "http")
FLUSH_INTERVAL_SECONDS = LinkSettings().flush_interval_seconds
"""The demo measures what everybody gets: this is the default."""

SYNC_TIMEOUT_SECONDS = 15.0
_ANY_PORT = ListenAddress(LOOPBACK, 0)
_ANNOUNCE_INTERVAL_SECONDS = 2
"""Half an hour of a real client's life: so that there is something to see."""
_UDP_TIMEOUT_SECONDS = 2.0


class Tracker(Protocol):
    """A tracker as a client sees it, whatever the protocol."""

    async def announce(self, request: AnnounceRequest) -> AnnounceAnswer:
        """Announce to a swarm."""

    def close(self) -> None:
        """Let its sockets go."""


@attrs.frozen
class Member:
    """A node of the mesh and where its clients find it."""

    running: RunningNode

    @property
    def node(self) -> Node:
        """What is inside, for its figures."""
        return self.running.node

    @property
    def name(self) -> str:
        """The node's name."""
        return self.running.node.name

    def tracker(self, protocol: str, *, local_address: str) -> Tracker:
        """This node for a client at ``local_address`` that speaks "udp" or "http"."""
        if protocol == "udp":
            [(host, port)] = self.running.udp
            return UdpTracker(
                host,
                port,
                local_address=local_address,
                first_timeout_seconds=_UDP_TIMEOUT_SECONDS,
                max_retransmissions=2,
            )
        [(host, port)] = self.running.http
        return HttpTracker(f"http://{host}:{port}/announce", local_address=local_address)


@attrs.frozen
class DemoMesh:
    """The nodes of the demo, hub first."""

    members: tuple[Member, ...]

    @property
    def hub(self) -> Member:
        """The node that forwards; no simulated client announces to it."""
        return self.members[0]

    @property
    def leaves(self) -> tuple[Member, ...]:
        """The nodes that clients announce to."""
        return self.members[1:]

    def synced_links(self) -> int:
        """Links over which peers flow, of as many as there are leaves."""
        return len(self.hub.node.links.synced())

    async def wait_synced(self) -> None:
        """Until peers flow over every link; ``trio.TooSlowError`` after `SYNC_TIMEOUT_SECONDS`."""
        with trio.fail_after(SYNC_TIMEOUT_SECONDS):
            while self.synced_links() < len(self.leaves):  # noqa: ASYNC110 - a node tells nobody when a link is synced
                await trio.sleep(0.02)


async def start_mesh(nursery: trio.Nursery, stop: trio.Event) -> DemoMesh:
    """Start the hub, then the leaves, in ``nursery``; they end when ``stop`` is set."""
    password = Secret(secrets.token_urlsafe(24))
    hub = await nursery.start(partial(serve, _settings(HUB, password, listen=(_ANY_PORT,)), stop=stop))
    [(host, port)] = hub.link
    members = [Member(hub)]
    for name in LEAVES:
        settings = _settings(name, password, hubs=(RemoteAddress(host, port),))
        members.append(Member(await nursery.start(partial(serve, settings, stop=stop))))
    return DemoMesh(tuple(members))


def _settings(
    name: str, password: Secret, *, listen: Sequence[ListenAddress] = (), hubs: Sequence[RemoteAddress] = ()
) -> Settings:
    return Settings(
        node=NodeSettings(name=name),
        tracker=TrackerSettings(
            announce_interval_seconds=_ANNOUNCE_INTERVAL_SECONDS,
            min_interval_seconds=1,
            announce_jitter_seconds=1,
            numwant_max=EVERYBODY,
        ),
        udp=UdpSettings(listen=(_ANY_PORT,)),
        http=HttpSettings(listen=(_ANY_PORT,)),
        link=LinkSettings(listen=tuple(listen), hubs=tuple(hubs), password=password),
        admin=AdminSettings(listen=()),
    )
