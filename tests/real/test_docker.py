"""The containers' commands, run as plain processes: what docker-compose.yml starts is a mesh."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import attrs
import pytest
import trio

from meshtracker.client.udp import UdpTracker
from meshtracker.model import AnnounceRequest, Event
from meshtracker.wire import compact
from tests.compose import Service, entry_point, in_repository, read_services
from tests.real.mesh import MESHTRACKER, START_SECONDS, endpoint
from tests.real.processes import Program, free_port, running, wait_until

pytestmark = pytest.mark.real

HOST = "127.0.0.1"
VISIBLE_SECONDS = 5.0
INFO_HASH = b"swarm-in-containers!"
AT_A = 1001
"""Port and number of the client that leaf-a hears."""


@attrs.frozen
class Host:
    """This machine in the place of Docker: each container's directories and ports have another place here."""

    directory: Path
    ports: dict[str, int]
    """Of each node's tracker, by the service's name."""
    hub_link: str

    def environment(self, service: Service) -> dict[str, str]:
        """What the container is given, and on top where things are here."""
        tracker = endpoint(HOST, self.ports[service.name])
        link = {"LINK__LISTEN": self.hub_link} if service.name == "hub" else {"LINK__HUBS": self.hub_link}
        moved = {
            "NODE__STATE_DIR": str(self.directory / service.name),
            "UDP__LISTEN": tracker,
            "HTTP__LISTEN": tracker,
            "ADMIN__LISTEN": tracker.replace(HOST, "127.0.0.2"),
            "LINK__PASSWORD_FILE": str(self.directory / "run/meshtracker/mesh-password"),
            **link,
        }
        return service.environment | {f"MESHTRACKER__{key}": value for key, value in moved.items()}

    def command(self, service: Service) -> list[str]:
        """What the container runs, with the paths of this machine."""
        return [*MESHTRACKER, *map(self._path, service.command)]

    def _path(self, word: str) -> str:
        if word.startswith("/run/"):
            return f"{self.directory}{word}"
        return str(in_repository(word)) if word.startswith("/etc/") else word


async def wait_healthy(service: Service, program: Program, environment: dict[str, str]) -> None:
    """Until the container's own health check is content."""
    executable, *arguments = service.healthcheck
    assert [executable] == entry_point()

    async def is_healthy() -> bool:
        command = [*MESHTRACKER, *arguments]
        environ = {**os.environ, **environment}
        done = await trio.run_process(command, env=environ, capture_stdout=True, capture_stderr=True, check=False)
        return done.returncode == 0

    await wait_until(is_healthy, within_seconds=START_SECONDS, otherwise=program.tail)


async def announce(port: int, *, client: int) -> bytes:
    """A client announces over UDP; the compact peers it is told of."""
    async with UdpTracker(HOST, port, first_timeout_seconds=1, max_retransmissions=3) as tracker:
        answer = await tracker.announce(
            AnnounceRequest(
                info_hash=INFO_HASH,
                peer_id=b"-XX0001-%012d" % client,
                key=client,
                address=bytes(4),
                port=client,
                event=Event.STARTED,
                left=1,
            )
        )
        return answer.peers


async def test_announce_at_leaf_a_is_seen_at_leaf_b(tmp_path: Path) -> None:
    services = read_services()
    host = Host(tmp_path, {name: free_port(HOST) for name in services}, endpoint(HOST, free_port(HOST)))
    async with contextlib.AsyncExitStack() as stack:
        for service in services.values():
            environment = host.environment(service)
            program = await stack.enter_async_context(
                running(host.command(service), log=tmp_path / f"{service.name}.log", environment=environment)
            )
            if service.healthcheck:
                await wait_healthy(service, program, environment)
            else:
                assert await program.process.wait() == 0, program.tail()

        await announce(host.ports["leaf-a"], client=AT_A)

        async def is_visible() -> bool:
            return compact.pack_peer(compact.packed_address(HOST), 1001) in await announce(
                host.ports["leaf-b"], client=1002
            )

        await wait_until(is_visible, within_seconds=VISIBLE_SECONDS, otherwise=lambda: "leaf-b lacks leaf-a's client")
