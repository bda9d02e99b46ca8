"""All nodes that hear each other hold equal rows and equal counts, whatever befell them: a list of what differs.

The one exception is counted: a leaf may keep rows that it must not speak of, and that its hub lost in a restart; no
more than its link's ``unshared_rows`` says.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeAlias

from meshtracker.node.node import Node
from tests.mouth_to_mouth import Rows
from tests.note_table import texts_of
from tests.simulation.host import Host
from tests.simulation.ledger import change_of, unix_seconds
from tests.simulation.scenario import TORRENTS
from tests.simulation.world import World

AGE_SLACK_SECONDS = 20.0
"""Clocks differ, and a sweep takes a tenth of the TTL: rows of about that age may be here and not there."""
Figures: TypeAlias = Mapping[tuple[int, str], int]
"""Completed downloads by torrent and node."""


def unalike(world: World) -> Iterator[str]:
    """What some node holds otherwise than the first hub."""
    hosts = [host for host in world.hosts.values() if host.node is not None]
    first = next((host for host in hosts if host.plan.forwards), None)
    if first is None:
        return
    for host in hosts:
        if host is not first:
            yield from _rows(world, host, first)
            yield from _figures(world, host, first)
    if all(host.plan.release == "4" for host in world.hosts.values() if host.plan.forwards):
        for host in hosts:
            if host is not first and host.plan.release == "4":
                yield from _notes(world, host, first)


def _rows(world: World, host: Host, first: Host) -> Iterator[str]:
    mine, theirs = _tracked(host.rows(), host), _tracked(first.rows(), host)
    fresh_from = world.wall_seconds - world.scenario.peer_ttl_seconds + AGE_SLACK_SECONDS
    apart, kept = [], 0
    for key in mine.keys() | theirs.keys():
        here, there = change_of(mine, key), change_of(theirs, key)
        if here == there or all(change is None or unix_seconds(change) < fresh_from for change in (here, there)):
            continue
        if here is not None and (there is None or there.stamp <= here.stamp):
            kept += 1
        else:
            apart.append(key)
        example = f"{key[0][-1]} {key[2]!r}: {here} here, {there} there"
    if apart or kept > unshared_rows(world, host):
        count = len(apart) + kept
        yield f"{host.name} and {first.name} differ in {count} rows, {kept} of which are unshared: {example}"


def _tracked(rows: Rows, by: Host) -> Rows:
    return rows if by.plan.forwards else {key: row for key, row in rows.items() if by.access().allows(key[0])}


def _figures(world: World, host: Host, first: Host) -> Iterator[str]:
    if unshared_rows(world, host):
        return
    mine, theirs = figures_of(host.node, host), figures_of(first.node, host)
    if mine != theirs:
        words = f"{sorted(mine.items() - theirs.items())} here, {sorted(theirs.items() - mine.items())} there"
        yield f"{host.name} and {first.name} count other downloads: {words}"


def figures_of(node: Node | None, tracked_by: Host) -> Figures:
    """Completed downloads that a node counts, of what some node tracks."""
    figures: dict[tuple[int, str], int] = {}
    for torrent in range(TORRENTS):
        info_hash = torrent.to_bytes(20, "big")
        swarm = node.registry.get(info_hash) if node is not None else None
        if swarm is not None and (tracked_by.plan.forwards or tracked_by.access().allows(info_hash)):
            figures |= {(torrent, name): total for name, (total, _, _) in (swarm.completed or {}).items()}
    return figures


def _notes(world: World, host: Host, first: Host) -> Iterator[str]:
    assert host.node is not None
    assert first.node is not None
    mine, theirs = texts_of(host.node), texts_of(first.node)
    if mine != theirs and not unshared_rows(world, host):
        yield f"{host.name} and {first.name} hold other notes: {mine} here, {theirs} there"


def unshared_rows(world: World, host: Host) -> int:
    """Rows that a node says that it keeps to itself."""
    now = world.timeline.now
    return max((end.session.statistics(now).unshared_rows for end in host.ends), default=0)
