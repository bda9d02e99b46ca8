"""Prepare, serve, drain: the life of a node.

What can go wrong with a machine goes wrong in `prepare`, before anything is served. Later a service that crashes ends
the node with its cause, and trouble with one connection ends that connection only.
"""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Protocol

import attrs
import structlog
import trio

from meshtracker import __version__
from meshtracker.admin import server
from meshtracker.admin.api import make_app
from meshtracker.admin.status import Status
from meshtracker.admin.tokens import Tokens
from meshtracker.app import build, garbage, upkeep
from meshtracker.app.log import configure_log
from meshtracker.compiled import execution
from meshtracker.network.addresses import bound_address, endpoint_text
from meshtracker.network.dialer import Dialer
from meshtracker.network.http import HttpService
from meshtracker.network.link import LinkService
from meshtracker.network.listener import Listener
from meshtracker.network.udp import UdpService
from meshtracker.node.commands import AuditEntry, Command
from meshtracker.node.node import Node
from meshtracker.settings import Settings
from meshtracker.storage.credentials import CredentialsFile
from meshtracker.storage.restore import restore
from meshtracker.storage.service import SnapshotService
from meshtracker.storage.snapshot import load_or_set_aside
from meshtracker.storage.watched import Watched

log = structlog.get_logger()

SNAPSHOT_FILE = "swarms.snapshot"
DRAIN_SECONDS = 1.5
"""Time to tell the mesh the last changes, once asked to stop."""
SAVE_SECONDS = 3.0
"""Time to save the swarms after that: a node stops within five seconds."""

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""SIGHUP comes when a terminal closes. Lists in files are followed without being told; settings want a restart."""

Endpoint = tuple[str, int]


@attrs.frozen(kw_only=True)
class RunningNode:
    """A node that serves, and where: the ports are those that the system chose."""

    node: Node
    udp: tuple[Endpoint, ...]
    http: tuple[Endpoint, ...]
    link: tuple[Endpoint, ...]
    admin: tuple[str, ...]
    """``http://host:port`` or ``unix:/path``."""


class _HasStatistics(Protocol):
    def statistics(self) -> attrs.AttrsInstance: ...


@attrs.frozen(kw_only=True)
class Services:
    """Everything of a node, ready to run."""

    settings: Settings
    node: Node
    sockets: build.Sockets
    udp: UdpService
    http: HttpService
    links: LinkService | None
    listener: Listener | None
    dialers: tuple[Dialer, ...]
    access_list: Watched | None
    """Its file, as it was when it was read."""
    credentials: CredentialsFile | None
    snapshots: SnapshotService | None
    tokens: Tokens
    """For the admin API."""
    counted: Mapping[str, _HasStatistics]
    """What status and metrics show besides the node."""

    async def run(
        self, stop: trio.Event, *, task_status: trio.TaskStatus[RunningNode] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Serve until ``stop`` is set; then tell the mesh the last changes and save the swarms."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(upkeep.flush, self.node, self.settings.link.flush_interval_seconds)
            nursery.start_soon(upkeep.expire, self.node)
            nursery.start_soon(upkeep.watch_clock, self.node)
            nursery.start_soon(garbage.collect)
            if self.access_list is not None:
                read = partial(build.read_access, self.settings)
                nursery.start_soon(upkeep.watch_access, self.node, self.access_list, read)
            if self.snapshots is not None:
                nursery.start_soon(self.snapshots.run)
            if self.links is not None:
                self._start_links(self.links, nursery)
            if self.sockets.admin:
                app = make_app(self.status, self.execute, tokens=self.tokens)
                await nursery.start(server.serve, app, self.sockets.admin)
            async with trio.open_nursery() as clients:
                clients.start_soon(self.udp.run)
                clients.start_soon(self.http.run)
                task_status.started(self._where())
                await stop.wait()
                clients.cancel_scope.cancel()
            await self._drain()
            nursery.cancel_scope.cancel()
        log.info("stopped", node=self.node.name)

    def status(self) -> Status:
        """All figures of this moment."""
        now = trio.current_time()
        figures = {name: service.statistics() for name, service in self.counted.items()}
        if self.snapshots is not None:
            figures["snapshot"] = self.snapshots.statistics(now)
        return Status(node=self.node.statistics(now), services=figures)

    def execute(self, command: Command) -> AuditEntry:
        """Carry out what an operator commands. Raises `CommandError`."""
        return self.node.execute(command, trio.current_time())

    def _start_links(self, links: LinkService, nursery: trio.Nursery) -> None:
        if self.credentials is not None:
            nursery.start_soon(upkeep.watch_credentials, self.credentials, links)
        if self.listener is not None:
            nursery.start_soon(self.listener.run, self.sockets.link)
        for dialer in self.dialers:
            nursery.start_soon(dialer.run)

    async def _drain(self) -> None:
        if self.links is not None:
            with trio.move_on_after(DRAIN_SECONDS):
                await self.links.drain()
        if self.snapshots is not None:
            with trio.move_on_after(SAVE_SECONDS) as saving:
                await self.snapshots.save()
            if saving.cancelled_caught:
                log.error("the last snapshot took too long and was given up; the one before it stands")

    def _where(self) -> RunningNode:
        return RunningNode(
            node=self.node,
            udp=self.udp.addresses,
            http=self.http.addresses,
            link=tuple(map(bound_address, self.sockets.link)),
            admin=tuple(server.addresses(self.sockets.admin)),
        )


@contextmanager
def prepare(settings: Settings) -> Iterator[Services]:
    """Build a node and bind its sockets. Raises `StartError`, and then nothing is left behind."""
    max_connections = build.raise_file_limit(settings)
    build.warn_of_loose_files(settings)
    state_dir = build.prepare_state_dir(settings)
    access_list = build.access_list(settings)
    access = build.read_access(settings)
    credentials = build.credentials_file(settings)
    credential = build.read_credential(settings, credentials)
    tls = build.link_tls(settings)
    snapshot_file = state_dir / SNAPSHOT_FILE if state_dir and settings.snapshot.enabled else None
    with build.bind_sockets(settings) as sockets:
        snapshot = load_or_set_aside(snapshot_file, name=build.node_name(settings)) if snapshot_file else None
        node = build.build_node(settings, access=access)
        if snapshot is not None:
            log.info("swarms restored", **attrs.asdict(restore(node, snapshot, trio.current_time())))
        udp_frontend, udp_service = build.build_udp(settings, node, sockets)
        http_frontend, http_service = build.build_http(settings, node, sockets, max_connections=max_connections)
        links = build.build_links(settings, node, credential)
        listener = build.build_listener(settings, links, tls)
        counted: dict[str, _HasStatistics] = {
            "udp": udp_frontend,
            "udp_socket": udp_service,
            "http": http_frontend,
            "http_socket": http_service,
        }
        if listener is not None:
            counted["link"] = listener
        yield Services(
            settings=settings,
            node=node,
            sockets=sockets,
            udp=udp_service,
            http=http_service,
            links=links,
            listener=listener,
            dialers=build.build_dialers(settings, links, tls),
            access_list=access_list,
            credentials=credentials,
            snapshots=build.build_snapshots(settings, node, snapshot_file),
            tokens=build.admin_tokens(settings),
            counted=counted,
        )


async def serve(
    settings: Settings, *, stop: trio.Event, task_status: trio.TaskStatus[RunningNode] = trio.TASK_STATUS_IGNORED
) -> None:
    """Run a node inside a larger program until ``stop`` is set."""
    with prepare(settings) as services:
        await services.run(stop, task_status=task_status)


def run(settings: Settings) -> None:
    """Run a node until one of `STOP_SIGNALS`. Raises `StartError`, or what a service died of."""
    configure_log(settings.log)
    trio.run(_run_until_signal, settings)


async def _run_until_signal(settings: Settings) -> None:
    stop = trio.Event()
    with prepare(settings) as services, trio.open_signal_receiver(*STOP_SIGNALS) as signals:
        garbage.settle()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_stop_on_signal, signals, stop)
            async with trio.open_nursery() as serving:
                _say_where(await serving.start(services.run, stop))
            nursery.cancel_scope.cancel()


async def _stop_on_signal(signals: AsyncIterator[int], stop: trio.Event) -> None:
    # Further signals are read as well: an unread one would end the process while it drains.
    async for number in signals:
        log.info("stopping", signal=signal.Signals(number).name)
        stop.set()


def _say_where(running: RunningNode) -> None:
    endpoints = {"udp": running.udp, "http": running.http, "link": running.link}
    where = {name: " ".join(endpoint_text(*at) for at in places) for name, places in endpoints.items() if places}
    admin = " ".join(running.admin) or "off"
    log.info("serving", node=running.node.name, version=__version__, runs=execution(), **where, admin=admin)
