"""What the tests of narrowed streams share: access lists, a hub that has much to tell, and what a link carried."""

from __future__ import annotations

from meshtracker.model import Event
from meshtracker.node.node import Node
from meshtracker.swarm.access import Access
from meshtracker.swarm.completed_table import COMPLETED_TABLE
from meshtracker.swarm.peer_table import PEER_TABLE
from meshtracker.wire.batch import decode_batch
from meshtracker.wire.completed_record import completed_records
from meshtracker.wire.frame import FrameType
from meshtracker.wire.link import Interest, InterestChange, decode
from meshtracker.wire.peer_record import groups
from tests.mouth_to_mouth import NOW, Link, Rows, announce, frames, node, rows, settle


def torrent_of(number: int) -> bytes:
    """The info-hash of a torrent."""
    return number.to_bytes(20, "big")


def allow(*torrents: int) -> Access:
    """An access list that allows only these torrents."""
    return Access("allow", frozenset(map(torrent_of, torrents)))


def deny(*torrents: int) -> Access:
    """An access list that allows all but these torrents."""
    return Access("deny", frozenset(map(torrent_of, torrents)))


def tracked(owner: Node, access: Access) -> Rows:
    """What a node knows of the swarms of an access list."""
    return {key: row for key, row in rows(owner).items() if access.allows(key[0])}


def busy_hub(torrents: int = 10) -> Node:
    """Three clients in each torrent, one of which has stopped and one completed, in a batch for each change."""
    hub = node("hub", forwards=True)
    for torrent in range(torrents):
        for client in range(3):
            announce(hub, 10 * torrent + client, torrent=torrent)
            hub.mesh.flush(NOW)
        announce(hub, 10 * torrent, torrent=torrent, event=Event.STOPPED)
        announce(hub, 10 * torrent + 1, torrent=torrent, event=Event.COMPLETED, left=0)
        hub.mesh.flush(NOW)
    return hub


def swarms_in(payload: bytes) -> set[bytes]:
    """Info-hashes of all records of a batch, whatever their table."""
    found: set[bytes] = set()
    for kind, section in decode_batch(payload).sections:
        if kind == PEER_TABLE:
            found |= {info_hash for info_hash, _ in groups(section)}
        elif kind == COMPLETED_TABLE:
            found |= {record.info_hash for record in completed_records(section)}
    return found


def swarms_sent(link: Link, kinds: tuple[FrameType, ...] = (FrameType.BATCH, FrameType.SNAPSHOT)) -> set[bytes]:
    """Info-hashes that the hub has sent."""
    sent = (swarms_in(payload) for kind, payload in frames(link.bytes[link.hub]) if kind in kinds)
    return set().union(*sent)


def interests(link: Link) -> list[tuple[Interest, set[bytes]]]:
    """What the leaf has asked for."""
    said = [decode(kind, payload) for kind, payload in frames(link.bytes[link.leaf]) if kind is FrameType.INTEREST]
    return [(change.interest, set(change.info_hashes)) for change in said if isinstance(change, InterestChange)]


def changes(owner: Node, links: list[Link], *, torrents: int = 10, first: int = 500) -> None:
    """One change in each torrent."""
    for torrent in range(torrents):
        announce(owner, first + torrent, torrent=torrent)
        owner.mesh.flush(NOW)
    settle(*links)
