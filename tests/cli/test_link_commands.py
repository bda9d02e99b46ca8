"""Commands for links: which links, with whose token, and what nodes make of them."""

from __future__ import annotations

import json
import socket
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
from structlog.testing import capture_logs

from meshtracker.admin.server import addresses, listen_tcp, listen_unix, serve
from meshtracker.admin.tokens import CONTROL_TOKEN_FILE, write_control_token
from meshtracker.app.run import RunningNode
from meshtracker.app.run import serve as serve_node
from meshtracker.settings import Settings, load
from tests.admin.support import app_with
from tests.cli.support import TOKEN, Command, Said, write_config


@pytest.mark.parametrize("action", ["reset", "disable", "enable", "forget"])
@pytest.mark.parametrize("arguments", [[], ["hub", "--all"], ["hub", "other"], ["hub", "--bogus"]])
def test_which_links_must_be_said(command: Command, action: str, arguments: Sequence[str]) -> None:
    said = command("link", action, *arguments)
    assert (said.code, said.out) == (2, "")


@pytest.mark.parametrize("action", ["disable", "enable", "forget"])
def test_only_a_reset_can_be_full(command: Command, action: str) -> None:
    assert command("link", action, "--all", "--full").code == 2


async def test_commands_with_the_token_that_the_node_made(command: Command, tmp_path: Path) -> None:
    """Found through the configuration; with a configured token, and over a Unix socket, without."""
    token = write_control_token(tmp_path)
    listeners = [listen_tcp("127.0.0.1", 0), listen_unix(str(tmp_path / "admin.sock"))]
    by_tcp, by_unix = addresses(listeners)
    listen = by_tcp.removeprefix("http://")
    config = write_config(tmp_path, f'[node]\nstate_dir = "{tmp_path}"\n[admin]\nlisten = ["{listen}"]\n')
    async with trio.open_nursery() as nursery:
        await nursery.start(serve, app_with(own_control=token), listeners)
        for arguments in (
            ["reset", "hub", "-c", config, "--full", "--reason", "stuck since noon"],
            ["disable", "--all", "-c", config],
            ["enable", "hub", "--admin", by_unix],
            ["forget", "hub", "-c", config, "--reason", "it is another machine now"],
        ):
            with capture_logs() as logs:
                said = await command.in_thread("link", *arguments)
            assert said == Said(0, f"hub: {arguments[0]}\n", "")
            [entry] = logs
            assert f"@{socket.gethostname()} " in entry["caller"]
        said = await command.in_thread("link", "reset", "nobody", "-c", config)
        assert said == Said(
            3, "", f"meshtracker: the node at {by_tcp} refuses (404): there is no link called 'nobody'\n"
        )
        said = await command.in_thread("link", "reset", "--all", "--admin", by_tcp)
        assert (said.code, said.out) == (3, "")
        assert "control.token in node.state_dir, where the command line finds it with -c CONFIG" in said.err
        assert token not in said.err
        nursery.cancel_scope.cancel()


async def test_commands_with_the_token_that_is_configured(command: Command, tmp_path: Path) -> None:
    write_control_token(tmp_path)
    listener = listen_tcp("127.0.0.1", 0)
    [address] = addresses([listener])
    admin = f'[node]\nstate_dir = "{tmp_path}"\n[admin]\nlisten = ["{address.removeprefix("http://")}"]\n'
    async with trio.open_nursery() as nursery:
        await nursery.start(serve, app_with(control=TOKEN, read="another token"), [listener])
        with capture_logs():
            config = write_config(tmp_path, f'{admin}control_token = "{TOKEN}"\n')
            assert await command.in_thread("link", "reset", "--all", "-c", config) == Said(0, "hub: reset\n", "")
            assert (await command.in_thread("link", "status", "-c", config)).code == 0
            config = write_config(tmp_path, f'{admin.replace("state_dir", "#")}read_token = "another token"\n')
            said = await command.in_thread("link", "reset", "--all", "-c", config)
        assert said.code == 3
        assert "admin.read_token may only read: commands need admin.control_token" in said.err
        nursery.cancel_scope.cancel()


def test_a_token_that_cannot_be_read_is_named(command: Command, tmp_path: Path) -> None:
    (tmp_path / CONTROL_TOKEN_FILE).mkdir()
    config = write_config(tmp_path, f'[node]\nstate_dir = "{tmp_path}"\n')
    said = command("link", "reset", "--all", "-c", config)
    assert (said.code, said.out) == (2, "")
    assert said.err == (
        f"meshtracker: {tmp_path}/{CONTROL_TOKEN_FILE}: cannot be read: Is a directory; it is for the node's own user\n"
    )


async def test_commands_of_two_linked_nodes(command: Command, tmp_path: Path) -> None:
    """From either end, as an operator would: reset, disable, look, enable."""
    password = tmp_path / "password"
    password.write_text("a password of this test\n")
    configs: dict[str, str] = {}
    stop = trio.Event()

    def configure(name: str, link: str) -> Settings:
        directory = tmp_path / name
        directory.mkdir()
        configs[name] = write_config(
            directory,
            f'[node]\nname = "{name}"\nstate_dir = "{directory}"\n[udp]\nlisten = ["127.0.0.1:0"]\n'
            f'[http]\nlisten = []\n[admin]\nlisten = ["unix:{directory}/admin.sock"]\n[link]\n{link}\n'
            f'password_file = "{password}"\nreconnect_min_seconds = 0.05\nreconnect_max_seconds = 0.1\n',
        )
        return load(Path(configs[name]), {})

    async def links(name: str) -> Any:
        return json.loads((await command.in_thread("link", "status", "--json", "-c", configs[name])).out)

    async def until_synced() -> None:
        with trio.fail_after(10):
            while [link["state"] for link in (await links("leaf"))["links"]][:1] != ["synced"]:
                await trio.sleep(0.02)

    # What the nodes log is not what the command says.
    with capture_logs():
        async with trio.open_nursery() as nursery:
            hub: RunningNode = await nursery.start(
                partial(serve_node, configure("hub", 'listen = ["127.0.0.1:0"]'), stop=stop)
            )
            hubs = f'hubs = ["127.0.0.1:{hub.link[0][1]}"]'
            leaf: RunningNode = await nursery.start(partial(serve_node, configure("leaf", hubs), stop=stop))
            await until_synced()
            for name, other in (("hub", "leaf"), ("leaf", "hub"), ("leaf", f"127.0.0.1:{hub.link[0][1]}")):
                said = await command.in_thread("link", "reset", other, "--full", "-c", configs[name])
                assert said.out.endswith(": reset\n"), said
                await until_synced()
            for node in (hub, leaf):
                [link] = node.node.links.synced()
                assert "full (asked for)" in link.statistics(trio.current_time()).resync
            said = await command.in_thread("link", "forget", "leaf", "-c", configs["hub"])
            assert (said.code, "leaf is linked: reset or disable the link first" in said.err) == (3, True)
            await command.in_thread("link", "disable", "leaf", "--reason", "moving", "-c", configs["hub"])
            with trio.fail_after(10):
                while not any("moving" in link["reason"] for link in (await links("leaf"))["links"]):
                    await trio.sleep(0.02)
            said = await command.in_thread("link", "status", "-c", configs["hub"])
            assert "leaf: disabled by " in said.out
            assert ": moving" in said.out
            await command.in_thread("link", "enable", "--all", "-c", configs["hub"])
            await until_synced()
            stop.set()
