"""The tasks of one connection: nothing a peer does, or leaves undone, keeps it for ever."""

from __future__ import annotations

import structlog
import trio
import trio.lowlevel
from structlog.testing import capture_logs

from meshtracker.link.session import LinkSession
from meshtracker.link.transitions import State
from meshtracker.model import Event
from meshtracker.network.connection import LinkConnection
from meshtracker.wire.frame import FrameDecoder, FrameType
from tests.network.places import Place, dialer_session, dialing, listening, place, until


def session_of(leaf: Place) -> LinkSession:
    """A leaf's end that the test itself moves."""
    session = dialer_session(leaf, peer_address="hub")
    session.connected(trio.current_time())
    session.secured(None, trio.current_time())
    return session


async def test_a_peer_that_says_nothing_is_told_so_and_let_go() -> None:
    decoder = FrameDecoder()
    async with listening(place("hub", forwards=True), secure=False) as hub:
        with trio.fail_after(10):
            async with await trio.open_tcp_stream("127.0.0.1", hub.port) as stream:
                frames = [frame async for data in stream for frame in decoder.feed(bytes(data))]
    assert [kind for kind, _ in frames] == [FrameType.CLOSE]
    assert b"still authenticating after 2 s" in frames[0][1]


async def send_all_there_is(session: LinkSession, stream: trio.SocketStream) -> None:
    while data := session.data_to_send(trio.current_time()):
        await stream.send_all(data)


async def bring_up(session: LinkSession, stream: trio.SocketStream) -> None:
    """Until the link is synced at both ends; from then on the test reads or does not."""
    while session.state is not State.SYNCED:
        await send_all_there_is(session, stream)
        session.receive_data(bytes(await stream.receive_some()), trio.current_time())
    await send_all_there_is(session, stream)


async def test_a_peer_that_stops_reading_costs_no_memory_and_is_let_go() -> None:
    leaf = place("a")
    hub = place("hub", forwards=True, soft_split_after_seconds=1.5)
    async with listening(hub, secure=False):
        async with await trio.open_tcp_stream("127.0.0.1", hub.port) as stream:
            stream.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_RCVBUF, 4096)
            await bring_up(session_of(leaf), stream)
            await until(lambda: hub.node.links.synced())
            [session] = hub.node.links.synced()

            async def announce_megabytes() -> int:
                """Returns how many bytes were made for the peer in all."""
                for client in range(10_000):
                    for event in (Event.STOPPED, Event.STARTED):
                        hub.announce(client + 1, event=event)
                    if client % 100 == 0:
                        await trio.lowlevel.checkpoint()
                return session.statistics(trio.current_time()).sent_bytes

            # From here on it neither reads nor speaks. What its socket does not take stays in the log.
            made = await announce_megabytes()
            # The system may find room for a little more of it yet, for as much again never.
            assert await announce_megabytes() < 1.5 * made
            await until(lambda: any("soft-split (" in link.reason for link in hub.links()))
            await until(lambda: not any(link.state != "closed" for link in hub.links()))


async def test_nothing_is_read_on_while_frames_wait_for_their_turn() -> None:
    hub, leaf = place("hub", forwards=True), place("a")
    turn = trio.StrictFIFOLock()
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener, await trio.open_tcp_stream(*listener.socket.getsockname()) as stream:
        session = hub.service.session(dials=False, peer_address="the leaf")
        connection = LinkConnection(session, await listener.accept(), turn=turn, context=None)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(connection.run)
            end = session_of(leaf)
            await bring_up(end, stream)
            before = session.statistics(trio.current_time()).received_bytes
            async with turn:
                # Another link's, and it takes long.
                for client in range(12_000):
                    leaf.announce(client + 1)
                leaf.node.mesh.flush(trio.current_time())
                # The system takes only some of it.
                nursery.start_soon(send_all_there_is, end, stream)
                await trio.sleep(0.3)
                read = session.statistics(trio.current_time()).received_bytes - before
                assert 0 < read <= 65_536
                assert hub.node.registry.peers == 0
            await until(lambda: hub.node.registry.peers == 12_000)
            assert session.statistics(trio.current_time()).received_bytes - before > 2 * 65_536
            nursery.cancel_scope.cancel()


async def test_rubbish_ends_the_link_and_nothing_else() -> None:
    async with listening(place("hub", forwards=True), secure=False) as hub:
        async with await trio.open_tcp_stream("127.0.0.1", hub.port) as stream:
            await stream.send_all(b"GET / HTTP/1.1\r\n\r\n")
            answer = b"".join([bytes(data) async for data in stream])
        assert b"not a meshtracker link frame" in answer
        await until(lambda: any("not a meshtracker link frame" in link.reason for link in hub.links()))


async def test_a_fault_of_the_program_ends_one_link_only() -> None:
    structlog.reset_defaults()
    hub, good = place("hub", forwards=True), place("good")
    async with listening(hub), dialing(good, hub.port):
        await until(lambda: good.node.links.synced())
        hub.node.links.admit = None  # type: ignore[assignment,method-assign]  # what a fault would look like
        with capture_logs() as entries:
            async with dialing(place("bad"), hub.port):
                await until(lambda: any("a fault of this node" in link.reason for link in hub.links()))
        assert any(entry["event"] == "link crashed" for entry in entries)
        assert good.node.links.synced()
