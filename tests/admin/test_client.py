from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from meshtracker.admin.client import NodeUnreachableError, command_links, fetch
from meshtracker.admin.server import addresses, listen_tcp, listen_unix, serve
from meshtracker.errors import ConfigurationError
from tests.admin.support import app_with

TOKEN, CONTROL_TOKEN = "correct horse battery staple", "staple for commands"


async def ask(address: str, path: str = "/api/status", *, token: str | None = None) -> Any:
    return await trio.to_thread.run_sync(partial(fetch, address, path, token=token))


async def test_asks_over_tcp_and_unix_sockets(tmp_path: Path) -> None:
    listeners = [listen_tcp("127.0.0.1", 0), listen_tcp("::1", 0), listen_unix(str(tmp_path / "admin.sock"))]
    async with trio.open_nursery() as nursery:
        await nursery.start(serve, app_with(read=TOKEN, control=CONTROL_TOKEN), listeners)
        for address in addresses(listeners):
            assert (await ask(address, token=TOKEN))["node"]["name"] == "leaf"
            assert (await ask(address, "/api/links", token=TOKEN))["links"][0]["peer"] == "hub"
            with pytest.raises(NodeUnreachableError, match=r"refuses \(401\): a token of this node"):
                await ask(address)
        with pytest.raises(NodeUnreachableError, match="is no node of meshtracker"):
            await ask(addresses(listeners)[0], "/health")
        nursery.cancel_scope.cancel()


async def command(address: str, action: str, fields: dict[str, Any], *, token: str | None = None) -> list[str]:
    return await trio.to_thread.run_sync(partial(command_links, address, action, fields, token=token))


async def test_commands_over_tcp_and_unix_sockets(tmp_path: Path) -> None:
    listeners = [listen_tcp("127.0.0.1", 0), listen_unix(str(tmp_path / "admin.sock"))]
    async with trio.open_nursery() as nursery:
        await nursery.start(serve, app_with(own_control=CONTROL_TOKEN), listeners)
        by_tcp, by_unix = addresses(listeners)
        assert await command(by_tcp, "reset", {"all": True}, token=CONTROL_TOKEN) == ["hub"]
        assert await command(by_unix, "disable", {"name": "hub"}) == ["hub"]
        for address, action, fields, refusal in (
            (by_tcp, "reset", {"all": True}, r"refuses \(401\): the token for commands is missing"),
            (by_unix, "reset", {"name": "x"}, r"refuses \(404\): there is no link called 'x'$"),
            (by_unix, "enable", {"all": True, "reason": "too late"}, r"refuses \(409\): the link with hub is not up$"),
            (by_unix, "enable", {}, r"refuses \(400\): say which links"),
        ):
            with pytest.raises(NodeUnreachableError, match=refusal):
                await command(address, action, fields)
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    "address", ["", "foo", "http://", "http://127.0.0.1", "http://127.0.0.1:x", "https://127.0.0.1:1", "unix:relative"]
)
def test_an_address_that_is_none_is_named(address: str) -> None:
    with pytest.raises(ConfigurationError, match="must be of the form http://host:port or unix:/path"):
        fetch(address, "/api/status")


def test_nobody_there(tmp_path: Path) -> None:
    with listen_tcp("127.0.0.1", 0) as listener:
        [address] = addresses([listener])
    with pytest.raises(NodeUnreachableError, match=f"^no node answers at {address}: Connection refused$"):
        fetch(address, "/api/status")
    with pytest.raises(NodeUnreachableError, match="No such file or directory"):
        fetch(f"unix:{tmp_path}/none.sock", "/api/status")


async def test_somebody_else_there() -> None:
    listener = listen_tcp("127.0.0.1", 0)

    async def greet(stream: trio.SocketStream) -> None:
        await stream.send_all(b"220 mail.example.org ESMTP\r\n")

    async with trio.open_nursery() as nursery:
        trio_listener = trio.SocketListener(trio.socket.from_stdlib_socket(listener))
        await nursery.start(trio.serve_listeners, greet, [trio_listener])
        with pytest.raises(NodeUnreachableError, match="no node answers at http://"):
            await ask(addresses([listener])[0])
        nursery.cancel_scope.cancel()
