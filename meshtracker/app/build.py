"""Settings → the objects of a node. What can be wrong with a machine shows here, before anything is served."""

from __future__ import annotations

import random
import re
import resource
import secrets
import socket
import ssl
import stat
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import attrs
import structlog
import trio

from meshtracker.admin import server
from meshtracker.admin.tokens import Tokens, write_control_token
from meshtracker.errors import StartError
from meshtracker.frontends.http import HttpFrontend
from meshtracker.frontends.http_connection import HttpConnection, HttpLimits
from meshtracker.frontends.udp import UdpFrontend
from meshtracker.link.clock import HybridClock
from meshtracker.link.greeting import ClockPolicy
from meshtracker.link.policy import LinkPolicy
from meshtracker.link.proof.authentication import Credential
from meshtracker.network import http, listener, tls, udp
from meshtracker.network.admission import ListenPolicy
from meshtracker.network.dialer import Dialer, DialPolicy
from meshtracker.network.link import LinkService
from meshtracker.network.listener import Listener
from meshtracker.node.mesh import MeshPolicy
from meshtracker.node.node import Node
from meshtracker.node.policy import TrackerPolicy
from meshtracker.settings import SECRET_FILES, AdminAddress, Settings, UnixAddress
from meshtracker.storage.credentials import CredentialsFile
from meshtracker.storage.service import SnapshotService
from meshtracker.storage.watched import Watched
from meshtracker.swarm.access import Access
from meshtracker.throttle import Throttle
from meshtracker.wire.connection_id import EPOCH_SECONDS, ConnectionIds

log = structlog.get_logger()

_SECRET_BYTES = 32
_OTHER_FILES = 512
"""Descriptors for all but clients: links, admin connections, snapshots, libraries."""


@attrs.frozen
class Sockets:
    """Everything a node listens on for clients and leaves."""

    udp: tuple[socket.socket, ...]
    http: tuple[socket.socket, ...]
    link: tuple[socket.socket, ...]
    admin: tuple[socket.socket, ...]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of all of them."""
        for bound in self.udp + self.http + self.link + self.admin:
            bound.close()


def bind_sockets(settings: Settings) -> Sockets:
    """Bind every address, or none: raises `StartError` naming the first that cannot be had."""
    with ExitStack() as undo:

        def bind_all(addresses: Iterable[Any], bind: Callable[[Any], socket.socket]) -> tuple[socket.socket, ...]:
            return tuple(undo.enter_context(bind(address)) for address in addresses if _is_to_be_had(address))

        buffer_bytes = settings.udp.receive_buffer_bytes
        sockets = Sockets(
            bind_all(settings.udp.listen, lambda at: udp.bind(at.host, at.port, receive_buffer_bytes=buffer_bytes)),
            bind_all(settings.http.listen, lambda at: http.bind(at.host, at.port)),
            bind_all(settings.link.listen, lambda at: listener.bind(at.host, at.port)),
            bind_all(settings.admin.listen, _bind_admin),
        )
        undo.pop_all()
        return sockets


def _bind_admin(address: AdminAddress) -> socket.socket:
    if isinstance(address, UnixAddress):
        return server.listen_unix(address.path)
    return server.listen_tcp(address.host, address.port)


def _is_to_be_had(address: AdminAddress) -> bool:
    """Not so is ``[::]`` on a machine without IPv6: the default configuration has to start there as well."""
    if isinstance(address, UnixAddress) or address.host != "::":
        return True
    try:
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).close()
        has_ipv6 = Path("/proc/net/if_inet6").stat() is not None
    except OSError:
        has_ipv6 = False
    if not has_ipv6:
        log.warning("this machine has no IPv6", not_listening_on=str(address))
    return has_ipv6


def raise_file_limit(settings: Settings) -> int:
    """Ask the system for the file descriptors that `http.max_connections` may need; warn if it gives less.

    Returns how many connections to hold: others must not keep links and snapshots from their files.
    """
    wanted = settings.http.max_connections + _OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    given = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < given:
        resource.setrlimit(resource.RLIMIT_NOFILE, (given, hard))
    if given < wanted:
        log.warning("fewer connections than http.max_connections will fit: the limit of open files is low", limit=given)
    return min(settings.http.max_connections, max(given - _OTHER_FILES, given // 2))


def node_name(settings: Settings) -> str:
    """The configured name, or what of the host's name a node may be called."""
    return settings.node.name or re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname())[:64] or "node"


def prepare_state_dir(settings: Settings) -> Path | None:
    """``node.state_dir``, made if it is missing. Raises `StartError`."""
    state_dir = settings.node.state_dir
    if state_dir is None:
        return None
    try:
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        probe = state_dir / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise StartError(f"node.state_dir {state_dir}: {error.strerror}") from error
    return state_dir


def warn_of_loose_files(settings: Settings) -> None:
    """Say which secrets every user of this machine can read, and whether all can write where this node trusts files."""
    files = {Path(settings.origins[key]) for key in SECRET_FILES if key in settings.origins}
    others = {path for path in (settings.link.key_file, settings.link.credentials_file) if path is not None}
    for path in sorted(files | others):
        if path.is_file() and path.stat().st_mode & stat.S_IROTH:
            log.warning("every user of this machine can read a secret of this node: chmod 600", file=str(path))
    state_dir = settings.node.state_dir
    if state_dir is not None and state_dir.is_dir() and state_dir.stat().st_mode & stat.S_IWOTH:
        log.warning("every user of this machine can write to node.state_dir: chmod 700", directory=str(state_dir))


def access_list(settings: Settings) -> Watched | None:
    """The file of the access list, looked at: what is changed from now on is to be read again."""
    path = settings.tracker.access_file
    if settings.tracker.access == "open" or path is None:
        return None
    watched = Watched(path)
    watched.look()
    return watched


def read_access(settings: Settings) -> Access:
    """The access list. Raises `StartError` naming the file and the line."""
    path = settings.tracker.access_file
    if settings.tracker.access == "open" or path is None:
        return Access()
    try:
        return Access.parse(settings.tracker.access, path.read_text())
    except OSError as error:
        raise StartError(f"tracker.access_file {path}: {error.strerror}") from error
    except ValueError as error:
        raise StartError(f"tracker.access_file {path}: {error}") from error


def build_node(settings: Settings, *, access: Access) -> Node:
    """The node."""
    tracker, mesh = settings.tracker, settings.link
    now = trio.current_time()
    wall_seconds = time.time()
    return Node(
        name=node_name(settings),
        incarnation=secrets.randbits(64),
        clock=HybridClock(wall_offset_seconds=wall_seconds - now),
        rng=random.Random(secrets.randbits(64)),
        tracker=TrackerPolicy(
            announce_interval_seconds=tracker.announce_interval_seconds,
            min_interval_seconds=tracker.min_interval_seconds,
            announce_jitter_seconds=tracker.announce_jitter_seconds,
            peer_ttl_seconds=tracker.peer_ttl_seconds,
            numwant_default=tracker.numwant_default,
            numwant_max=tracker.numwant_max,
        ),
        mesh=MeshPolicy(
            forwards=bool(mesh.listen),
            heartbeat_seconds=mesh.heartbeat_seconds,
            max_batch_bytes=mesh.max_batch_bytes,
            # Nobody will ever ask a node of its own what he missed.
            max_log_bytes=mesh.max_log_bytes if mesh.listen or mesh.hubs else 0,
            max_future_seconds=mesh.clock_refuse_seconds,
        ),
        access=access,
        dials=bool(mesh.hubs),
        max_peers=tracker.max_peers,
        max_peers_per_swarm=tracker.max_peers_per_swarm,
        max_peers_per_node=mesh.max_peers_per_node,
        now=now,
    )


def build_udp(settings: Settings, node: Node, sockets: Sockets) -> tuple[UdpFrontend, udp.UdpService]:
    """The UDP tracker."""
    secret = settings.udp.connection_id_secret
    frontend = UdpFrontend(
        node=node,
        connection_ids=ConnectionIds(secret.reveal().encode() if secret else secrets.token_bytes(_SECRET_BYTES)),
        throttle=Throttle(
            limit=settings.udp.max_bad_connection_ids,
            window_seconds=EPOCH_SECONDS,
            max_sources=settings.udp.max_throttled_sources,
        ),
        address_networks=settings.tracker.address_parameter_networks,
    )
    service = udp.UdpService(
        sockets.udp,
        receive_datagram=frontend.receive_datagram,
        max_batch_datagrams=settings.udp.max_batch_datagrams,
        frontend=frontend,
    )
    return frontend, service


def build_http(
    settings: Settings, node: Node, sockets: Sockets, *, max_connections: int
) -> tuple[HttpFrontend, http.HttpService]:
    """The HTTP tracker; ``max_connections`` is what `raise_file_limit` gave."""
    frontend = HttpFrontend(
        node=node,
        max_scrape_hashes=settings.tracker.max_scrape_hashes,
        full_scrape=settings.tracker.full_scrape,
        address_networks=settings.tracker.address_parameter_networks,
        trusted_proxies=settings.http.trusted_proxies,
    )
    limits = HttpLimits(
        max_head_bytes=settings.http.max_head_bytes,
        head_timeout_seconds=settings.http.head_timeout_seconds,
        idle_timeout_seconds=settings.http.idle_timeout_seconds,
    )
    service = http.HttpService(
        sockets.http,
        open_connection=lambda address, now: HttpConnection(frontend=frontend, limits=limits, address=address, now=now),
        # Behind a proxy, who asks is in a header field.
        frontend=None if settings.http.trusted_proxies else frontend,
        max_connections=max_connections,
        max_batch_connections=settings.http.max_batch_connections,
        head_timeout_seconds=limits.head_timeout_seconds,
        idle_timeout_seconds=limits.idle_timeout_seconds,
        write_timeout_seconds=settings.http.write_timeout_seconds,
    )
    return frontend, service


def credentials_file(settings: Settings) -> CredentialsFile | None:
    """Where the nodes with a credential of their own are listed."""
    path = settings.link.credentials_file
    return None if path is None else CredentialsFile(path)


def read_credential(settings: Settings, file: CredentialsFile | None) -> Credential | None:
    """What this node proves itself with and checks proofs against; None for a node of its own. Raises `StartError`."""
    password = settings.link.password
    if password is None and file is None:
        return None
    try:
        listed = None if file is None else file.read()
        return Credential(
            None if password is None else password.reveal(),
            listed,
            hubs_are_listed=settings.link.hubs_need_credentials,
        )
    except StartError as error:
        raise StartError(f"link.credentials_file {error}") from error
    except ValueError as error:
        raise StartError(f"link.password: {error}") from error


def check_files(settings: Settings) -> None:
    """Read the files that a start would read. Raises `StartError`."""
    read_access(settings)
    read_credential(settings, credentials_file(settings))


def build_links(settings: Settings, node: Node, credential: Credential | None) -> LinkService | None:
    """The link service; None for a node of its own."""
    if credential is None:
        return None
    return LinkService(
        node,
        credential=credential,
        policy=LinkPolicy(
            heartbeat_seconds=settings.link.heartbeat_seconds,
            handshake_timeout_seconds=settings.link.handshake_timeout_seconds,
            soft_split_after_seconds=settings.link.soft_split_after_seconds,
            auto_reset=settings.link.auto_reset,
            clocks=ClockPolicy(
                warn_seconds=settings.link.clock_warn_seconds, refuse_seconds=settings.link.clock_refuse_seconds
            ),
        ),
    )


def build_listener(settings: Settings, links: LinkService | None, tls: LinkTls) -> Listener | None:
    """What accepts links; None for a node that is no hub."""
    if links is None or not settings.link.listen:
        return None
    policy = ListenPolicy(
        allowed_networks=settings.link.allowed_networks,
        max_handshakes=settings.link.max_handshakes,
        max_attempts_per_minute=settings.link.max_attempts_per_minute,
        max_failures_per_minute=settings.link.max_failures_per_minute,
    )
    return Listener(links, tls=tls.listener, policy=policy)


def build_dialers(settings: Settings, links: LinkService | None, tls: LinkTls) -> tuple[Dialer, ...]:
    """What keeps the links to hubs: one for each, or one for all where they stand in for one another."""
    hubs = tuple((hub.host, hub.port) for hub in settings.link.hubs)
    if links is None or not hubs:
        return ()
    policy = DialPolicy(
        bind_address=str(settings.link.bind_address) if settings.link.bind_address else None,
        reconnect_min_seconds=settings.link.reconnect_min_seconds,
        reconnect_max_seconds=settings.link.reconnect_max_seconds,
    )
    rng = random.Random(secrets.randbits(64))
    alternatives = [hubs] if settings.link.hub_mode == "failover" else [(hub,) for hub in hubs]
    return tuple(Dialer(links, group, tls=tls.dialer, policy=policy, rng=rng) for group in alternatives)


@attrs.frozen
class LinkTls:
    """Contexts of both ends; None where TLS is off or not needed."""

    listener: tuple[ssl.SSLContext, bytes] | None
    """With the node's own certificate (DER)."""
    dialer: ssl.SSLContext | None


def link_tls(settings: Settings) -> LinkTls:
    """Read, or make, what TLS needs. Raises `StartError`."""
    if settings.link.tls == "off":
        return LinkTls(None, None)
    dialer = tls.client_context(settings.link.ca_file) if settings.link.hubs else None
    return LinkTls(_listener_tls(settings) if settings.link.listen else None, dialer)


def _listener_tls(settings: Settings) -> tuple[ssl.SSLContext, bytes]:
    name, today = node_name(settings), datetime.now(UTC)
    if settings.link.certificate_file and settings.link.key_file:
        return tls.server_context(settings.link.certificate_file, settings.link.key_file)
    if settings.node.state_dir is None:
        return tls.unsaved_server_context(name, today)
    return tls.server_context(*tls.own_certificate(settings.node.state_dir, name, today))


def build_snapshots(settings: Settings, node: Node, file: Path | None) -> SnapshotService | None:
    """The snapshot service; None for a node that keeps nothing."""
    if file is None:
        return None
    return SnapshotService(node, file, interval_seconds=settings.snapshot.interval_seconds)


def admin_tokens(settings: Settings) -> Tokens:
    """What callers of the admin API present; makes the node's own token for commands if it needs one. `StartError`.

    Called once the sockets are bound: a second start by mistake must not replace the token of the node that runs.
    """
    admin = settings.admin
    state_dir = settings.node.state_dir
    over_tcp = any(not isinstance(address, UnixAddress) for address in admin.listen)
    return Tokens(
        read=admin.read_token.reveal() if admin.read_token else None,
        control=admin.control_token.reveal() if admin.control_token else None,
        own_control=write_control_token(state_dir) if state_dir and over_tcp and admin.control_token is None else None,
    )
