"""What must hold once the faults are over: properties 1 to 3 of the link, as a list of what does not."""

from __future__ import annotations

from collections.abc import Iterator

from meshtracker.link.transitions import State
from meshtracker.model import PeerState
from tests.simulation.alike import AGE_SLACK_SECONDS, figures_of, unalike
from tests.simulation.host import Host
from tests.simulation.ledger import Change, Key, change_of, unix_seconds
from tests.simulation.scenario import TORRENTS
from tests.simulation.world import World


def amiss(world: World) -> list[str]:
    """Everything that is not as it should be."""
    rows = _rows_among_lies if world.is_lied_to else _rows
    return [*_links(world), *_vectors(world), *rows(world), *_completed(world), *unalike(world)]


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
            versions = {end.session.version for end in ends}
            newest = 4 if edge.dialer.plan.release == edge.listener.plan.release == "4" else 3
            if is_wanted and versions != {newest}:
                yield f"the link {edge} speaks {versions}, not {newest}"


def _vectors(world: World) -> Iterator[str]:
    """Every node knows of every other what was said up to its last batch but one."""
    for origin in world.hosts.values():
        if origin.node is None:
            yield f"{origin.name} is down"
            continue
        own, least = origin.node.mesh.own, origin.sequence_before()
        for host in world.hosts.values():
            known = host.node.mesh.position(own) if host.node else None
            if known is None or known.sequence < least:
                yield f"{host.name} knows {origin.name} up to {known}, not to {least}"


def _rows(world: World) -> Iterator[str]:
    """Every node holds of every torrent that it tracks what it must, and nothing else."""
    ledger = world.ledger
    newest = world.wall_seconds
    fresh_from = newest - world.scenario.peer_ttl_seconds + AGE_SLACK_SECONDS
    gone_before = newest - world.scenario.peer_ttl_seconds - AGE_SLACK_SECONDS
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
                written = [one for one in ledger.changes[key] if held == one]
                if not written:
                    yield f"{host.name} holds a row that nobody wrote so: {_named(key)} {held}"
                    continue
                later = change is None or max(written) > change
                if change in written or (later and not ledger.orphans.get(key, set()).isdisjoint(written)):
                    continue
            if change is not None and unix_seconds(change) >= fresh_from:
                yield _difference(host, key, held, change)


def _rows_among_lies(world: World) -> Iterator[str]:
    """No change of a client is lost, unless a later one took its place: who wrote that, nobody can tell any more."""
    fresh_from = world.wall_seconds - world.scenario.peer_ttl_seconds + AGE_SLACK_SECONDS
    expected = {key: world.ledger.expected(key) for key in world.ledger.changes}
    for host in world.hosts.values():
        if host.node is None:
            continue
        rows = host.rows()
        for key, change in expected.items():
            if change is None or not (host.plan.forwards or host.node.access.allows(key[0])):
                continue
            held = change_of(rows, key)
            is_lost = held is None or held.stamp < change.stamp
            if is_lost and unix_seconds(change) >= fresh_from:
                yield _difference(host, key, held, change)


def _difference(host: Host, key: Key, held: Change | None, change: Change) -> str:
    if held is None:
        return f"{host.name} lacks {_named(key)} of {change.origin}"
    if change.state == PeerState.REMOVED and held.state != PeerState.REMOVED:
        return f"{host.name} still shows {_named(key)} of {held.origin}, which stopped at {change.origin}"
    return f"{host.name} holds {_named(key)} as {held.origin} said, not as {change.origin} said later"


def _completed(world: World) -> Iterator[str]:
    """No fewer completed downloads are counted than clients were told of, and no more: unless memory was lost."""
    hub = next((host for host in world.hosts.values() if host.plan.forwards and host.node is not None), None)
    if hub is None or world.lost_memory:
        return
    figures = figures_of(hub.node, hub)
    for torrent in range(TORRENTS):
        info_hash = torrent.to_bytes(20, "big")
        counted = sum(total for (of, _), total in figures.items() if of == torrent)
        least, most = world.ledger.least_completed(info_hash), world.ledger.most_completed(info_hash)
        if counted < least or (counted > most and not world.is_lied_to):
            yield f"{counted} downloads of torrent {torrent} are counted, not {least} to {most}"


def _named(key: Key) -> str:
    info_hash, address_bytes, identity = key
    client = int(identity[8:20]) if identity[8:20].isdigit() else identity.hex()
    return f"client {client} of torrent {info_hash[-1]} (IPv{4 if address_bytes == 6 else 6})"
