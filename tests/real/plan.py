"""Nodes that a test starts, stops and kills as it likes, and clients that see what became of them."""

from __future__ import annotations

import contextlib
import random
import subprocess
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from pathlib import Path

import attrs

from meshtracker.client.udp import UdpTracker
from meshtracker.model import AnnounceRequest, Event
from tests.real.mesh import MESHTRACKER, Node, Table, endpoint, write_config
from tests.real.processes import free_port, running, wait_until

HOST = "127.0.0.1"
HASH = b"the-swarm-of-a-test."
AGREE_SECONDS = 5.0
RECONNECT_MAX_SECONDS = 2

LinkTable = Mapping[str, str | int | float | bool | Sequence[str]]
"""Keys of the section ``link``."""


@attrs.define
class Plan:
    """A node that can be started more than once."""

    name: str
    host: str
    port: int
    config: Path
    directory: Path
    place: tuple[str, ...] = ()
    """A command that runs its arguments where the node lives, such as another network namespace."""
    environment: Mapping[str, str] = attrs.field(factory=dict)
    """On top of the test's own."""
    starts: int = 0

    @contextlib.asynccontextmanager
    async def run(self) -> AsyncIterator[Node]:
        """Run it as long as the block lasts."""
        self.starts += 1
        log = self.directory / f"{self.name}-{self.starts}.log"
        command = [*self.place, *MESHTRACKER, "run", "-c", str(self.config)]
        async with running(command, log=log, environment=self.environment) as program:
            yield Node(self.name, self.host, self.port, self.config, program, self.place)


@attrs.define
class Mesh:
    """A hub and leaves, not running yet."""

    hub: Plan
    leaves: list[Plan]


def plan_node(
    directory: Path,
    name: str,
    *,
    link: LinkTable,
    host: str = HOST,
    place: tuple[str, ...] = (),
    environment: Mapping[str, str] | None = None,
    snapshot_seconds: float = 1,
    log_format: str = "console",
) -> Plan:
    """A node on free ports; the directory holds the password of its mesh and is given what the node keeps."""
    port = free_port(HOST)
    table: Table = {
        "node": {"name": name, "state_dir": str(directory / f"{name}.state")},
        "udp": {"listen": [endpoint(host, port)]},
        "http": {"listen": [endpoint(host, port)]},
        "admin": {"listen": [endpoint(HOST, free_port(HOST))]},
        "snapshot": {"interval_seconds": snapshot_seconds},
        "link": {
            "password_file": str(write_password(directory)),
            "reconnect_max_seconds": RECONNECT_MAX_SECONDS,
            **link,
        },
        "log": {"format": log_format},
    }
    config = write_config(directory / f"{name}.toml", table)
    return Plan(name, host, port, config, directory, place, environment or {})


def write_password(directory: Path) -> Path:
    """The file with the mesh's password, made if it is not there."""
    file = directory / "mesh-password"
    subprocess.run([*MESHTRACKER, "password", str(file)], check=True, capture_output=True)
    return file


def plan_mesh(directory: Path, *leaves: str, link: LinkTable | None = None, snapshot_seconds: float = 1) -> Mesh:
    """A hub and leaves on one loopback."""
    hub_at = endpoint(HOST, free_port(HOST))

    def plan(name: str, part: LinkTable) -> Plan:
        return plan_node(directory, name, link={**(link or {}), **part}, snapshot_seconds=snapshot_seconds)

    return Mesh(plan("hub", {"listen": [hub_at]}), [plan(name, {"hubs": [hub_at]}) for name in leaves])


async def announce(node: Node, ports: Iterable[int], *, event: Event = Event.STARTED, info_hash: bytes = HASH) -> int:
    """Clients announce over UDP; how many answers came."""
    answered = 0
    async with UdpTracker(node.host, node.port, first_timeout_seconds=1, max_retransmissions=3) as tracker:
        for port in ports:
            request = AnnounceRequest(
                info_hash=info_hash,
                # Drawn, as those of real clients are: what does not compress fills a log.
                peer_id=b"-XX0001-" + random.Random(port).randbytes(12),
                key=port,
                address=bytes(4),
                port=port,
                event=event,
                left=1,
                numwant=0,
            )
            await tracker.announce(request)
            answered += 1
    return answered


async def agree(nodes: Iterable[Node], count: int, *, within_seconds: float = AGREE_SECONDS) -> None:
    """Every node counts as many clients in the swarm."""
    found: dict[str, int] = {}

    async def do_agree() -> bool:
        for node in nodes:
            found[node.name] = (await node.scrape(HASH))[1] if await answers(node) else -1
        return set(found.values()) == {count}

    await wait_until(do_agree, within_seconds=within_seconds, otherwise=lambda: f"{found}, not {count}")


async def answers(node: Node) -> bool:
    """Does it serve clients?"""
    try:
        await node.scrape(HASH)
    except OSError:
        return False
    return True
