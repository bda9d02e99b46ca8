"""Links over real loopback sockets: who gets one, who is told what, and how a mesh comes back."""

from __future__ import annotations

import random
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from ipaddress import ip_network
from typing import Any

import attrs
import pytest
import structlog
import trio
from structlog.testing import capture_logs

from meshtracker.link.authentication import Credential
from meshtracker.link.clock import HybridClock
from meshtracker.link.session import LinkPolicy, SessionStatistics
from meshtracker.model import AnnounceRequest, Event
from meshtracker.network import link, tls
from meshtracker.network.link import DialPolicy, LinkService, ListenPolicy
from meshtracker.node.mesh import MeshPolicy
from meshtracker.node.node import Node
from meshtracker.wire.link import FrameType, control

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

    def announce(self, port: int, *, event: Event = Event.NONE) -> None:
        """A client of this node speaks."""
        request = AnnounceRequest(
            info_hash=b"T" * 20,
            peer_id=b"-XX0001-%012d" % port,
            key=port,
            address=b"\x7f\0\0\1",
            port=port,
            event=event,
        )
        self.node.announce(request, trio.current_time())

    def links(self) -> tuple[SessionStatistics, ...]:
        """All links, the ended ones last."""
        return self.node.links.statistics(trio.current_time())


def place(
    name: str,
    *,
    password: str = PASSWORD,
    ahead_seconds: float = 0,
    max_log_bytes: int = 1 << 20,
    forwards: bool = False,
    incarnation: int | None = None,
) -> Place:
    """A node that is not linked yet."""
    node = Node(
        name=name,
        incarnation=incarnation or next(INCARNATIONS),
        clock=HybridClock(wall_offset_seconds=WALL_OFFSET_SECONDS + ahead_seconds),
        rng=random.Random(name),
        mesh=MeshPolicy(forwards=forwards, max_log_bytes=max_log_bytes),
        now=trio.current_time(),
    )
    policy = LinkPolicy(heartbeat_seconds=0.2, handshake_timeout_seconds=2.0)
    return Place(node, LinkService(node, credential=Credential(password), policy=policy, rng=random.Random(name)))


async def flush(node: Node) -> None:
    """What the app's flush service does."""
    while True:
        node.mesh.flush(trio.current_time())
        await trio.sleep(0.02)


@asynccontextmanager
async def listening(
    hub: Place, *, secure: bool = True, networks: tuple[link.IpNetwork, ...] = EVERYBODY, port: int = 0
) -> AsyncIterator[Place]:
    """The hub accepts leaves."""
    policy = ListenPolicy(allowed_networks=networks, max_handshakes=8, max_failures_per_minute=3)
    with link.bind("127.0.0.1", port) as listener:
        hub.port = listener.getsockname()[1]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(flush, hub.node)
            nursery.start_soon(lambda: hub.service.listen([listener], tls=SECURITY if secure else None, policy=policy))
            yield hub
            nursery.cancel_scope.cancel()


@asynccontextmanager
async def dialing(
    leaf: Place, port: int, *, secure: bool = True, host: str = "127.0.0.1", bind_address: str | None = None
) -> AsyncIterator[Place]:
    """The leaf keeps a link."""
    policy = DialPolicy(bind_address=bind_address, reconnect_min_seconds=0.05, reconnect_max_seconds=0.2)
    context = tls.client_context(None) if secure else None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(flush, leaf.node)
        nursery.start_soon(lambda: leaf.service.dial(host, port, tls=context, policy=policy))
        yield leaf
        nursery.cancel_scope.cancel()


async def until(condition: Callable[[], object]) -> None:
    """Wait for something that must come."""
    with trio.fail_after(10):
        while not condition():
            await trio.sleep(0.005)


def is_synced(*places: Place) -> bool:
    return all(node.node.links.synced() for node in places)


async def test_a_change_reaches_everybody_and_a_stop_elsewhere_removes_it() -> None:
    async with listening(place("hub", forwards=True)) as hub:
        async with dialing(place("a"), hub.port) as a, dialing(place("b"), hub.port) as b:
            await until(lambda: is_synced(a, b))
            a.announce(1)
            await until(lambda: hub.node.registry.peers == b.node.registry.peers == 1)
            b.announce(1, event=Event.STOPPED)
            await until(lambda: not (hub.node.registry.peers or a.node.registry.peers or b.node.registry.peers))


async def test_a_link_without_tls() -> None:
    async with listening(place("hub", forwards=True), secure=False) as hub:
        async with dialing(place("a"), hub.port, secure=False) as a:
            a.announce(1)
            await until(lambda: hub.node.registry.peers == 1)


@attrs.define
class Refusal:
    """What both operators read."""

    hub: str
    leaf: str
    hub_reason: str
    leaf_reason: str


async def refused(
    hub: Place, leaf: Place, *, log: Log, secure: tuple[bool, bool] = (True, True), **kinds: object
) -> Refusal:
    """Let a leaf try until it is refused; the node goes on, and a good leaf gets its link afterwards."""
    async with listening(hub, secure=secure[0], **kinds):  # type: ignore[arg-type]  # passed on as they are
        async with dialing(leaf, hub.port, secure=secure[1]):
            await until(
                lambda: all(any(line.startswith(way) for line in warnings(log)) for way in ("link of", "link to"))
            )
        lines = warnings(log)
        hub_reason = next(link.reason for link in hub.links() if link.reason)
        leaf_reason = next(link.reason for link in leaf.links() if link.reason)
        if "networks" not in kinds and secure[0]:
            async with dialing(place("a-good-leaf"), hub.port) as good:
                await until(lambda: is_synced(good))
    told_hub = [line for line in lines if line.startswith("link of")]
    told_leaf = [line for line in lines if line.startswith("link to")]
    assert told_hub
    assert len(set(told_leaf)) == 1
    for line in lines:
        assert PASSWORD not in line
        assert "\n" not in line
    return Refusal(told_hub[0], told_leaf[0], hub_reason, leaf_reason)


def warnings(log: Log) -> list[str]:
    """What an operator reads at once."""
    return [str(entry["event"]) for entry in log if entry["log_level"] == "warning"]


@pytest.fixture
def log() -> object:
    structlog.reset_defaults()
    with capture_logs() as entries:
        yield entries


async def test_a_wrong_password(log: Log) -> None:
    told = await refused(place("hub", forwards=True), place("a", password="not that password"), log=log)
    assert told.hub == "link of a stranger ended: authentication failed: wrong password"
    assert told.leaf.endswith("refused by the hub: authentication failed")


async def test_trouble_that_comes_again_is_logged_once(log: Log) -> None:
    hub, leaf = place("hub", forwards=True), place("a")
    async with listening(hub, networks=(ip_network("192.0.2.0/24"),)), dialing(leaf, hub.port):
        await until(lambda: sum("a stranger" in str(entry["event"]) for entry in log) >= 3)
    assert [line.partition(":")[0] for line in sorted(warnings(log))] == [
        "link of a stranger ended",
        "link to 127.0.0.1",
    ]


async def test_a_wrong_network(log: Log) -> None:
    told = await refused(place("hub", forwards=True), place("a"), log=log, networks=(ip_network("192.0.2.0/24"),))
    assert "127.0.0.1 is not in the listening node's link.allowed_networks" in told.leaf
    assert "127.0.0.1 is not in the listening node's link.allowed_networks" in told.hub


async def test_a_clock_minutes_off(log: Log) -> None:
    told = await refused(place("hub", forwards=True), place("a", ahead_seconds=180), log=log)
    assert "the clocks of" in told.hub
    assert "differ by 180 s" in told.leaf


async def test_a_leaf_with_the_name_of_the_hub(log: Log) -> None:
    told = await refused(place("hub", forwards=True), place("hub"), log=log)
    assert "both nodes are named 'hub'" in told.hub + told.leaf
    assert "both nodes are named 'hub'" in told.leaf


async def test_a_name_that_a_live_node_has(log: Log) -> None:
    older, newer = place("twin"), place("twin")
    async with listening(place("hub", forwards=True)) as hub, dialing(newer, hub.port):
        await until(lambda: is_synced(newer))
        async with dialing(older, hub.port):
            await until(lambda: any("another live node named 'twin'" in link.reason for link in older.links()))
            await until(lambda: any("another live node named 'twin'" in str(entry["event"]) for entry in log))
        assert is_synced(newer)


async def test_tls_on_one_side_only(log: Log) -> None:
    told = await refused(place("hub", forwards=True), place("a"), log=log, secure=(True, False))
    assert told.hub.startswith("link of a stranger ended: no TLS: ")
    assert "is link.tls off on one side?" in told.hub
    assert "the other side hung up without a word (is link.tls off on one side" in told.leaf


async def test_tls_on_the_dialing_side_only(log: Log) -> None:
    told = await refused(place("hub", forwards=True), place("a"), log=log, secure=(False, True))
    assert "but TLS: is link.tls off on one side?" in told.hub
    assert "is link.tls off on one side" in told.leaf


async def test_another_protocol_version(log: Log) -> None:
    async with listening(place("hub", forwards=True), secure=False) as hub:
        answer = bytearray()
        async with await trio.open_tcp_stream("127.0.0.1", hub.port) as stream:
            await stream.send_all(control(FrameType.AUTH_FIRST, v=9, mechanism="SCRAM-SHA-256", message="n,,n=x,r=y"))
            async for data in stream:
                answer += data
        assert b"protocol version 9 is not spoken here" in answer
        await until(lambda: any("protocol version 9" in str(entry["event"]) for entry in log))


async def test_a_man_in_the_middle_with_his_own_certificate(log: Log) -> None:
    context, _ = tls.unsaved_server_context("hub", datetime(2026, 1, 1, tzinfo=UTC))
    seen = bytearray()

    async def pump(source: trio.SSLStream[trio.SocketStream], target: trio.SSLStream[trio.SocketStream]) -> None:
        try:
            async for data in source:
                seen.extend(data)
                await target.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return

    async def intercept(tcp: trio.SocketStream) -> None:
        outer = trio.SSLStream(tcp, context, server_side=True, https_compatible=True)
        onward = await trio.open_tcp_stream("127.0.0.1", hub.port)
        inner = trio.SSLStream(onward, tls.client_context(None), https_compatible=True)
        async with outer, inner, trio.open_nursery() as nursery:
            nursery.start_soon(pump, outer, inner)
            await pump(inner, outer)
            nursery.cancel_scope.cancel()

    leaf = place("a")
    async with listening(place("hub", forwards=True)) as hub, trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, intercept, listeners)
        async with dialing(leaf, listeners[0].socket.getsockname()[1]):
            await until(lambda: any(link.reason for link in leaf.links()))
        nursery.cancel_scope.cancel()
    assert any("it saw another certificate than ours" in str(entry["event"]) for entry in log)
    assert all(link.reason.startswith(("authentication failed", "connection lost")) for link in leaf.links())
    assert PASSWORD.encode() not in seen
    assert b"HELLO" not in seen
    assert not hub.node.links.synced()


class MovingName(trio.abc.HostnameResolver):
    """The name of a hub that is at home behind a changing address."""

    def __init__(self) -> None:
        self.addresses = ["127.0.0.66", "127.0.0.66"]
        self.asked = 0

    async def getaddrinfo(self, host: object, port: object, *_: object) -> list[Any]:
        """The next address; the last one stays."""
        assert host == b"hub.example.org"
        self.asked += 1
        address = self.addresses.pop(0) if self.addresses else "127.0.0.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    async def getnameinfo(self, sockaddr: object, flags: int) -> tuple[str, str]:
        """Nobody asks."""
        raise NotImplementedError


async def test_the_hubs_name_is_resolved_at_each_attempt() -> None:
    name = MovingName()
    trio.socket.set_custom_hostname_resolver(name)
    async with listening(place("hub", forwards=True)) as hub:
        async with dialing(place("a"), hub.port, host="hub.example.org") as a:
            await until(lambda: is_synced(a))
            assert name.asked == 3
            assert [link.reason for link in a.links() if link.reason] == ["not reached: Connection refused"]


async def test_a_leaf_dials_from_the_address_it_is_given() -> None:
    async with listening(place("hub", forwards=True)) as hub:
        async with dialing(place("a"), hub.port, bind_address="127.0.0.77") as a:
            await until(lambda: is_synced(a, hub))
            assert [link.peer_address.startswith("127.0.0.77:") for link in hub.links()] == [True]


async def test_a_hub_that_comes_back_is_given_what_it_missed() -> None:
    hub = place("hub", forwards=True)
    async with listening(hub), dialing(place("a"), hub.port) as a:
        await until(lambda: is_synced(a))
        port = hub.port
        a.announce(1)
        await until(lambda: hub.node.registry.peers == 1)
        # The hub's listener goes and comes back; the node behind it is the same.
        for session in hub.node.links.synced():
            session.close("gone for a moment", trio.current_time())
        await until(lambda: not is_synced(a))
        a.announce(2)
        await until(lambda: hub.node.registry.peers == 2)
        assert port == hub.port
        assert any(
            link.resync.startswith("a: partial after batch") or "a: partial" in link.resync for link in hub.links()
        )


async def test_an_outage_past_the_log_is_made_good_in_full() -> None:
    hub = place("hub", forwards=True)
    a = place("a", max_log_bytes=2_000)
    async with listening(hub):
        port = hub.port
        async with dialing(a, port):
            await until(lambda: is_synced(a))
            a.announce(1)
            await until(lambda: hub.node.registry.peers == 1)
        await until(lambda: not hub.node.links.synced())
        a.announce(1, event=Event.STOPPED)
        for client in range(2, 200):
            a.announce(client)
            a.node.mesh.flush(trio.current_time())
        async with dialing(a, port):
            await until(lambda: hub.node.registry.peers == 198)
            await until(lambda: any("full (fell behind)" in link.resync for link in hub.links()))


async def test_the_last_changes_go_out_when_a_node_stops() -> None:
    async with listening(place("hub", forwards=True)) as hub:
        async with dialing(place("a"), hub.port) as a:
            await until(lambda: is_synced(a))
            a.announce(7)
            with trio.fail_after(3):
                await a.service.drain()
            await until(lambda: hub.node.registry.peers == 1)
        await until(lambda: any(link.reason == "a is stopping" for link in hub.links()))


async def test_a_source_that_fails_often_is_not_served_for_a_while(log: Log) -> None:
    async with listening(place("hub", forwards=True)) as hub:
        async with dialing(place("a", password="not that password"), hub.port):
            await until(lambda: any("too many failed proofs" in str(entry["event"]) for entry in log))
        good = place("good")
        async with dialing(good, hub.port):
            await trio.sleep(0.3)
            assert not good.node.links.synced()


async def test_half_open_connections_are_bounded() -> None:
    async with listening(place("hub", forwards=True)) as hub:
        # Two, a quarter of them, from each source.
        idle = [
            socket.create_connection(("127.0.0.1", hub.port), source_address=(f"127.0.0.{number % 5 + 1}", 0))
            for number in range(15)
        ]
        try:
            await until(lambda: len(hub.links()) == 8)
            await trio.sleep(0.1)
            assert len(hub.links()) == 8
            # They are let go after the handshake's time, and a leaf gets its turn.
            async with dialing(place("a"), hub.port) as a:
                await until(lambda: is_synced(a))
        finally:
            for connection in idle:
                connection.close()


async def test_one_source_cannot_use_up_the_handshakes() -> None:
    async with listening(place("hub", forwards=True)) as hub:
        idle = [socket.create_connection(("127.0.0.1", hub.port), source_address=("127.0.0.2", 0)) for _ in range(12)]
        try:
            await until(lambda: len(hub.links()) == 2)
            with trio.fail_after(1.5):  # before the handshakes have timed out
                async with dialing(place("a"), hub.port) as a:
                    await until(lambda: is_synced(a))
        finally:
            for connection in idle:
                connection.close()
