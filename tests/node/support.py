"""What the tests of a node and its mesh share: nodes, batches and records at hand, and what a node has become."""

from __future__ import annotations

from meshtracker.model import AnnounceAnswer, PeerState
from meshtracker.node.node import Node
from meshtracker.swarm.access import Access
from meshtracker.swarm.completed_table import COMPLETED_TABLE
from meshtracker.swarm.peer_table import PEER_TABLE
from meshtracker.wire.batch import Batch, Section, decode_batch, encode_batch
from meshtracker.wire.completed_record import CompletedRecord, encode_completed
from meshtracker.wire.frame import MAX_PAYLOAD_BYTES, FrameDecoder, FrameType
from meshtracker.wire.peer_record import PeerRecord, encode_group, encode_record
from meshtracker.wire.vector import BEGINNING, Position, StreamId
from tests.mouth_to_mouth import NOW, WALL_OFFSET_SECONDS, node

WALL_MS = int((NOW + WALL_OFFSET_SECONDS) * 1000)
TORRENT = b"h" * 20
"""Of the records made here."""
ANNOUNCED = bytes(20)
"""The torrent that `announce` is about unless it is told of another."""
X = StreamId("x", 500)
"""The stream of another node."""
TABLE_NAMES = ("peers", "completed")
MAX_FUTURE_MS = 60_000
"""`MeshPolicy.max_future_seconds` by default."""


def opened(encoded: bytes) -> tuple[FrameType, bytes]:
    """The one frame of some bytes."""
    decoder = FrameDecoder()
    decoder.max_payload_bytes = MAX_PAYLOAD_BYTES
    [(kind, payload)] = decoder.feed(encoded)
    return kind, payload


def batch_of(
    *items: PeerRecord | int,
    stream: StreamId = X,
    sequence: int = 1,
    base_ms: int = WALL_MS,
    at_ms: int = WALL_MS,
    others: tuple[Section, ...] = (),
) -> Batch:
    """Records of one swarm; a number is one of completed downloads, said ``at_ms``. ``others``: sections besides."""
    base = base_ms << 16
    peers = b"".join(encode_record(item, base) for item in items if isinstance(item, PeerRecord))
    totals = [item for item in items if isinstance(item, int)]
    sections: list[Section] = []
    if peers:
        sections.append((PEER_TABLE, encode_group(TORRENT, peers)))
    if totals:
        records = [encode_completed(CompletedRecord(TORRENT, total, at_ms)) for total in totals]
        sections.append((COMPLETED_TABLE, b"".join(records)))
    return Batch(stream, sequence, base, (*sections, *others))


def record_of(client: int = 1, *, stamp_ms: int = WALL_MS, state: int = PeerState.LEECHER) -> PeerRecord:
    """A client of some node, in `TORRENT`."""
    return PeerRecord(bytes([client]) * 24, stamp_ms << 16, state, 6, b"" if state == PeerState.REMOVED else b"a" * 6)


def receive(owner: Node, batch: Batch, now: float = NOW, *, is_direct: bool = False) -> int | None:
    """A BATCH that came over a link."""
    return owner.mesh.apply_batch(batch, opened(encode_batch(FrameType.BATCH, batch))[1], now, is_direct=is_direct)


def have(owner: Node, stream: StreamId, position: Position = BEGINNING, now: float = NOW) -> None:
    """A snapshot of a stream has ended there."""
    owner.mesh.finish_snapshot(stream, position, now, tables=TABLE_NAMES, replaces=False)


def listener_of(**options: object) -> Node:
    """A node that knows the stream of x from its beginning."""
    made = node("n", **options)  # type: ignore[arg-type]
    have(made, X)
    return made


def allow(*torrents: bytes) -> Access:
    """An access list that allows only these torrents."""
    return Access("allow", frozenset(torrents))


def sealed(owner: Node, sequence: int) -> Batch:
    """A batch of a node's own stream."""
    frame = owner.mesh.frame(owner.mesh.own, sequence)
    assert frame is not None
    return decode_batch(opened(frame)[1])


def own_position(owner: Node) -> Position:
    """How far a node's own stream is."""
    position = owner.mesh.position(owner.mesh.own)
    assert position is not None
    return position


def completed_of(owner: Node) -> int:
    """Completed downloads of `ANNOUNCED`, as a scrape says it."""
    return owner.scrape([ANNOUNCED])[0].downloaded


def changes(owner: Node) -> int:
    """How many changes of clients a node has told the mesh of."""
    return owner.statistics(NOW).tracker.changes


def counts(owner: Node) -> tuple[int, int, int, int]:
    """Complete, incomplete, downloaded and downloaders of `ANNOUNCED`."""
    [answer] = owner.scrape([ANNOUNCED])
    return answer.complete, answer.incomplete, answer.downloaded, answer.downloaders


def peers(answer: AnnounceAnswer) -> set[int]:
    """Ports of the IPv4 peers."""
    return {int.from_bytes(answer.peers[at + 4 : at + 6], "big") for at in range(0, len(answer.peers), 6)}


def row_of_client(client: int, ahead_seconds: float, state: int = PeerState.LEECHER) -> PeerRecord:
    """What another node wrote of a client of `announce`, by a clock that is ahead of this one's."""
    identity = b"-MT0001-%012d" % client + (100 + client).to_bytes(4, "big")
    stamp = int((NOW + WALL_OFFSET_SECONDS + ahead_seconds) * 1000) << 16 | 5
    return PeerRecord(identity, stamp, state, 6, b"" if state == PeerState.REMOVED else b"\x0a\0\0\1\x1a\xe1")
