"""What must hold once the faults are over: properties 1 to 3 of the link, as a list of what does not."""

from __future__ import annotations

from collections.abc import Iterator

from meshtracker.link.state import State
from meshtracker.model import PeerState
from tests.simulation.host import Host
from tests.simulation.ledger import Change, Key, change_of, is_same, unix_seconds
from tests.simulation.world import World

_AGE_SLACK_SECONDS = 20.0
"""Clocks differ, and a sweep takes a tenth of the TTL: rows of about that age may be here and not there."""


def amiss(world: World) -> list[str]:
    """Everything that is not as it should be."""
    return [*_links(world), *_vectors(world), *_rows(world), *_completed(world)]


def _links(world: World) -> Iterator[str]:
    """Every link that is wanted is up, and no other."""
    for host in world.hosts.values():
        wanted = [edge for edge in host.edges if edge.is_listed]
        if host.plan.mode == "failover":
            wanted = wanted[:1]
        for edge in host.edges:
            # Of two that dial each other one link is enough.
            is_wanted = edge in wanted and not (edge.is_crossed and host.name > edge.listener.name)
            ends = [
                end for connection in edge.connections for end in connection.ends if end.is_open and not end.is_gone
            ]
            states = [end.session.state for end in ends]
            if states != [State.SYNCED] * 2 * is_wanted:
                words = ", ".join(state.value for state in states)
                yield f"the link {edge} is not {'up' if is_wanted else 'down'}: {words}"


def _vectors(world: World) -> Iterator[str]:
    """Every node knows of every other what was said up to its last batch but one."""
    for origin in world.hosts.values():
        if origin.node is None:
            yield f"{origin.name} is down"
            continue
        incarnation, least = origin.node.incarnation, origin.sequence_before()
        for host in world.hosts.values():
            known = host.node.mesh.position(origin.name) if host.node else None
            if known is None or known < (incarnation, least):
                yield f"{host.name} knows {origin.name} up to {known}, not to {(incarnation, least)}"


def _rows(world: World) -> Iterator[str]:
    """Every node holds of every torrent that it tracks what it must, and nothing else."""
    ledger = world.ledger
    newest = world.wall_seconds
    fresh_from = newest - world.scenario.peer_ttl_seconds + _AGE_SLACK_SECONDS
    gone_before = newest - world.scenario.peer_ttl_seconds - _AGE_SLACK_SECONDS
    expected = {key: ledger.expected(key) for key in ledger.changes}
    for host in world.hosts.values():
        if host.node is None:
            continue
        rows = host.rows()
        allows = host.node.access.allows
        for key in rows.keys() - ledger.changes.keys():
            yield f"{host.name} holds a row that nobody wrote: {_named(key)}"
        for key, change in expected.items():
            held = change_of(rows, key)
            if held is not None and unix_seconds(held) < gone_before:
                yield f"{host.name} holds what has aged out: {_named(key)}"
            if held == change or (not host.plan.forwards and not allows(key[0])):
                continue
            if held is not None:
                written = [one for one in ledger.changes[key] if is_same(held, one)]
                if not written:
                    yield f"{host.name} holds a row that nobody wrote so: {_named(key)} {held}"
                    continue
                later = change is None or max(written) > change
                if change in written or (later and not ledger.orphans.get(key, set()).isdisjoint(written)):
                    continue
            if change is not None and unix_seconds(change) >= fresh_from:
                yield _difference(host, key, held, change)


def _difference(host: Host, key: Key, held: Change | None, change: Change) -> str:
    if held is None:
        return f"{host.name} lacks {_named(key)} of {change.origin}"
    if change.state == PeerState.REMOVED and held.state != PeerState.REMOVED:
        return f"{host.name} still shows {_named(key)} of {held.origin}, which stopped at {change.origin}"
    return f"{host.name} holds {_named(key)} as {held.origin} said, not as {change.origin} said later"


def _completed(world: World) -> Iterator[str]:
    """Completed downloads are the same everywhere, unless memory was lost or swarms have aged out.

    Of what a hub passes on as its own they are no part.
    """
    several = sum(host.plan.forwards for host in world.hosts.values()) > 1
    lost = several and any(host.restarts for host in world.hosts.values())
    if lost or world.ledger.orphans or world.scenario.peer_ttl_seconds < 1000:
        return
    for host in world.hosts.values():
        if host.node is None:
            continue
        names = host.node.registry.origins.names
        for (info_hash, origin), total in world.ledger.completed.items():
            swarm = host.node.registry.get(info_hash)
            if not host.plan.forwards and not host.node.access.allows(info_hash):
                continue
            known = swarm.completed or {} if swarm is not None else {}
            count = known.get(names.index(origin), 0) if origin in names else 0
            if count != total:
                yield f"{host.name} counts {count} downloads of torrent {info_hash[-1]} at {origin}, not {total}"


def _named(key: Key) -> str:
    info_hash, address_bytes, identity = key
    client = int(identity[8:20]) if identity[8:20].isdigit() else identity.hex()
    return f"client {client} of torrent {info_hash[-1]} (IPv{4 if address_bytes == 6 else 6})"
