"""The settings: one frozen class a section, one declaration a key. Loading and documents read these lines."""

# ruff: noqa: RUF009 - option() declares a field, as attrs.field() does; it is no shared default

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Literal

import attrs

from meshtracker.settings.network import AdminAddress, IpAddress, IpNetwork, ListenAddress, RemoteAddress
from meshtracker.settings.option import declared_options, option
from meshtracker.settings.secret import Secret

DAY_SECONDS = 86_400
HOUR_SECONDS = 3_600

MIN_SCRAPE_HASHES = 64
"""Transmission starts with 60 in one request and cuts down only after an error."""
MAX_NUMWANT = 2_000
"""36 kB of IPv6 peers: still one UDP datagram."""
MAX_BATCH_BYTES = 65_000
"""A batch and its header stay below the 64 KiB of one write, between which heartbeats pass."""

EVERYWHERE = (ListenAddress("0.0.0.0", 6969), ListenAddress("::", 6969))  # noqa: S104 - a tracker is there for everybody
LOCAL_NETWORKS = (
    ip_network("127.0.0.0/8"),
    ip_network("10.0.0.0/8"),
    ip_network("172.16.0.0/12"),
    ip_network("192.168.0.0/16"),
    ip_network("169.254.0.0/16"),
    ip_network("::1/128"),
    ip_network("fc00::/7"),
    ip_network("fe80::/10"),
)


@attrs.frozen
class NodeSettings:
    """Who this node is, and where it keeps its files."""

    name: str = option(
        "",
        "Name of this node, unlike that of every other node of the mesh; empty: taken from the host name.",
        pattern="[A-Za-z0-9._-]{0,64}",
    )
    state_dir: Path | None = option(
        None,
        "Directory for snapshots and the link's own certificate, writable by the node alone; "
        "empty: nothing is kept on disk.",
    )


@attrs.frozen
class TrackerSettings:
    """Torrents, peers, and what clients are told."""

    announce_interval_seconds: int = option(
        1800, "Clients are asked to announce once in this time.", minimum=1, maximum=DAY_SECONDS
    )
    min_interval_seconds: int = option(
        900, "Clients are asked never to announce more often than this.", minimum=0, maximum=DAY_SECONDS
    )
    announce_jitter_seconds: int = option(
        60,
        "Up to this much is added to each answered interval, at random, so that clients spread out.",
        minimum=0,
        maximum=HOUR_SECONDS,
    )
    peer_ttl_seconds: int = option(
        4500, "A peer not heard of for this long is forgotten.", minimum=1, maximum=7 * DAY_SECONDS
    )
    numwant_default: int = option(50, "Peers a client gets that names no number.", minimum=0, maximum=MAX_NUMWANT)
    numwant_max: int = option(
        200, "Peers a client gets at most, however many it wants.", minimum=1, maximum=MAX_NUMWANT
    )
    max_peers: int = option(
        5_000_000, "Peers kept in memory, those of other nodes included.", minimum=1, maximum=1_000_000_000
    )
    max_peers_per_swarm: int = option(200_000, "Peers kept for one torrent.", minimum=1, maximum=1_000_000_000)
    max_scrape_hashes: int = option(
        100, "Torrents that one HTTP scrape may ask for.", minimum=MIN_SCRAPE_HASHES, maximum=10_000
    )
    full_scrape: bool = option(False, "Answer a scrape without info-hash with every torrent of the mesh.")
    access: Literal["open", "allow", "deny"] = option(
        "open", "Torrents tracked: all (open), only those of access_file (allow), all but those (deny)."
    )
    access_file: Path | None = option(
        None,
        "The list for access: one info-hash of 40 hex digits a line; # starts a comment. A change is taken over within "
        "seconds, and what the mesh knows of torrents newly allowed comes with it.",
    )
    address_parameter_networks: tuple[IpNetwork, ...] = option(
        LOCAL_NETWORKS,
        "Only clients with a source address in these networks may name another address for themselves "
        "(ip=, ipv4=, ipv6=); everybody else could make a victim of it.",
    )


@attrs.frozen
class UdpSettings:
    """The UDP tracker (BEP 15)."""

    listen: tuple[ListenAddress, ...] = option(EVERYWHERE, "Addresses to listen on; an empty list turns UDP off.")
    max_batch_datagrams: int = option(
        256, "Datagrams answered in one go before other work gets its turn.", minimum=1, maximum=65_536
    )
    receive_buffer_bytes: int = option(
        4_194_304, "Receive buffer asked of the system for each socket.", minimum=4_096, maximum=1_073_741_824
    )
    connection_id_secret: Secret | None = option(
        None,
        "Secret from which connection ids are made; the same on all nodes behind one address. "
        "Without one each start makes its own.",
    )
    connection_id_secret_file: Path | None = option(None, "File which holds connection_id_secret.")
    max_bad_connection_ids: int = option(
        100,
        "Wrong connection ids a source may send within two minutes before it is not answered.",
        minimum=1,
        maximum=1_000_000,
    )
    max_throttled_sources: int = option(
        10_000, "Sources remembered for wrong connection ids.", minimum=1, maximum=10_000_000
    )


@attrs.frozen
class HttpSettings:
    """The HTTP tracker (BEP 3)."""

    listen: tuple[ListenAddress, ...] = option(EVERYWHERE, "Addresses to listen on; an empty list turns HTTP off.")
    max_connections: int = option(16_384, "Connections open at once.", minimum=1, maximum=1_000_000)
    head_timeout_seconds: float = option(
        10.0, "A request's head must be complete after this time.", minimum=0.1, maximum=HOUR_SECONDS
    )
    idle_timeout_seconds: float = option(
        30.0, "A kept-alive connection without a request is closed after this time.", minimum=0.1, maximum=HOUR_SECONDS
    )
    write_timeout_seconds: float = option(
        10.0, "A client that takes nothing of its answer is dropped after this time.", minimum=0.1, maximum=HOUR_SECONDS
    )
    max_head_bytes: int = option(
        16_384, "Longest request head: request line and headers.", minimum=8_192, maximum=1_048_576
    )
    max_batch_connections: int = option(
        256, "Connections served in one go before other work gets its turn.", minimum=1, maximum=65_536
    )
    trusted_proxies: tuple[IpNetwork, ...] = option(
        (), "Reverse proxies whose word on the client's address (X-Forwarded-For) is taken."
    )


@attrs.frozen
class LinkSettings:
    """The link between trackers: a hub listens, a leaf dials; a node may do both."""

    listen: tuple[ListenAddress, ...] = option(
        (), 'Addresses on which leaves may link; not empty makes this node a hub, e.g. ["0.0.0.0:59100"].'
    )
    hubs: tuple[RemoteAddress, ...] = option(
        (), 'Hubs to link to; not empty makes this node a leaf, e.g. ["hub.example.org:59100"].'
    )
    hub_mode: Literal["mirror", "failover"] = option(
        "mirror",
        "Several hubs: linked to all at once (mirror), or to the first in their order that can be had (failover).",
    )
    bind_address: IpAddress | None = option(None, "Local address to dial hubs from; empty: the system's choice.")
    allowed_networks: tuple[IpNetwork, ...] = option(
        (ip_network("0.0.0.0/0"), ip_network("::/0")), "Networks from which leaves may link."
    )
    password: Secret | None = option(
        None, "The password of the mesh, or of this node if its hub has given it one of its own; it is never sent."
    )
    password_file: Path | None = option(None, "File which holds the password.")
    credentials_file: Path | None = option(
        None,
        "Nodes that link to this hub with passwords of their own, or not at all (meshtracker credential); "
        "changes take effect within a second.",
    )
    hubs_need_credentials: bool = option(
        False,
        "Only nodes with a hub's password of their own may link as hubs, for a hub is believed what it says of the "
        "clients of all nodes; false: the mesh's password is enough.",
    )
    tls: Literal["on", "off"] = option(
        "on", "Encrypt the link. Off, the password stays unsent, but peers pass in the clear."
    )
    certificate_file: Path | None = option(
        None, "This hub's own certificate (PEM); empty: it makes one for itself, which the password proof vouches for."
    )
    key_file: Path | None = option(None, "The key of certificate_file (PEM).")
    ca_file: Path | None = option(
        None, "Authorities (PEM), one of which must have signed a hub's certificate, on top of the password proof."
    )
    flush_interval_seconds: float = option(
        0.1, "Changes are gathered for this long before they go over the link.", minimum=0.001, maximum=60
    )
    heartbeat_seconds: float = option(
        5.0, "Time between heartbeats, each of which acknowledges what has come.", minimum=0.01, maximum=300
    )
    soft_split_after_seconds: float = option(
        15.0,
        "A link that is up but carries no data for this long is in a soft-split.",
        minimum=0.03,
        maximum=HOUR_SECONDS,
    )
    auto_reset: bool = option(
        True, "Reset a link in a soft-split, so that both nodes resync; false: raise an alarm until it recovers."
    )
    max_batch_bytes: int = option(
        60_000, "A batch of this size goes without waiting.", minimum=1_000, maximum=MAX_BATCH_BYTES
    )
    max_log_bytes: int = option(
        67_108_864,
        "Memory for recent batches: what a link missed is sent from here; one that missed more gets everything anew.",
        minimum=65_536,
        maximum=68_719_476_736,
    )
    max_peers_per_node: int = option(
        2_000_000,
        "Peers taken from one other node; the link of a node that has more is closed, so that it cannot crowd out "
        "everybody else.",
        minimum=1,
        maximum=1_000_000_000,
    )
    handshake_timeout_seconds: float = option(
        10.0, "A new link must be authenticated after this time.", minimum=0.1, maximum=300
    )
    max_handshakes: int = option(64, "Links at once that are not authenticated yet.", minimum=1, maximum=10_000)
    max_attempts_per_minute: int = option(
        120,
        "New connections within a minute after which a source network is refused for a minute.",
        minimum=1,
        maximum=1_000_000,
    )
    max_failures_per_minute: int = option(
        10,
        "Failed authentications within a minute after which a source network is refused for a minute.",
        minimum=1,
        maximum=10_000,
    )
    reconnect_min_seconds: float = option(
        0.5, "First wait before a lost hub is dialled again; it doubles each time.", minimum=0.01, maximum=HOUR_SECONDS
    )
    reconnect_max_seconds: float = option(
        30.0, "Longest wait before a lost hub is dialled again.", minimum=0.01, maximum=HOUR_SECONDS
    )
    clock_warn_seconds: float = option(
        5.0, "Warn when the other node's clock is further off than this.", minimum=0.1, maximum=DAY_SECONDS
    )
    clock_refuse_seconds: float = option(
        60.0, "Refuse the link when the other node's clock is further off than this.", minimum=0.1, maximum=DAY_SECONDS
    )


@attrs.frozen
class SnapshotSettings:
    """What survives a restart."""

    enabled: bool = option(True, "Write all peers to node.state_dir now and then; without one nothing is written.")
    interval_seconds: float = option(60.0, "Time between snapshots.", minimum=1, maximum=DAY_SECONDS)


@attrs.frozen
class AdminSettings:
    """The API of this node: its figures, and commands for its links."""

    listen: tuple[AdminAddress, ...] = option(
        (ListenAddress("127.0.0.1", 6970),),
        "Addresses or Unix sockets to listen on; an empty list turns it off. Beyond loopback a token is required.",
    )
    read_token: Secret | None = option(None, "Whoever looks at this node must present this, or control_token.")
    read_token_file: Path | None = option(None, "File which holds read_token.")
    control_token: Secret | None = option(
        None,
        "Whoever resets, disables or enables links must present this; "
        "without one the node makes its own at each start, in node.state_dir, and a Unix socket needs none.",
    )
    control_token_file: Path | None = option(None, "File which holds control_token.")


@attrs.frozen
class LogSettings:
    """What the node writes to its standard error."""

    format: Literal["console", "json"] = option("console", "Lines for people (console) or for machines (json).")
    level: Literal["debug", "info", "warning", "error"] = option("info", "The least level that is written.")


@attrs.frozen
class Settings:
    """All settings of a node."""

    node: NodeSettings = NodeSettings()
    tracker: TrackerSettings = TrackerSettings()
    udp: UdpSettings = UdpSettings()
    http: HttpSettings = HttpSettings()
    link: LinkSettings = LinkSettings()
    snapshot: SnapshotSettings = SnapshotSettings()
    admin: AdminSettings = AdminSettings()
    log: LogSettings = LogSettings()
    origins: Mapping[str, str] = attrs.field(factory=dict, eq=False, repr=False)
    """Where each value that was set came from, by dotted key."""


def default() -> Settings:
    """The settings of a node that is told nothing: a tracker of its own on port 6969."""
    return Settings()


SECTIONS: dict[str, type[attrs.AttrsInstance]] = {
    "node": NodeSettings,
    "tracker": TrackerSettings,
    "udp": UdpSettings,
    "http": HttpSettings,
    "link": LinkSettings,
    "snapshot": SnapshotSettings,
    "admin": AdminSettings,
    "log": LogSettings,
}
OPTIONS = declared_options(SECTIONS)
"""Every key, in order."""
