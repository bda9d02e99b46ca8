"""Start, serve, drain: the life of a node in one nursery.

A service that crashes ends the node with its cause; trouble with one connection ends that connection only.
"""

from __future__ import annotations

import signal
from functools import partial

import attrs
import structlog
import trio

from meshtracker import __version__
from meshtracker.app import build, upkeep
from meshtracker.app.log import configure_log
from meshtracker.network.addresses import bound_address, endpoint_text
from meshtracker.network.link import LinkService
from meshtracker.node.node import Node
from meshtracker.settings import Settings
from meshtracker.storage.restore import restore
from meshtracker.storage.service import SnapshotService
from meshtracker.storage.snapshot import load_or_set_aside

log = structlog.get_logger()

SNAPSHOT_FILE = "swarms.snapshot"
DRAIN_SECONDS = 1.5
"""Time to tell the mesh the last changes, once asked to stop."""

Endpoint = tuple[str, int]


@attrs.frozen(kw_only=True)
class RunningNode:
    """A node that serves, and where: the ports are those that the system chose."""

    node: Node
    udp: tuple[Endpoint, ...]
    http: tuple[Endpoint, ...]
    link: tuple[Endpoint, ...]
    admin: tuple[str, ...]
    """``host:port`` or ``unix:/path``."""


def run(settings: Settings) -> None:
    """Run a node until SIGTERM or SIGINT. Raises `StartError`, or what a service died of."""
    configure_log(settings.log)
    trio.run(_run_until_signal, settings)


async def _run_until_signal(settings: Settings) -> None:
    stop = trio.Event()
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with trio.open_nursery(strict_exception_groups=False) as nursery:
            running = await nursery.start(partial(serve, settings, stop=stop))
            _say_where(running)
            async for number in signals:
                log.info("stopping", signal=signal.Signals(number).name)
                break
            stop.set()


def _say_where(running: RunningNode) -> None:
    log.info(
        "serving",
        node=running.node.name,
        version=__version__,
        **{
            name: " ".join(endpoint_text(*endpoint) for endpoint in endpoints)
            for name, endpoints in (("udp", running.udp), ("http", running.http), ("link", running.link))
            if endpoints
        },
        admin=" ".join(running.admin),
    )


async def serve(
    settings: Settings, *, stop: trio.Event, task_status: trio.TaskStatus[RunningNode] = trio.TASK_STATUS_IGNORED
) -> None:
    """Run a node until ``stop`` is set, then drain it: last changes to the mesh, swarms to disk.

    Error handling: `StartError` before anything is served; later the cause of a service that crashed.
    """
    state_dir = build.prepare_state_dir(settings)
    access = build.read_access(settings)
    name = build.node_name(settings)
    snapshot_file = state_dir / SNAPSHOT_FILE if state_dir and settings.snapshot.enabled else None
    snapshot = load_or_set_aside(snapshot_file, name=name) if snapshot_file else None
    node = build.build_node(settings, access=access, after_incarnation=snapshot.incarnation if snapshot else 0)
    if snapshot is not None:
        restored = restore(node, snapshot, trio.current_time())
        log.info("swarms restored", **attrs.asdict(restored))
    listener_tls, dialer_tls = build.listener_tls(settings, name), build.dialer_tls(settings)
    links = build.build_links(settings, node)

    with build.bind_sockets(settings) as sockets:
        udp_frontend, udp_service = build.build_udp(settings, node, sockets)
        http_frontend, http_service = build.build_http(settings, node, sockets)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(upkeep.flush, node, settings.link.flush_interval_seconds)
            nursery.start_soon(upkeep.expire, node)
            nursery.start_soon(upkeep.watch_clock, node)
            snapshots = None
            if snapshot_file is not None:
                snapshots = SnapshotService(node, snapshot_file, interval_seconds=settings.snapshot.interval_seconds)
                nursery.start_soon(snapshots.run)
            if links is not None:
                nursery.start_soon(
                    partial(links.listen, sockets.link, tls=listener_tls, policy=build.listen_policy(settings))
                )
                for hub in settings.link.hubs:
                    nursery.start_soon(
                        partial(links.dial, hub.host, hub.port, tls=dialer_tls, policy=build.dial_policy(settings))
                    )
            async with trio.open_nursery() as clients:
                clients.start_soon(udp_service.run)
                clients.start_soon(http_service.run)
                task_status.started(
                    RunningNode(
                        node=node,
                        udp=udp_service.addresses,
                        http=http_service.addresses,
                        link=tuple(map(bound_address, sockets.link)),
                        admin=(),
                    )
                )
                await stop.wait()
                clients.cancel_scope.cancel()
            await _drain(links, snapshots)
            nursery.cancel_scope.cancel()
    log.info("stopped", node=name)


async def _drain(links: LinkService | None, snapshots: SnapshotService | None) -> None:
    if links is not None:
        with trio.move_on_after(DRAIN_SECONDS):
            await links.drain()
    if snapshots is not None:
        await snapshots.save()
