"""A mesh of real node processes on free loopback ports."""

from __future__ import annotations

import contextlib
import functools
import json
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import attrs
import trio

from meshtracker.wire import bencode
from tests.real.processes import Program, free_port, running, wait_until

START_SECONDS = 20.0
"""For a whole mesh to start and synchronise, on a machine that is busy with other things."""
ANSWER_SECONDS = 5.0
MESHTRACKER = (sys.executable, "-m", "meshtracker")

# Clients that missed each other ask again soon.
TRACKER = {"announce_interval_seconds": 2, "min_interval_seconds": 1, "announce_jitter_seconds": 0}

Table = Mapping[str, Mapping[str, str | int | float | bool | Sequence[str]]]
"""Section to key to value: a configuration."""


@attrs.frozen
class Node:
    """One running node."""

    name: str
    host: str
    port: int
    """Of its tracker, UDP and HTTP."""
    config: Path
    program: Program
    place: tuple[str, ...] = ()
    """A command that runs its arguments where the node lives, such as another network namespace."""

    def announce_url(self, scheme: Literal["udp", "http"]) -> str:
        """Where clients announce."""
        return f"{scheme}://{endpoint(self.host, self.port)}/announce"

    async def scrape(self, info_hash: bytes) -> tuple[int, int]:
        """``(complete, incomplete)`` of one swarm, as the node tells a client over HTTP."""
        # As clients write it: a space is %20 and not +.
        url = f"http://{endpoint(self.host, self.port)}/scrape?info_hash={urllib.parse.quote(info_hash, safe='')}"
        answer: Any = bencode.decode(await trio.to_thread.run_sync(_get, url), max_bytes=10_000)
        swarm = answer[b"files"].get(info_hash, {b"complete": 0, b"incomplete": 0})
        return swarm[b"complete"], swarm[b"incomplete"]

    async def links(self) -> list[dict[str, Any]]:
        """What ``meshtracker link status --json`` says; nothing while the node does not answer."""
        return await self._ask_links() or []

    async def neighbours(self) -> dict[str, dict[str, Any]]:
        """The same command's figures of the nodes it was ever linked with, by name."""
        figures = await self._ask("link", "status") or {"neighbours": []}
        return {neighbour["name"]: neighbour for neighbour in figures["neighbours"]}

    async def status(self) -> dict[str, Any]:
        """What ``meshtracker status --json`` says; nothing while the node does not answer."""
        return await self._ask("status") or {}

    async def _ask_links(self) -> list[dict[str, Any]] | None:
        figures = await self._ask("link", "status")
        return None if figures is None else figures["links"]

    async def _ask(self, *words: str) -> Any:
        """A command's JSON; None if it failed."""
        command = [*self.place, *MESHTRACKER, *words, "--json", "-c", str(self.config)]
        done = await trio.run_process(command, capture_stdout=True, capture_stderr=True, check=False)
        return json.loads(done.stdout) if done.returncode == 0 else None

    async def wait_serving(self) -> None:
        """Until the node answers."""

        async def is_serving() -> bool:
            assert self.program.process.returncode is None, self.program.tail()
            return await self._ask_links() is not None

        await wait_until(is_serving, within_seconds=START_SECONDS, otherwise=self.program.tail)

    async def wait_synced(self, count: int) -> None:
        """Until the node has ``count`` links, all of them synced."""

        async def is_synced() -> bool:
            return [link["state"] for link in await self.links() if link["state"] != "closed"] == ["synced"] * count

        await wait_until(is_synced, within_seconds=START_SECONDS, otherwise=self.program.tail)


def _get(url: str) -> bytes:
    # Straight to the node, whatever proxy the machine is set up with.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=ANSWER_SECONDS) as answer:
        body: bytes = answer.read()
        return body


def endpoint(host: str, port: int) -> str:
    """``127.0.0.1:6969`` or ``[::1]:6969``."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def write_config(path: Path, table: Table) -> Path:
    """Write a configuration; these values look the same in TOML and in JSON."""
    lines = []
    for section, values in table.items():
        lines += [f"[{section}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items()), ""]
    path.write_text("\n".join(lines))
    return path


@contextlib.asynccontextmanager
async def run_node(
    directory: Path, name: str, *, host: str, link: Mapping[str, str | Sequence[str]] | None = None
) -> AsyncIterator[Node]:
    """Run one node; at the end of the block it must stop in good order."""
    port = free_port(host)
    table: Table = {
        "node": {"name": name, "state_dir": str(directory / f"{name}.state")},
        "tracker": TRACKER,
        "udp": {"listen": [endpoint(host, port)]},
        "http": {"listen": [endpoint(host, port)]},
        "admin": {"listen": [endpoint(host, free_port(host))]},
        "link": link or {},
    }
    config = write_config(directory / f"{name}.toml", table)
    command = [*MESHTRACKER, "run", "-c", str(config)]
    async with running(command, log=directory / f"{name}.log") as program:
        node = Node(name, host, port, config, program)
        await node.wait_serving()
        yield node
        assert await program.end() == 0, program.tail()


@contextlib.asynccontextmanager
async def run_mesh(directory: Path, *leaves: str, host: str = "127.0.0.1") -> AsyncIterator[dict[str, Node]]:
    """A hub called ``hub`` and leaves, all links synced; by name."""
    password_file = directory / "mesh-password"
    make = functools.partial(subprocess.run, [*MESHTRACKER, "password", str(password_file)], check=True)
    await trio.to_thread.run_sync(make)
    hub_at = endpoint(host, free_port(host))
    async with contextlib.AsyncExitStack() as stack:
        shared = {"password_file": str(password_file)}
        hub = await stack.enter_async_context(
            run_node(directory, "hub", host=host, link={**shared, "listen": [hub_at]})
        )
        nodes = {"hub": hub}
        for leaf in leaves:
            dialing = run_node(directory, leaf, host=host, link={**shared, "hubs": [hub_at]})
            nodes[leaf] = await stack.enter_async_context(dialing)
        for name, node in nodes.items():
            await node.wait_synced(len(leaves) if name == "hub" else 1)
        yield nodes
