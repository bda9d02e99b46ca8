from __future__ import annotations

import json
import socket
import subprocess
import sys
import types
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
from structlog.testing import capture_logs

import meshtracker
from meshtracker.admin.server import addresses, listen_tcp, listen_unix, serve
from meshtracker.admin.tokens import CONTROL_TOKEN_FILE, write_control_token
from meshtracker.app.run import RunningNode
from meshtracker.app.run import serve as serve_node
from meshtracker.cli import main
from meshtracker.compiled import execution
from meshtracker.errors import StartError
from meshtracker.settings import Settings, load
from tests.admin.support import app_with

TOKEN = "correct horse battery staple"


@attrs.frozen
class Said:
    code: int
    out: str
    err: str


class Command:
    """Runs the command line in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: str) -> Said:
        try:
            code = main(arguments)
        except SystemExit as exit_:
            code = int(exit_.code or 0)
        captured = self._capsys.readouterr()
        return Said(code, captured.out, captured.err)

    async def in_thread(self, *arguments: str) -> Said:
        return await trio.to_thread.run_sync(partial(self, *arguments))


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    for name in ("NODE__NAME", "NODE__STATE_DIR", "ADMIN__LISTEN", "ADMIN__READ_TOKEN", "ADMIN__CONTROL_TOKEN"):
        monkeypatch.delenv(f"MESHTRACKER__{name}", raising=False)
    return Command(capsys)


def write_config(directory: Path, text: str) -> str:
    path = directory / "node.toml"
    path.write_text(text)
    return str(path)


def replace_module(monkeypatch: pytest.MonkeyPatch, name: str, **attributes: Any) -> None:
    module = types.ModuleType(name)
    vars(module).update(attributes)
    monkeypatch.setitem(sys.modules, name, module)


# ---------------------------------------------------------------- help


def test_version(command: Command) -> None:
    assert command("--version") == Said(0, f"{meshtracker.__version__} ({execution()})\n", "")


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["run", "--help"], ["link", "status", "--help"], ["link", "reset", "--help"], ["config", "--help"]],
)
def test_help(command: Command, arguments: Sequence[str]) -> None:
    said = command(*arguments)
    assert said.code == 0
    assert said.out.startswith("Usage: meshtracker")


@pytest.mark.parametrize("arguments", [["bogus"], ["run"], ["config", "default", "bogus"], ["status", "--bogus"]])
def test_a_command_line_that_is_none(command: Command, arguments: Sequence[str]) -> None:
    said = command(*arguments)
    assert said.code == 2
    assert "Traceback" not in said.out + said.err


def test_what_is_heavy_is_not_imported_before_it_is_needed() -> None:
    code = "import sys, meshtracker.cli; print(*{'trio', 'hypercorn', 'starlette', 'cryptography'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


# ---------------------------------------------------------------- configuration


@pytest.mark.parametrize("kind", ["standalone", "hub", "leaf"])
def test_default_configurations(command: Command, kind: str) -> None:
    said = command("config", "default", kind)
    assert (said.code, said.err) == (0, "")
    assert "[tracker]" in said.out


def test_a_default_configuration_passes_the_check(command: Command, tmp_path: Path) -> None:
    path = write_config(tmp_path, command("config", "default").out)
    assert command("config", "check", "-c", path) == Said(0, f"{path}: ok\n", "")


@pytest.mark.parametrize(
    ("section", "key"),
    [
        ("tracker", 'access = "allow"\naccess_file'),
        ("link", 'listen = ["127.0.0.1:59100"]\npassword = "long enough a word"\ncredentials_file'),
    ],
)
def test_a_file_that_is_not_there_does_not_pass_the_check(
    command: Command, tmp_path: Path, section: str, key: str
) -> None:
    path = write_config(tmp_path, f'[{section}]\n{key} = "{tmp_path}/nowhere"\n')
    said = command("config", "check", "-c", path)
    assert (said.code, said.out) == (1, "")
    assert f"{tmp_path}/nowhere" in said.err


def test_a_wrong_configuration_is_told_line_by_line(command: Command, tmp_path: Path) -> None:
    path = write_config(tmp_path, "[tracker]\nnumwant_max = -1\nbogus = 1\n")
    for arguments in (
        ["config", "check"],
        ["config", "show"],
        ["run"],
        ["status"],
        ["link", "status"],
        ["link", "reset", "x"],
    ):
        said = command(*arguments, "-c", path)
        assert (said.code, said.out) == (2, "")
        assert f"{path}: tracker.numwant_max: must be" in said.err
        assert f"{path}: tracker.bogus: is no setting" in said.err


def test_show_masks_secrets_and_says_who_set_what(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_config(tmp_path, f'[admin]\nread_token = "{TOKEN}"\n')
    monkeypatch.setenv("MESHTRACKER__NODE__NAME", "somebody")
    said = command("config", "show", "-c", path)
    assert said.code == 0
    assert TOKEN not in said.out
    assert 'name = "somebody"  # from environment variable MESHTRACKER__NODE__NAME' in said.out


# ---------------------------------------------------------------- run, demo, password


def test_run_runs_the_node(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[Settings] = []
    replace_module(monkeypatch, "meshtracker.app", run=ran.append)
    path = write_config(tmp_path, '[node]\nname = "somebody"\n')
    assert command("run", "-c", path) == Said(0, "", "")
    assert ran == [load(Path(path), {})]


def test_a_node_that_cannot_start_says_why_in_one_line(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(settings: Settings) -> None:
        raise StartError("udp.listen 127.0.0.1:6969: address already in use")

    replace_module(monkeypatch, "meshtracker.app", run=run)
    said = command("run", "-c", write_config(tmp_path, ""))
    assert said == Said(1, "", "meshtracker: udp.listen 127.0.0.1:6969: address already in use\n")


def test_a_crash_is_not_hidden(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(settings: Settings) -> None:
        raise RuntimeError("a fault")

    replace_module(monkeypatch, "meshtracker.app", run=run)
    with pytest.raises(RuntimeError, match="a fault"):
        command("run", "-c", write_config(tmp_path, ""))


@pytest.mark.parametrize("code", [0, 1])
def test_the_demo_says_how_it_went(command: Command, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    asked: list[tuple[float | None, bool]] = []

    def run_demo(*, seconds: float | None, plain: bool) -> int:
        asked.append((seconds, plain))
        return code

    replace_module(monkeypatch, "meshtracker.demo", main=run_demo)
    assert command("demo").code == code
    assert command("demo", "--seconds", "2.5", "--plain").code == code
    assert asked == [(None, False), (2.5, True)]


@pytest.mark.parametrize("seconds", ["-1", "0", "nan", "inf"])
def test_the_demo_is_given_a_sensible_time(command: Command, monkeypatch: pytest.MonkeyPatch, seconds: str) -> None:
    def run_demo(*, seconds: float | None, plain: bool) -> int:
        raise AssertionError("it ran")

    replace_module(monkeypatch, "meshtracker.demo", main=run_demo)
    said = command("demo", f"--seconds={seconds}")
    assert said.code == 2
    assert "--seconds" in said.err


def test_password(command: Command, tmp_path: Path) -> None:
    path = tmp_path / "deep" / "mesh-password"
    assert command("password", str(path)) == Said(0, f"{path}: a new password\n", "")
    written = path.read_text()
    assert command("password", str(path)) == Said(0, f"{path}: has one already, left as it is\n", "")
    assert path.read_text() == written
    said = command("password", str(path / "below-a-file"))
    assert (said.code, said.out) == (1, "")
    assert said.err.startswith(f"meshtracker: {path}/below-a-file: ")


# ---------------------------------------------------------------- status


async def test_status_of_a_running_node(command: Command, tmp_path: Path) -> None:
    listeners = [listen_tcp("127.0.0.1", 0), listen_unix(str(tmp_path / "admin.sock"))]
    by_tcp, by_unix = addresses(listeners)
    # Where it listens is not where it is found.
    listen = by_tcp.removeprefix("http://").replace("127.0.0.1", "0.0.0.0")  # noqa: S104 - nothing listens there
    config = write_config(tmp_path, f'[admin]\nlisten = ["{listen}"]\nread_token = "{TOKEN}"\n')
    async with trio.open_nursery() as nursery:
        await nursery.start(serve, app_with(read=TOKEN), listeners)

        said = await command.in_thread("status", "-c", config, "--json")
        assert (said.code, said.err) == (0, "")
        assert json.loads(said.out)["node"]["name"] == "leaf"
        said = await command.in_thread("status", "-c", config, "--admin", by_unix)
        assert said.out.startswith("leaf  leaf  ")
        assert "synced" in said.out
        said = await command.in_thread("link", "status", "-c", config)
        assert "hub: full (new node)" in said.out
        said = await command.in_thread("link", "status", "-c", config, "--json")
        assert json.loads(said.out)["links"][0]["peer"] == "hub"
        assert json.loads(said.out)["neighbours"][0]["soft_splits"] == 2
        said = await command.in_thread("status", "--admin", by_tcp)
        assert (said.code, said.out) == (3, "")
        assert said.err == (
            f"meshtracker: the node at {by_tcp} refuses (401):"
            " a token of this node (admin.read_token) is missing or wrong\n"
        )
        nursery.cancel_scope.cancel()


def test_status_of_a_node_that_does_not_run(command: Command, tmp_path: Path) -> None:
    with listen_tcp("::1", 0) as listener:
        port = listener.getsockname()[1]
    config = write_config(tmp_path, f'[admin]\nlisten = ["[::]:{port}"]\nread_token = "{TOKEN}"\n')
    expected = Said(3, "", f"meshtracker: no node answers at http://[::1]:{port}: Connection refused\n")
    assert command("status", "-c", config) == expected
    assert command("link", "status", "-c", config) == expected


@pytest.mark.parametrize(
    ("listen", "problem"),
    [
        ("[]", "admin.listen is empty: this node has no admin API"),
        ('["127.0.0.1:0"]', "admin.listen leaves the port to the system"),
        ('["unix:/nonexistent/admin.sock"]', "no node answers at unix:/nonexistent/admin.sock: No such file"),
    ],
)
def test_where_a_node_cannot_be_found(command: Command, tmp_path: Path, listen: str, problem: str) -> None:
    said = command("status", "-c", write_config(tmp_path, f"[admin]\nlisten = {listen}\n"))
    assert (said.code, said.out) == (3, "")
    assert problem in said.err


# ---------------------------------------------------------------- commands for links


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
