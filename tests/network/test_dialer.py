"""Which hub a leaf is linked to, and when it dials again."""

from __future__ import annotations

import socket
from contextlib import AsyncExitStack
from typing import Any

import attrs
import pytest
import structlog
import trio
from structlog.testing import capture_logs

from meshtracker.errors import CloseCode
from meshtracker.node.commands import DisableLinks, EnableLinks, ResetLinks
from tests.network.places import Log, Place, dialing, is_synced, listening, place, until


@pytest.fixture
def log() -> object:
    structlog.reset_defaults()
    with capture_logs() as entries:
        yield entries


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


async def test_a_hub_that_hangs_up_at_once_is_not_dialled_in_a_fast_loop() -> None:
    dialled = 0

    async def hang_up(tcp: trio.SocketStream) -> None:
        nonlocal dialled
        dialled += 1
        await tcp.aclose()

    async with trio.open_nursery() as nursery:
        [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, hang_up, [listener])
        port = listener.socket.getsockname()[1]
        async with dialing(place("a"), port, secure=False, reconnect_max_seconds=20):
            await trio.sleep(1.2)
        nursery.cancel_scope.cancel()
    # Waits of up to 0.05, 0.1, 0.2, 0.4, 0.8, ... s.
    assert 3 <= dialled <= 15


async def test_links_that_do_not_hold_are_made_ever_more_slowly() -> None:
    """Synced each time, and lost at once: as on a path that is broken for data alone."""
    hub = place("hub", forwards=True)
    async with listening(hub), dialing(place("a"), hub.port, reconnect_max_seconds=20) as a:
        ended = 0
        with trio.move_on_after(1.5):
            while True:
                await until(lambda: is_synced(a, hub), seconds=60)
                for session in hub.node.links.synced():
                    session.close("nothing came of it", trio.current_time(), code=CloseCode.OTHER)
                hub.node.mesh.on_new_batch()
                await until(lambda: not is_synced(a))
                ended += 1
        assert 3 <= ended <= 15


async def test_links_that_somebody_resets_come_back_at_once() -> None:
    hub = place("hub", forwards=True)
    async with listening(hub), dialing(place("a"), hub.port, reconnect_max_seconds=20) as a:
        with trio.fail_after(20):
            for _ in range(20):
                await until(lambda: is_synced(a, hub), seconds=5)
                hub.node.execute(ResetLinks(name="a", caller="alice"), trio.current_time())
                await until(lambda: not is_synced(a))


def names(leaf: Place) -> list[str]:
    """The hubs that it is synced with."""
    return [session.peer.name for session in leaf.node.links.synced() if session.peer]


# ------------------------------------------------------------ disabled hubs


async def test_a_disabled_hub_is_not_dialled_until_it_is_enabled() -> None:
    async with listening(place("hub", forwards=True)) as hub:
        async with dialing(place("a"), hub.port, reconnect_max_seconds=20) as a:
            await until(lambda: is_synced(a, hub))
            with trio.fail_after(1):
                a.node.execute(DisableLinks(name="hub", caller="alice"), trio.current_time())
                await until(lambda: any(link.reason == "disabled on a by alice" for link in hub.links()))
            await trio.sleep(0.5)
            assert hub.doors().attempts == 1
            a.announce(1)
            a.node.execute(EnableLinks(name="hub", caller="alice"), trio.current_time())
            await until(lambda: hub.node.registry.peers == 1, seconds=1)
            assert hub.doors().attempts == 2


async def test_a_hub_is_dialled_at_once_when_enabled_though_it_had_long_been_away() -> None:
    hub = place("hub", forwards=True)
    async with listening(hub):
        pass
    address = f"127.0.0.1:{hub.port}"
    async with dialing(place("a"), hub.port, reconnect_max_seconds=1000) as a:
        await trio.sleep(1)
        a.node.execute(DisableLinks(name=address, caller="alice"), trio.current_time())
        async with listening(hub, port=hub.port):
            await trio.sleep(0.2)
            assert hub.doors().attempts == 0
            a.node.execute(EnableLinks(name=address, caller="alice"), trio.current_time())
            await until(lambda: is_synced(a), seconds=1)


# ------------------------------------------------------------ several hubs


@attrs.define
class Hubs:
    """Hubs that come and go, each where it was; every one is linked to the first."""

    nursery: trio.Nursery
    places: tuple[Place, ...]
    _leaving: dict[int, tuple[trio.Event, trio.Event]] = attrs.field(factory=dict)

    async def come(self, *indexes: int) -> None:
        for index in indexes:
            await self.nursery.start(self._stay, index)

    async def _stay(self, index: int, *, task_status: trio.TaskStatus[None]) -> None:
        told, gone = self._leaving[index] = trio.Event(), trio.Event()
        async with AsyncExitStack() as stack:
            hub = await stack.enter_async_context(listening(self.places[index], port=self.places[index].port))
            if index:
                await stack.enter_async_context(dialing(hub, self.places[0].port))
            task_status.started()
            await told.wait()
        gone.set()

    async def go(self, index: int) -> None:
        """Without a word, as a process that was killed."""
        told, gone = self._leaving.pop(index)
        told.set()
        await gone.wait()


async def test_a_leaf_goes_to_the_next_hub_and_back_and_loses_nothing(log: Log) -> None:
    first, second = place("first", forwards=True), place("second", forwards=True)
    leaf = place("leaf")
    everybody = (first, second, leaf)
    async with trio.open_nursery() as nursery:
        hubs = Hubs(nursery, (first, second))
        await hubs.come(0, 1)
        async with dialing(leaf, first.port, second.port):
            await until(lambda: names(leaf) == ["first"])
            leaf.announce(1)
            await until(lambda: second.node.registry.peers == 1)
            assert [link.peer for link in second.links()] == ["first"]

            await hubs.go(0)
            leaf.announce(2)
            second.announce(3)
            await until(lambda: names(leaf) == ["second"])
            leaf.announce(4)
            await until(lambda: second.node.registry.peers == leaf.node.registry.peers == 4)

            await hubs.come(0)
            # While it goes back, in each of the states on the way.
            for port in range(5, 300):
                leaf.announce(port)
                second.announce(1000 + port)
                await trio.sleep(0.002)
            await until(lambda: names(leaf) == ["first"] and names(second) == ["first"])
            await until(lambda: {one.node.registry.peers for one in everybody} == {4 + 2 * 295})
            reason = f"leaf is linked to 127.0.0.1:{first.port} again, which is listed before this hub"
            assert [link.reason for link in second.links() if link.peer == "leaf"] == [reason]
        nursery.cancel_scope.cancel()
    assert f"link to 127.0.0.1:{second.port} ended: {reason}" in [entry["event"] for entry in log]


async def test_a_hub_is_left_alone_while_one_before_it_can_be_had() -> None:
    hubs = [place(f"hub-{index}", forwards=True) for index in range(3)]
    leaf = place("leaf")
    async with trio.open_nursery() as nursery:
        mesh = Hubs(nursery, tuple(hubs))
        await mesh.come(0, 1, 2)
        async with dialing(leaf, *(hub.port for hub in hubs)):
            await until(lambda: names(leaf) == ["hub-0"])
            # Lost and found again at once: no reason to go anywhere.
            leaf.node.links.synced()[0].close("enough", trio.current_time(), code=CloseCode.OTHER)
            await until(lambda: not names(leaf))
            await until(lambda: names(leaf) == ["hub-0"])
            await mesh.go(0)
            await until(lambda: names(leaf) == ["hub-1"])
            await mesh.go(1)
            await until(lambda: names(leaf) == ["hub-2"])
            # The first link of the race may take a moment longer to be seen to have ended.
            await until(lambda: [link.peer for link in hubs[2].links() if link.peer == "leaf"] == ["leaf"])
            await mesh.come(1)
            await until(lambda: names(leaf) == ["hub-1"])
            await mesh.come(0)
            await until(lambda: names(leaf) == ["hub-0"])
        nursery.cancel_scope.cancel()


async def test_a_disabled_hub_is_passed_over_and_returned_to() -> None:
    first, second = place("first", forwards=True), place("second", forwards=True)
    leaf = place("leaf")
    async with listening(first), listening(second), dialing(leaf, first.port, second.port):
        await until(lambda: names(leaf) == ["first"])
        leaf.node.execute(DisableLinks(name="first", caller="alice"), trio.current_time())
        await until(lambda: names(leaf) == ["second"], seconds=1)
        leaf.announce(1)
        await until(lambda: second.node.registry.peers == 1)
        leaf.node.execute(EnableLinks(name="first", caller="alice"), trio.current_time())
        await until(lambda: names(leaf) == ["first"] and first.node.registry.peers == 1)


async def test_commands_know_a_hub_that_was_never_dialled() -> None:
    first, second = place("first", forwards=True), place("second", forwards=True)
    leaf = place("leaf")
    async with listening(first), listening(second), dialing(leaf, first.port, second.port):
        await until(lambda: names(leaf) == ["first"])
        addresses = [f"127.0.0.1:{hub.port}" for hub in (first, second)]
        for address in reversed(addresses):
            leaf.node.execute(DisableLinks(name=address, caller="alice"), trio.current_time())
        await until(lambda: not names(leaf))
        await trio.sleep(0.3)
        assert second.doors().attempts == 0
        leaf.node.execute(EnableLinks(name=addresses[1], caller="alice"), trio.current_time())
        await until(lambda: names(leaf) == ["second"])


async def test_all_hubs_at_once() -> None:
    first, second = place("first", forwards=True), place("second", forwards=True)
    leaf, other = place("leaf"), place("other")
    async with listening(first), listening(second):
        async with dialing(leaf, first.port), dialing(leaf, second.port), dialing(other, second.port):
            await until(lambda: sorted(names(leaf)) == ["first", "second"])
            leaf.announce(1)
            await until(lambda: first.node.registry.peers == second.node.registry.peers == 1)
            other.announce(2)
            await until(lambda: leaf.node.registry.peers == 2)
