"""Status of a node: found by its configuration or its address, and where there is none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import trio

from meshtracker.admin.server import addresses, listen_tcp, listen_unix, serve
from tests.admin.support import app_with
from tests.cli.support import TOKEN, Command, Said, write_config


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
