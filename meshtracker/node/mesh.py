"""The node's side of its links: its own stream, everybody's logs, and the records that come in.

Implements `link.replica.Replica`, so sessions can be run over it mouth to mouth.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Set

import attrs

from meshtracker import __version__
from meshtracker.errors import LinkError
from meshtracker.link.clock import HybridClock
from meshtracker.link.log import Logs
from meshtracker.link.outbox import Outbox
from meshtracker.model import STAMP_COUNTER_BITS, PeerState
from meshtracker.node import transfer
from meshtracker.node.policy import TrackerPolicy
from meshtracker.node.statistics import MeshStatistics, OriginStatistics
from meshtracker.swarm.access import Access
from meshtracker.swarm.registry import Registry
from meshtracker.wire.batch import Batch, PeerRecord, encode_group, encode_record, groups, records
from meshtracker.wire.frame import FrameType, frame
from meshtracker.wire.link import MAX_INTEREST, Hello
from meshtracker.wire.vector import Position, Vector

_REMOVED = int(PeerState.REMOVED)


@attrs.frozen(kw_only=True)
class MeshPolicy:
    """Bounds of the node's part in the mesh."""

    forwards: bool = False
    """A hub passes on every node's stream; a leaf only its own."""
    heartbeat_seconds: float = 5.0
    max_batch_bytes: int = 60_000
    max_log_bytes: int = 64 << 20
    max_future_seconds: float = 60.0
    """A hub refuses records stamped further ahead than this: they could not be overwritten for that long.

    A leaf takes twice as much, or it would refuse what a hub whose clock is between its own and the origin's let pass.
    """


class Mesh:
    """See the module's docstring. Rows are written through the registry, stamps come from the clock."""

    def __init__(
        self,
        *,
        name: str,
        incarnation: int,
        clock: HybridClock,
        registry: Registry,
        access: Access,
        tracker: TrackerPolicy,
        policy: MeshPolicy,
    ) -> None:
        self.name = name
        self.incarnation = incarnation
        self.forwards = policy.forwards
        self.previous: Position | None = None
        """How far a snapshot on disk knew this node's own stream from before its restart."""
        self.on_new_batch: Callable[[], None] = lambda: None
        """Called when a log has grown: links may have something to send."""
        self.on_note: Callable[[bytes, PeerRecord], None] | None = None
        """Called with an info-hash and what a client of this node changed there, before it is sealed into a batch."""
        self._clock = clock
        self._registry = registry
        self._access = access
        self._tracker = tracker
        self._policy = policy
        self._logs = Logs(max_bytes=policy.max_log_bytes)
        self._logs.start(name, Position(incarnation, 0))
        self._outbox = Outbox(origin=name, incarnation=incarnation, max_batch_bytes=policy.max_batch_bytes)
        self.noted = 0
        """Changes by clients of this node since the start."""
        self._sealed_at = float("-inf")
        self._lacked = self._had = 0
        """See `lacks_swarms`."""
        self._known_when_lacked: Vector = {}
        self._max_future_ms = int(policy.max_future_seconds * 1000) * (1 if policy.forwards else 2)
        self._applied_batches = self._applied_records = 0
        self._stale_records = self._future_records = self._dropped_records = 0

    # ------------------------------------------------------------ this node's own stream

    def note(self, info_hash: bytes, record: PeerRecord, now: float) -> None:
        """A client of this node changed a swarm: goes out with the next batch."""
        self.noted += 1
        if self.on_note is not None:
            self.on_note(info_hash, record)
        if self._outbox.add(info_hash, record):
            self._seal(now)

    def note_completed(self, info_hash: bytes, total: int) -> None:
        """A client of this node completed a download; ``total`` of this swarm at this node so far."""
        self._outbox.add_completed(info_hash, total)

    def flush(self, now: float) -> None:
        """Seal what waits; an idle stream gets an empty batch once a heartbeat, so that silence means something."""
        if self._outbox or now - self._sealed_at >= self._policy.heartbeat_seconds:
            self._seal(now)

    def _seal(self, now: float) -> None:
        self._append(self._outbox.seal(self._clock.wall_ms(now) << STAMP_COUNTER_BITS), now)

    def _append(self, batch: bytes, now: float) -> None:
        self._sealed_at = now
        self._logs.append(self.name, batch, now)
        self.on_new_batch()

    def resume(self, vector: Vector) -> None:
        """Go on from a snapshot: with other nodes' streams where it left them; this node's own was an earlier life."""
        for origin, position in vector.items():
            if origin == self.name:
                self.previous = position
            else:
                self._logs.start(origin, position)

    # ------------------------------------------------------------ what sessions read

    def is_exhausted(self, origin: str) -> bool:
        """See `Replica`."""
        return self._registry.is_exhausted(self._registry.origins.index(origin))

    def meet(self, origin: str) -> None:
        """See `Replica`."""
        self._registry.origins.index(origin)

    def hello(self, now: float) -> Hello:
        """See `Replica`."""
        return Hello(
            name=self.name,
            incarnation=self.incarnation,
            forwards=self.forwards,
            clock_ms=self._clock.wall_ms(now),
            announce_interval_seconds=self._tracker.announce_interval_seconds,
            peer_ttl_seconds=self._tracker.peer_ttl_seconds,
            software=f"meshtracker {__version__}",
            previous=self.previous,
        )

    def wall_ms(self, now: float) -> int:
        """See `Replica`."""
        return self._clock.wall_ms(now)

    def vector(self) -> Vector:
        """See `Replica`."""
        return self._logs.vector()

    def position(self, origin: str) -> Position | None:
        """See `Replica`."""
        return self._logs.position(origin)

    def changed_after(self, change: int) -> tuple[int, list[str]]:
        """See `Replica`."""
        return self._logs.changes, self._logs.changed_after(change)

    def covers(self, origin: str, position: Position) -> bool:
        """See `Replica`."""
        return self._logs.covers(origin, position)

    def frame(self, origin: str, sequence: int) -> bytes | None:
        """See `Replica`."""
        return self._logs.frame(origin, sequence)

    def interest(self) -> Set[bytes] | None:
        """See `Replica`."""
        narrows = not self.forwards and self._access.mode == "allow" and len(self._access.info_hashes) <= MAX_INTEREST
        return self._access.info_hashes if narrows else None

    def tracks(self) -> bytes:
        """A digest of the swarms that the vector speaks of: all if this is a hub; none while some are lacked."""
        if self.lacks_swarms():
            return b""
        return (Access() if self.forwards else self._access).digest()

    def set_access(self, access: Access) -> None:
        """Track other swarms from now on; what it lacks of them is up to `lack_swarms`."""
        self._access = access

    def lack_swarms(self) -> int:
        """This node tracks swarms of which it has missed changes; returns `lacks_swarms`."""
        self._lacked += 1
        self._known_when_lacked = self.vector()
        return self._lacked

    def lacks_swarms(self) -> int:
        """See `Replica`."""
        return self._lacked if self._lacked > self._had else 0

    def have_swarms(self, lacked: int, theirs: Vector) -> None:
        """See `Replica`."""
        unknown = Position(-1, -1)
        missed = (origin for origin in self._known_when_lacked if origin != self.name)
        if all(theirs.get(origin, unknown) >= self._known_when_lacked[origin] for origin in missed):
            self._had = max(self._had, lacked)

    def snapshot(
        self, origin: str, position: Position, now: float, interest: Set[bytes] | None
    ) -> Iterator[tuple[bytes, int]]:
        """See `Replica`. Rows that change meanwhile come again in a later batch, and win by their stamp."""
        head = Batch(origin, *position, self._oldest(now), b"")
        return transfer.snapshot(self._registry, head, interest)

    def swarms(self, info_hashes: Iterable[bytes], now: float) -> Iterator[bytes]:
        """See `Replica`."""
        return transfer.swarms(self._registry, info_hashes, self._oldest(now))

    def _oldest(self, now: float) -> int:
        """The stamp of a row that is about to age out: what is sent anew is counted from here."""
        return max(0, self._clock.wall_ms(now) - self._tracker.peer_ttl_seconds * 1000) << STAMP_COUNTER_BITS

    # ------------------------------------------------------------ what sessions bring

    def apply_batch(self, batch: Batch, payload: bytes, now: float) -> int | None:
        """See `Replica`."""
        if batch.origin == self.name:
            # From before this node's restart. Two peers may bring different ends of it, so none is taken for known.
            return self.apply_snapshot(batch, now)
        known = self._logs.position(batch.origin)
        if known is not None and (batch.incarnation, batch.sequence) <= known:
            return None
        if known is None or batch.incarnation != known.incarnation or batch.sequence != known.sequence + 1:
            raise LinkError(
                f"batch {batch.sequence} of {batch.origin} came after {known.sequence if known else 'none'}", kind="gap"
            )
        count = self._apply(batch, now)
        self._logs.append(batch.origin, frame(FrameType.BATCH, payload), now)
        self._applied_batches += 1
        self.on_new_batch()
        return count

    def apply_snapshot(self, batch: Batch, now: float) -> int:
        """See `Replica`."""
        if batch.origin != self.name and self._logs.position(batch.origin) is None:
            # Should the link break off now and the origin lose its memory, these rows are still to be brought back.
            self._logs.start(batch.origin, Position(0, 0))
        news = self._news_of_known(batch)
        before = self._applied_records
        count = self._apply(batch, now)
        if batch.origin == self.name and self._applied_records > before:
            # This node's stream of before its restart is at its end; links that lack these records follow the new one.
            self._append(self._outbox.seal_again(batch), now)
        if news:
            self._adopt(attrs.evolve(batch, origin=self.name, body=b"".join(news)), now)
        return count

    def _news_of_known(self, batch: Batch) -> list[bytes]:
        """Groups of what a hub lacked of a stream that it counts as known that far: an earlier life of its origin."""
        position = self._logs.position(batch.origin)
        if not self.forwards or batch.origin == self.name or position is None:
            return []
        if position < (batch.incarnation, batch.sequence):
            return []
        news = []
        for info_hash, body in groups(batch):
            kept = [
                encode_record(record, batch.base)
                for record in records(body, batch.base)
                if not isinstance(record, int) and self._stamp(info_hash, record) < record.stamp
            ]
            if kept:
                news.append(encode_group(info_hash, b"".join(kept)))
        return news

    def _stamp(self, info_hash: bytes, record: PeerRecord) -> int:
        """Of what is known of that peer; -1 if nothing is."""
        swarm = self._registry.get(info_hash)
        for pack in swarm.packs() if swarm is not None else ():
            position = pack.find(record.identity)
            if pack.address_bytes == record.address_bytes and position >= 0:
                return pack.fields(position)[0]
        return -1

    def _adopt(self, batch: Batch, now: float) -> None:
        """Pass on as this hub's own what nobody who follows its links would be sent otherwise."""
        own = self._registry.origins.index(self.name)
        for info_hash, body in groups(batch):
            swarm = self._registry.get(info_hash)
            for record in records(body, batch.base):
                if swarm is None or isinstance(record, int) or self._stamp(info_hash, record) != record.stamp:
                    continue
                pack = swarm.pack(record.address_bytes)
                row = record.identity, record.stamp, own, record.state
                self._registry.write(swarm, pack, pack.find(record.identity), row, record.address)
        self._append(self._outbox.seal_again(batch), now)

    def finish_snapshot(self, origin: str, position: Position) -> None:
        """See `Replica`."""
        if origin == self.name:
            return
        known = self._logs.position(origin)
        if known is None or known < position:
            self._logs.start(origin, position)
            self.on_new_batch()

    def _apply(self, batch: Batch, now: float) -> int:
        """Merge all records of a batch or a piece of a snapshot; returns how many there were."""
        index = self._registry.origins.index(batch.origin)
        wall_ms = self._clock.wall_ms(now)
        oldest = self._oldest(now)
        newest = (wall_ms + self._max_future_ms) << STAMP_COUNTER_BITS
        count = 0
        for info_hash, body in groups(batch):
            # A hub keeps for its leaves what it would not serve itself.
            wanted = self.forwards or self._access.allows(info_hash)
            for record in records(body, batch.base):
                count += 1
                if not wanted:
                    self._dropped_records += 1
                elif isinstance(record, int):
                    self._merge_completed(info_hash, record, index)
                elif record.stamp < oldest:
                    self._stale_records += 1
                elif record.stamp > newest:
                    self._future_records += 1
                    ahead_seconds = (record.stamp - (wall_ms << STAMP_COUNTER_BITS)) / (1000 << STAMP_COUNTER_BITS)
                    raise LinkError(
                        f"{batch.origin} stamps its records {ahead_seconds:.0f} s ahead of the clock of {self.name}:"
                        " set the clocks, for instance with NTP",
                        kind="future",
                    )
                else:
                    self._merge(info_hash, record, index)
        return count

    def _merge(self, info_hash: bytes, record: PeerRecord, index: int) -> None:
        # Or this node's next write could lose against what it has just seen.
        self._clock.observe(record.stamp)
        row = record.identity, record.stamp, index, record.state
        won = self._registry.merge(self._registry.swarm(info_hash), row, record.address, record.address_bytes)
        if won:
            self._applied_records += 1
        else:
            self._stale_records += 1
            self._registry.forget_if_empty(info_hash)

    def _merge_completed(self, info_hash: bytes, total: int, index: int) -> None:
        swarm = self._registry.get(info_hash)
        if swarm is None:
            # It may come before the swarm's first row, but must not make swarms without end.
            if self._registry.is_full:
                return
            swarm = self._registry.swarm(info_hash)
        if swarm.count_completed(index, total):
            self._applied_records += 1

    # ------------------------------------------------------------ figures

    def statistics(self) -> MeshStatistics:
        """A frozen snapshot of the figures."""
        return MeshStatistics(
            sealed_batches=self._outbox.sequence,
            applied_batches=self._applied_batches,
            applied_records=self._applied_records,
            stale_records=self._stale_records,
            future_records=self._future_records,
            dropped_records=self._dropped_records,
        )

    def vector_statistics(self) -> tuple[OriginStatistics, ...]:
        """The vector for people."""
        return tuple(
            OriginStatistics(origin=origin, incarnation=position.incarnation, sequence=position.sequence)
            for origin, position in self.vector().items()
        )

    @property
    def logs(self) -> Logs:
        """For their figures."""
        return self._logs
