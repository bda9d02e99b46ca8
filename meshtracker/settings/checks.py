"""What must hold between keys; each problem names the key to change and what would be right."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

from meshtracker.settings.network import ListenAddress
from meshtracker.settings.sections import LinkSettings, Settings, TrackerSettings

Problem: TypeAlias = tuple[str, str]
"""The dotted key and what is wrong with it."""

MAX_ESCAPED_HASH_BYTES = len("info_hash=&") + 3 * 20
"""One info-hash in a scrape's query, every byte of it percent-encoded."""


def find_problems(settings: Settings) -> Iterator[Problem]:
    """Everything that cannot work, although each value by itself could."""
    yield from _check_listeners(settings)
    yield from _check_tracker(settings.tracker)
    yield from _check_http(settings)
    yield from _check_link(settings.link)
    yield from _check_link_times(settings.link)
    yield from _check_snapshot(settings)
    yield from _check_admin(settings)


def _check_listeners(settings: Settings) -> Iterator[Problem]:
    if not (settings.udp.listen or settings.http.listen or settings.link.listen):
        yield "udp.listen", "must not be empty when http.listen and link.listen are: nobody could reach this node"


def _check_tracker(tracker: TrackerSettings) -> Iterator[Problem]:
    interval = tracker.announce_interval_seconds
    if tracker.min_interval_seconds > interval:
        problem = f"must be at most announce_interval_seconds ({interval}), got {tracker.min_interval_seconds}"
        yield "tracker.min_interval_seconds", problem
    oldest_live = interval + tracker.announce_jitter_seconds + (interval + 1) // 2
    if tracker.peer_ttl_seconds < oldest_live:
        problem = (
            f"must be at least {oldest_live} (announce_interval_seconds + announce_jitter_seconds + half an interval: "
            "plain re-announces are relayed at most once per half interval, so other nodes know a live peer by a stamp "
            f"up to that old), got {tracker.peer_ttl_seconds}"
        )
        yield "tracker.peer_ttl_seconds", problem
    if tracker.numwant_default > tracker.numwant_max:
        problem = f"must be at most numwant_max ({tracker.numwant_max}), got {tracker.numwant_default}"
        yield "tracker.numwant_default", problem
    if tracker.max_peers_per_swarm > tracker.max_peers:
        problem = f"must be at most max_peers ({tracker.max_peers}), got {tracker.max_peers_per_swarm}"
        yield "tracker.max_peers_per_swarm", problem
    if tracker.access != "open" and tracker.access_file is None:
        yield "tracker.access_file", f'must name the list of torrents when access is "{tracker.access}"'


def _check_http(settings: Settings) -> Iterator[Problem]:
    needed = settings.tracker.max_scrape_hashes * MAX_ESCAPED_HASH_BYTES
    if settings.http.max_head_bytes < needed:
        problem = f"must be at least {needed} to hold tracker.max_scrape_hashes, got {settings.http.max_head_bytes}"
        yield "http.max_head_bytes", problem


def _check_link(link: LinkSettings) -> Iterator[Problem]:
    if link.hubs and link.password is None:
        yield "link.password", "must be set (or link.password_file) because link.hubs is: nobody links without one"
    elif link.listen and link.password is None and link.credentials_file is None:
        others = "link.password_file, or link.credentials_file"
        yield "link.password", f"must be set (or {others}) because link.listen is: nobody links without one"
    if link.credentials_file is not None and not link.listen:
        problem = "must be empty because link.listen is: a leaf's own password goes into link.password"
        yield "link.credentials_file", problem
    if link.certificate_file is None and link.key_file is not None:
        yield "link.certificate_file", "must be set because link.key_file is: they go together"
    if link.key_file is None and link.certificate_file is not None:
        yield "link.key_file", "must be set because link.certificate_file is: they go together"
    if link.tls == "off" and (link.certificate_file or link.ca_file):
        unused = "link.certificate_file" if link.certificate_file else "link.ca_file"
        yield "link.tls", f'must be "on" because {unused} is set: without TLS no certificate is shown or checked'


def _check_link_times(link: LinkSettings) -> Iterator[Problem]:
    ordered = (
        ("flush_interval_seconds", "heartbeat_seconds"),
        ("heartbeat_seconds", "handshake_timeout_seconds"),
        ("reconnect_min_seconds", "reconnect_max_seconds"),
        ("clock_warn_seconds", "clock_refuse_seconds"),
    )
    at_least = 2 * link.heartbeat_seconds
    if link.soft_split_after_seconds < at_least:
        problem = (
            f"must be at least twice heartbeat_seconds ({at_least:g}), got {link.soft_split_after_seconds:g}: "
            "each heartbeat confirms the data of the one before"
        )
        yield "link.soft_split_after_seconds", problem
    for shorter, longer in ordered:
        if getattr(link, shorter) > getattr(link, longer):
            yield f"link.{shorter}", f"must be at most {longer} ({getattr(link, longer)}), got {getattr(link, shorter)}"


def _check_snapshot(settings: Settings) -> Iterator[Problem]:
    asked_for = settings.snapshot.enabled and "snapshot.enabled" in settings.origins
    if asked_for and settings.node.state_dir is None:
        yield "node.state_dir", "must be set because snapshot.enabled is: a snapshot needs a place"


def _check_admin(settings: Settings) -> Iterator[Problem]:
    admin = settings.admin
    if admin.read_token is not None or admin.control_token is not None:
        return
    for address in admin.listen:
        if isinstance(address, ListenAddress) and not address.is_loopback:
            problem = (
                f"must be set (or admin.read_token_file) because admin.listen has {address}, which others can reach"
            )
            yield "admin.read_token", problem
            return
