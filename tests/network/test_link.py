"""Links over real loopback sockets: who gets one, who is told what, and how a mesh comes back."""

from __future__ import annotations

from datetime import UTC, datetime
from ipaddress import ip_network

import attrs
import pytest
import structlog
import trio
from structlog.testing import capture_logs

from meshtracker.errors import CloseCode
from meshtracker.link.proof.credentials import CredentialList
from meshtracker.model import Event
from meshtracker.network import tls
from meshtracker.node.commands import DisableLinks
from meshtracker.wire.frame import FrameType
from meshtracker.wire.link import control
from tests.network.places import (
    PASSWORD,
    Log,
    Place,
    dialing,
    is_synced,
    listening,
    place,
    until,
    warnings,
)


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
    holder, newcomer = place("twin"), place("twin")
    async with listening(place("hub", forwards=True)) as hub, trio.open_nursery() as nursery:
        async with dialing(holder, hub.port):
            await until(lambda: is_synced(holder))
            nursery.start_soon(_dial_for_ever, newcomer, hub.port)
            told = "another node named 'twin' is linked"
            await until(lambda: any(told in link.reason for link in newcomer.links()))
            await until(lambda: any(told in str(line["event"]) for line in log))
            assert {link.code for link in newcomer.links() if link.state == "closed"} == {"name"}
            # It is asked whether it is alive, and answers.
            before = hub.doors().attempts
            await until(lambda: hub.doors().attempts >= before + 5)
            assert is_synced(holder)
            assert not is_synced(newcomer)
        # Now that it is gone, the other one has the name: it never ceased to try.
        await until(lambda: is_synced(newcomer))
        nursery.cancel_scope.cancel()


async def _dial_for_ever(leaf: Place, port: int) -> None:
    async with dialing(leaf, port):
        await trio.sleep_forever()


async def test_tls_on_one_side_only(log: Log) -> None:
    told = await refused(place("hub", forwards=True), place("a"), log=log, secure=(True, False))
    assert told.hub.startswith("link of a stranger ended: no TLS: ")
    assert "is link.tls off on one side?" in told.hub
    assert "the other side hung up without a word (is link.tls off on one side" in told.leaf


async def test_tls_on_the_dialing_side_only(log: Log) -> None:
    told = await refused(place("hub", forwards=True), place("a"), log=log, secure=(False, True))
    assert "but TLS: is link.tls off on one side?" in told.hub
    assert "is link.tls off on one side" in told.leaf


async def answer_to_version(version: int, port: int) -> bytes:
    """All that a hub says to a node of that version."""
    answer = bytearray()
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        first = control(FrameType.AUTH_FIRST, v=version, mechanism="SCRAM-SHA-256", message="n,,n=x,r=y")
        await stream.send_all(first)
        async for data in stream:
            answer += data
    return bytes(answer)


async def test_another_protocol_version(log: Log) -> None:
    async with listening(place("hub", forwards=True), secure=False) as hub:
        answer = await answer_to_version(9, hub.port)
        told = "the listening node speaks version 3 of the link protocol, the dialling node version 9"
        assert f"{told}: upgrade the listening node".encode() in answer
        await until(lambda: any(told in str(entry["event"]) for entry in log))
        [link] = hub.links()
        assert link.code == "version"
        assert hub.node.links.refused() == {"version": 1}


async def test_a_node_of_protocol_2_is_told_that_it_is_older(log: Log) -> None:
    """It says one number, and reads of CLOSE the reason only."""
    async with listening(place("hub", forwards=True), secure=False) as hub:
        answer = await answer_to_version(2, hub.port)
        assert b"upgrade the dialling node" in answer


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


async def test_a_hub_that_comes_back_is_given_what_it_missed() -> None:
    hub = place("hub", forwards=True)
    async with listening(hub), dialing(place("a"), hub.port) as a:
        await until(lambda: is_synced(a))
        port = hub.port
        a.announce(1)
        await until(lambda: hub.node.registry.peers == 1)
        # The hub's listener goes and comes back; the node behind it is the same.
        for session in hub.node.links.synced():
            session.close("gone for a moment", trio.current_time(), code=CloseCode.OTHER)
        # Written before the link can be back.
        a.announce(2)
        a.node.mesh.flush(trio.current_time())
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


LISTED = (
    CredentialList(b"0123456789abcdef")
    .with_password("a", "leaf", "a password of a")
    .with_password("b", "leaf", "a password of b")
)


@pytest.mark.parametrize("mesh_password", [PASSWORD, None])
async def test_a_revoked_leaf_loses_its_link_and_nobody_else(log: Log, mesh_password: str | None) -> None:
    hub = place("hub", forwards=True, password=mesh_password, listed=LISTED)
    a, b = place("a", password="a password of a"), place("b", password="a password of b")
    async with listening(hub), dialing(a, hub.port), dialing(b, hub.port):
        await until(lambda: is_synced(a, b))
        [of_b] = b.node.links.synced()
        assert hub.service.update_credentials(LISTED.without("a"))
        with trio.fail_after(2):
            await until(lambda: not is_synced(a) and len(hub.node.links.synced()) == 1)
        # It tries again, and is told no more than any stranger.
        await until(lambda: any(link.reason == "authentication failed" for link in a.links()))
        await until(lambda: any(link.reason == "authentication failed: a is revoked" for link in hub.links()))
        reason = "the credential of a was revoked or replaced"
        assert [link.reason for link in a.links() if link.peer] == [reason]
        assert f"link of a ended: {reason}" in warnings(log)
        b.announce(1)
        await until(lambda: hub.node.registry.peers == 1)
        assert b.node.links.synced() == [of_b]
        assert not any(link.reason for link in b.links())


async def test_a_ring_of_hubs() -> None:
    """Everything comes to each of them two ways: nothing goes round, and nothing is applied twice."""
    hubs = [place(f"hub-{index}", forwards=True) for index in range(3)]
    leaf = place("leaf")
    everybody = (*hubs, leaf)
    clients = 50

    async def announce_everywhere(first: int) -> None:
        for client in range(clients):
            for number, node in enumerate(everybody):
                node.announce(first + number * clients + client)
            await trio.sleep(0.002)
        total = first - 1 + len(everybody) * clients
        await until(lambda: {node.node.registry.peers for node in everybody} == {total})

    def sent_batches() -> int:
        return sum(link.sent_batches for node in everybody for link in node.links())

    async with listening(hubs[0]), listening(hubs[1]), listening(hubs[2]):
        one, two, three = (hub.port for hub in hubs)
        async with dialing(hubs[0], two), dialing(hubs[1], three), dialing(hubs[2], one), dialing(leaf, one):
            await until(lambda: [len(node.node.links.synced()) for node in everybody] == [3, 2, 2, 1])
            await announce_everywhere(1)
            for node in everybody:
                figures = node.node.mesh.statistics()
                assert figures.applied_records == (len(everybody) - 1) * clients
                assert figures.stale_records == 0
            before = sent_batches()
            await trio.sleep(1)
            # What goes is the empty batches of one heartbeat, over every link at most both ways.
            assert sent_batches() - before <= len(everybody) * 2 * 4

            # One link less, and there is another way.
            hubs[0].node.execute(DisableLinks(name="hub-1", caller="alice"), trio.current_time())
            await until(lambda: [len(node.node.links.synced()) for node in everybody] == [2, 1, 2, 1])
            await announce_everywhere(1 + len(everybody) * clients)
