from __future__ import annotations

import os
import random
import socket
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
from hypercorn.trio.tcp_server import TCPServer
from starlette.types import ASGIApp
from structlog.testing import capture_logs

from meshtracker.admin import server
from meshtracker.admin.api import make_app
from meshtracker.admin.server import addresses, listen_tcp, listen_unix, serve
from meshtracker.admin.tokens import Tokens
from meshtracker.errors import StartError
from tests.admin.support import app_with, execute, make_status

REQUEST = b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
APP = app_with()


@asynccontextmanager
async def serving(app: ASGIApp, *sockets: socket.socket) -> AsyncIterator[None]:
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(serve, app, sockets))
        yield
        nursery.cancel_scope.cancel()


async def connect(listener: socket.socket) -> trio.SocketStream:
    stream = trio.SocketStream(trio.socket.socket(listener.family))
    await stream.socket.connect(listener.getsockname())
    return stream


async def ask(listener: socket.socket, request: bytes = REQUEST) -> bytes:
    stream = await connect(listener)
    async with stream:
        await stream.send_all(request)
        return b"".join([part async for part in stream])


def file_names(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]


def file_mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def test_serves_on_several_addresses(tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    listeners = [listen_tcp("127.0.0.1", 0), listen_tcp("::1", 0), listen_unix(str(path))]
    four, six = listeners[0].getsockname()[1], listeners[1].getsockname()[1]
    assert addresses(listeners) == [f"http://127.0.0.1:{four}", f"http://[::1]:{six}", f"unix:{path}"]
    async with serving(APP, *listeners):
        for listener in listeners:
            answer = await ask(listener)
            assert answer.startswith(b"HTTP/1.1 200")
            assert answer.endswith(b"\r\n\r\nok\n")
    assert file_names(tmp_path) == []


def test_a_port_in_use_is_named() -> None:
    with listen_tcp("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StartError, match=rf"^admin\.listen 127\.0\.0\.1:{port}: address already in use$"):
            listen_tcp("127.0.0.1", port)


def test_an_address_of_another_machine_is_named() -> None:
    with pytest.raises(StartError, match=r"^admin\.listen \[2001:db8::1\]:6970: cannot assign requested address$"):
        listen_tcp("2001:db8::1", 6970)


def test_a_unix_socket_is_for_the_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    before = os.umask(0)
    try:
        listen_unix(str(path)).close()
        assert os.umask(0) == 0
    finally:
        os.umask(before)
    assert file_mode(path) == 0o600


def test_a_unix_socket_left_behind_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    listen_unix(str(path)).close()
    assert path.is_socket()
    listen_unix(str(path)).close()


def test_a_unix_socket_in_use_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    with listen_unix(str(path)):
        with pytest.raises(StartError, match=rf"^admin\.listen unix:{path}: address already in use$"):
            listen_unix(str(path))
        assert path.is_socket()


def test_a_file_where_the_unix_socket_should_be_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    path.write_text("something else")
    with pytest.raises(StartError, match="address already in use"):
        listen_unix(str(path))
    assert path.read_text() == "something else"


@pytest.fixture
def brief_keep_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "KEEP_ALIVE_SECONDS", 0.1)


@pytest.mark.usefixtures("brief_keep_alive")
async def test_there_is_a_bound_on_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "MAX_CONNECTIONS", 2)
    listener = listen_tcp("127.0.0.1", 0)
    async with serving(APP, listener):
        held = [await connect(listener) for _ in range(2)]
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert await ask_or_reset(listener) == b""
        for stream in held:
            await stream.aclose()
        while not await ask_or_reset(listener):
            await trio.lowlevel.checkpoint()


async def ask_or_reset(listener: socket.socket) -> bytes:
    try:
        return await ask(listener)
    except trio.BrokenResourceError:
        return b""


async def test_a_connection_does_not_last_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "MAX_CONNECTION_SECONDS", 0.05)
    listener = listen_tcp("127.0.0.1", 0)
    async with serving(APP, listener):
        assert await ask(listener, b"GET /health HTTP/1.1\r\nHost: ") == b""


async def test_a_client_that_reads_nothing_does_not_hold_up_the_end() -> None:
    async def flood(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while True:
            await send({"type": "http.response.body", "body": bytes(1 << 20), "more_body": True})

    listener = listen_tcp("127.0.0.1", 0)
    with trio.fail_after(5):
        async with serving(flood, listener):
            stream = await connect(listener)
            await stream.send_all(REQUEST)
            await trio.testing.wait_all_tasks_blocked(0.05)
    await stream.aclose()


async def test_a_fault_of_one_connection_ends_that_one(monkeypatch: pytest.MonkeyPatch) -> None:
    run, faults = TCPServer.run, [RuntimeError("a fault of the library")]

    async def fail_once(self: TCPServer) -> None:
        if faults:
            raise faults.pop()
        await run(self)

    monkeypatch.setattr(TCPServer, "run", fail_once)
    listener = listen_tcp("127.0.0.1", 0)
    with capture_logs() as logs:
        async with serving(APP, listener):
            assert await ask_or_reset(listener) == b""
            assert (await ask(listener)).startswith(b"HTTP/1.1 200")
    assert logs == [
        {
            "event": "admin connection failed",
            "log_level": "warning",
            "error": "RuntimeError('a fault of the library')",
        }
    ]


async def test_half_a_command_is_nobodys_fault(tmp_path: Path) -> None:
    listener = listen_unix(str(tmp_path / "admin.sock"))
    head = b"POST /api/links/reset HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n"
    with capture_logs() as logs:
        async with serving(APP, listener):
            stream = await connect(listener)
            await stream.send_all(head + b'{"all": true')
            await trio.testing.wait_all_tasks_blocked(0.05)
            await stream.aclose()
            await trio.testing.wait_all_tasks_blocked(0.05)
            assert (await ask(listener)).startswith(b"HTTP/1.1 200")
    assert logs == []


async def test_a_fault_in_an_answer_is_a_500() -> None:
    def broken() -> Any:
        raise RuntimeError("no figures")

    listener = listen_tcp("127.0.0.1", 0)
    with capture_logs() as logs:
        async with serving(make_app(broken, execute, tokens=Tokens()), listener):
            answer = await ask(listener, REQUEST.replace(b"/health", b"/api/status"))
            assert answer.startswith(b"HTTP/1.1 500")
            assert b"no figures" not in answer
            assert (await ask(listener)).startswith(b"HTTP/1.1 200")
    [entry] = logs
    assert (entry["event"], entry["path"], entry["exc_info"]) == ("admin answer failed", "/api/status", True)


STARTS = (
    b"",
    REQUEST,
    b"GET /api/status HTTP/1.1\r\n",
    (
        b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    ),
    b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: \r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]),
    b"POST /api/status HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"GET /" + bytes(range(33, 127)) * 300,
)


@pytest.mark.usefixtures("brief_keep_alive")
@pytest.mark.parametrize("token", [None, "correct horse battery staple"])
async def test_no_bytes_end_the_server(token: str | None) -> None:
    rng = random.Random(7)
    listener = listen_tcp("127.0.0.1", 0)

    async def send_rubbish() -> None:
        data = rng.choice(STARTS) + rng.randbytes(rng.choice((0, 1, 9, 50, 20_000)))
        stream = await connect(listener)
        with trio.move_on_after(0.5):
            try:
                await stream.send_all(data)
                await stream.send_eof()
                async for _ in stream:
                    pass
            except trio.BrokenResourceError:
                pass
        await trio.aclose_forcefully(stream)

    with capture_logs():
        async with serving(make_app(make_status, execute, tokens=Tokens(read=token)), listener):
            for _ in range(10):
                async with trio.open_nursery() as nursery:
                    for _ in range(30):
                        nursery.start_soon(send_rubbish)
            while not (answer := await ask_or_reset(listener)):
                await trio.lowlevel.checkpoint()
            assert answer.startswith(b"HTTP/1.1 200")
