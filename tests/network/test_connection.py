"""The tasks of one connection: nothing a peer does, or leaves undone, keeps it for ever."""

from __future__ import annotations

import socket
import ssl

import pytest
import structlog
import trio
from structlog.testing import capture_logs

from meshtracker.link.authentication import Credential
from meshtracker.link.session import LinkPolicy, LinkSession, State
from meshtracker.network import tls
from meshtracker.network.connection import plain_error
from meshtracker.wire.link import FrameDecoder, FrameType
from tests.network.test_link import PASSWORD, Place, dialing, listening, place, until


def session_of(leaf: Place) -> LinkSession:
    """A leaf's end that the test itself moves."""
    session = LinkSession(
        replica=leaf.node.mesh,
        credential=Credential(PASSWORD),
        dials=True,
        policy=LinkPolicy(),
        admit=lambda *_: None,
        peer_address="hub",
        now=trio.current_time(),
    )
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


async def test_a_peer_that_stops_reading_is_let_go() -> None:
    leaf = place("a")
    async with listening(place("hub", forwards=True), secure=False) as hub:
        async with await trio.open_tcp_stream("127.0.0.1", hub.port) as stream:
            stream.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_RCVBUF, 4096)
            session = session_of(leaf)
            while session.state is not State.SYNCED:
                while data := session.data_to_send(trio.current_time()):
                    await stream.send_all(data)
                session.receive_data(bytes(await stream.receive_some()), trio.current_time())
            while data := session.data_to_send(trio.current_time()):
                await stream.send_all(data)
            await until(lambda: hub.node.links.synced())
            # From here on it neither reads nor speaks, while the hub has megabytes for it.
            for client in range(20_000):
                hub.announce(client + 1)
            await until(lambda: any("nothing heard" in link.reason for link in hub.links()))
            await until(lambda: not any(link.state != "closed" for link in hub.links()))


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


def test_errors_in_plain_words() -> None:
    refused = OSError("all attempts to connect failed")
    refused.__cause__ = ExceptionGroup("attempts", [ConnectionRefusedError(111, "Connection refused")] * 2)
    assert plain_error(refused) == "Connection refused"
    assert plain_error(trio.TooSlowError()) == "no answer in time"
    assert plain_error(ValueError()) == "ValueError"
    assert plain_error(socket.gaierror(-2, "Name or service not known")) == "Name or service not known"


def test_openssl_has_error_numbers_of_its_own() -> None:
    hello, answer = ssl.MemoryBIO(), ssl.MemoryBIO()
    end = tls.client_context(None).wrap_bio(answer, hello)
    answer.write(b"220 mail.example.org ESMTP\r\n")
    with pytest.raises(ssl.SSLError) as caught:
        end.do_handshake()
    assert plain_error(caught.value) == "wrong version number"
    assert plain_error(ssl.SSLEOFError(8, "EOF occurred in violation of protocol")) == "unexpected end"
