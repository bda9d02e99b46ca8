"""The node's side of its links: its own stream, everybody's logs, and the records that come in.

Implements `link.replica.Replica`, so sessions can be run over it mouth to mouth. A stream is known here by its
position in the logs; its rows lie in the tables under its index (`swarm.streams`). What can fail is done before
anything changes.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterable, Iterator, Set
from typing import Any

import attrs

from meshtracker import __version__
from meshtracker.errors import CloseCode, LinkError, WireError
from meshtracker.link.clock import HybridClock
from meshtracker.link.log import Logs
from meshtracker.link.outbox import Outbox
from meshtracker.link.replica import Taken
from meshtracker.link.table import Table, Tables
from meshtracker.model import STAMP_COUNTER_BITS, PeerState, Window
from meshtracker.node.copies import Copies
from meshtracker.node.lacked_swarms import LackedSwarms
from meshtracker.node.own_rows import OwnRows
from meshtracker.node.policy import TrackerPolicy
from meshtracker.node.statistics import MeshStatistics, StreamStatistics
from meshtracker.node.tables import TABLES, MakeTable
from meshtracker.swarm.access import Access
from meshtracker.swarm.completed_table import CompletedTable
from meshtracker.swarm.merging import Merging
from meshtracker.swarm.peer_table import PEER_TABLE
from meshtracker.swarm.registry import Registry
from meshtracker.swarm.streams import OWN
from meshtracker.wire.batch import DIGEST_SECTION, Batch, Section, encode_batch
from meshtracker.wire.frame import FrameType, frame
from meshtracker.wire.link import MAX_INTEREST, Hello
from meshtracker.wire.peer_record import PeerRecord
from meshtracker.wire.vector import BEGINNING, DIGEST_BYTES, NOWHERE, Position, StreamId, Vector, above, has_rows_beside

DIRECT_MARGIN = 2
"""Times `max_future_seconds` that a stream's own node may stamp ahead of this clock: its clock may be off by one, and
what it writes over may be stamped another one ahead."""
RELAYED_MARGIN = 8
"""The same for what other nodes have taken: each link on the way may add one. What is further ahead is left out."""
QUIET_SECONDS = 60.0
"""A stream without rows is forgotten when it has not grown for so long; one that is alive grows with each heartbeat."""
_FORGET_SECONDS = 1.0
"""Between two looks for such streams."""
ANEW_SECONDS = 30.0
"""Wait between two new streams that a node begins because others know more of its own than it wrote; it doubles."""


@attrs.frozen(kw_only=True)
class MeshPolicy:
    """Bounds of the node's part in the mesh."""

    forwards: bool = False
    """A hub passes on every node's stream; a leaf only its own."""
    heartbeat_seconds: float = 5.0
    max_batch_bytes: int = 60_000
    max_log_bytes: int = 64 << 20
    max_future_seconds: float = 60.0
    """How far ahead of this clock stamps may be, times the margins above; a clock set back further begins anew."""


class Mesh:
    """See the module's docstring. Rows are written through the registry, stamps come from the clock."""

    def __init__(
        self,
        *,
        own: StreamId,
        clock: HybridClock,
        registry: Registry,
        access: Access,
        tracker: TrackerPolicy,
        policy: MeshPolicy,
        rng: random.Random,
        tables: Iterable[MakeTable] = TABLES,
        now: float = 0.0,
    ) -> None:
        self.name = own.name
        self.own = own
        self.forwards = policy.forwards
        self.on_new_batch: Callable[[], None] = lambda: None
        """Called when a log has grown: links may have something to send."""
        self.on_note: Callable[[bytes, PeerRecord], None] | None = None
        """Called with an info-hash and what a client of this node changed there, before it is sealed into a batch."""
        self.merging = Merging(
            registry, access=access, forwards=policy.forwards, peer_ttl_seconds=tracker.peer_ttl_seconds
        )
        self.tables = Tables(make(self.merging) for make in tables)
        self.noted = 0
        """Changes by clients of this node since the start."""
        self.wants_anew = False
        """Does somebody know more of this node's own stream than it wrote? `begin_anew` is to be called."""
        self._clock = clock
        self._registry = registry
        self._access = access
        self._tracker = tracker
        self._policy = policy
        self._rng = rng
        self._logs = Logs(max_bytes=policy.max_log_bytes)
        self._logs.start(own, BEGINNING, now)
        self._outbox = Outbox(max_batch_bytes=policy.max_batch_bytes)
        self._own_rows = OwnRows(self.tables)
        self.merging.note = self._own_rows.note
        self._sealed_at = float("-inf")
        self._forgot_at = self._anew_at = float("-inf")
        self._lacked = LackedSwarms()
        self._copies = Copies()
        self._max_future_ms = int(policy.max_future_seconds * 1000)
        self._applied_batches = self._future_records = self._left_out = self._unknown_sections = 0
        self._began_anew = self._disowned = 0
        """All times, and those because somebody else had written in this node's name."""

    # ------------------------------------------------------------ this node's own stream

    def note(self, info_hash: bytes, record: PeerRecord, now: float) -> None:
        """A client of this node changed a swarm: goes out with the next batch."""
        self.noted += 1
        if self.on_note is not None:
            self.on_note(info_hash, record)
        if not self._outbox.takes(record.stamp):
            self._seal(now)
        if self._outbox.add(info_hash, record):
            self._seal(now)

    def write_again(self, info_hash: bytes, address_bytes: int, identity: bytes, now: float) -> None:
        """A row of this node's earlier life goes out once more, under its present stream, hardly newer than it is."""
        swarm = self._registry.get(info_hash)
        if swarm is None:
            return
        pack = swarm.pack(address_bytes)
        position = pack.find(identity)
        if position < 0:
            return
        stamp, _, state = pack.fields(position)
        stamp += 1
        address = b"" if state == PeerState.REMOVED else pack.address(position)
        self._registry.write(swarm, pack, position, (identity, stamp, OWN, state), address)
        self.note(info_hash, PeerRecord(identity, stamp, state, address_bytes, address), now)

    def note_completed(self, info_hash: bytes, now: float) -> None:
        """A client of this node completed a download."""
        for table in self.tables.all:
            if isinstance(table, CompletedTable):
                table.count(info_hash, self._clock.wall_ms(now))

    def take_over_completed(self, now: float) -> None:
        """Say figures of this node's earlier lives under its present stream."""
        for table in self.tables.all:
            if isinstance(table, CompletedTable):
                table.take_over_all(self._clock.wall_ms(now))

    def flush(self, now: float) -> None:
        """Seal what waits; an idle stream gets an empty batch once a heartbeat, so that silence means something."""
        if now - self._forgot_at >= _FORGET_SECONDS:
            self._forgot_at = now
            self._forget(now)
        if self._outbox or self._own_rows or now - self._sealed_at >= self._policy.heartbeat_seconds:
            self._seal(now)

    def seal(self, now: float) -> None:
        """See `Replica`."""
        if self._outbox or self._own_rows:
            self._seal(now)

    def _seal(self, now: float) -> None:
        base = self._outbox.base if self._outbox else self._clock.wall_ms(now) << STAMP_COUNTER_BITS
        peers = self._outbox.take()
        sections: list[Section] = [(PEER_TABLE, peers)] if peers else []
        sections += self._own_rows.take(self._policy.max_batch_bytes - len(peers), is_alone=not peers)
        position = self._logs.position(self.own) or BEGINNING
        self._append(encode_batch(FrameType.BATCH, Batch(self.own, position.sequence + 1, base, tuple(sections))), now)

    def _append(self, batch: bytes, now: float) -> None:
        self._sealed_at = now
        self._logs.append(self.own, batch, now)
        self.on_new_batch()

    def resume(self, vector: Vector, now: float, *, narrowed: Collection[StreamId] = ()) -> None:
        """Go on from a snapshot: with other streams where it left them. This node's own of then is one of those.

        ``narrowed``: those of which something may be left out.
        """
        for stream, position in vector.items():
            if stream != self.own:
                self._logs.start(stream, position, now)
                copy = self._copies.of(stream)
                copy.is_narrowed = stream in narrowed
                copy.reach = copy.told = self._newest(now, DIRECT_MARGIN) if has_rows_beside(position) else 0
        for index, known in enumerate(self._registry.streams.streams):
            if known is not None and index != OWN and self._logs.position(known) is None:
                # Every stream that has a number stands in the vector, so that it is forgotten with its last row.
                self._logs.start(known, NOWHERE, now)

    def begin_anew(self, now: float, *, clock_was_wrong: bool) -> None:
        """Begin another stream with all rows of this node's own, stamped anew; the one before never grows again.

        ``clock_was_wrong``: what was taken and what was let go meanwhile was judged by it, so nothing of other streams
        counts as known.
        """
        self._began_anew += 1
        self._disowned += not clock_was_wrong
        self._anew_at = now
        self.wants_anew = False
        before, self.own = self.own, StreamId(self.name, self._rng.getrandbits(64))
        # Its rows are of the new stream by now, and others may have some that this node lacks.
        self._logs.start(before, NOWHERE, now)
        # Rows that are in none of its batches may come, and then their digest is altered.
        self._copies.of(before).is_suspect = not clock_was_wrong
        self._registry.streams.replace_own(self.own)
        self._registry.streams.index(before)
        self._outbox.take()
        self._own_rows.drop()
        stamp = self._clock.tick(now)
        for table in self.tables.all:
            table.begin_anew(stamp, self._newest(now, RELAYED_MARGIN), keeps_age=not clock_was_wrong)
        if clock_was_wrong:
            for stream in self._logs.vector():
                self._logs.start(stream, NOWHERE, now)
        self._logs.start(self.own, BEGINNING, now)
        self._seal(now)

    def want_anew(self) -> None:
        """See `Replica`."""
        self.wants_anew = True

    def may_begin_anew(self, now: float) -> bool:
        """Is it time to, if it `wants_anew`? Liars must not make a node write all its rows again and again."""
        wait_seconds = ANEW_SECONDS * 2 ** min(self._disowned, 6) if self._disowned else 0.0
        return now - self._anew_at >= wait_seconds

    # ------------------------------------------------------------ what sessions read

    def keeps(self, stream: StreamId) -> bool:
        """See `Replica`."""
        copy = self._copies.find(stream)
        return self.forwards or copy is None or not copy.is_narrowed

    @property
    def tracks_all(self) -> bool:
        """Is nothing left out of what this node is sent?"""
        return self.forwards or self._access.mode == "open"

    @property
    def dropped_records(self) -> int:
        """See `Replica`."""
        return self.merging.dropped + self._left_out

    def rows(self, stream: StreamId) -> int:
        """See `Replica`."""
        return self._registry.streams.rows(stream)

    def has_room(self, stream: StreamId) -> bool:
        """See `Replica`."""
        return self._registry.streams.has_room(stream)

    def hello(self, now: float, *, versions: tuple[int, int], capabilities: tuple[str, ...], may_speak: bool) -> Hello:
        """See `Replica`."""
        return Hello(
            name=self.name,
            incarnation=self.own.incarnation,
            forwards=self.forwards,
            clock_ms=self._clock.wall_ms(now),
            announce_interval_seconds=self._tracker.announce_interval_seconds,
            peer_ttl_seconds=self._tracker.peer_ttl_seconds,
            software=f"meshtracker {__version__}",
            versions=versions,
            capabilities=capabilities,
            tables=self.tables.names,
            may_speak=may_speak,
        )

    def wall_ms(self, now: float) -> int:
        """See `Replica`."""
        return self._clock.wall_ms(now)

    def vector(self) -> Vector:
        """See `Replica`."""
        return self._logs.vector()

    def vector_for(self, tables: Collection[str]) -> Vector:
        """See `Replica`."""
        vector = self._logs.vector()
        vector.update(dict.fromkeys(vector.keys() & self._copies.lacking(tables), NOWHERE))
        return vector

    def vector_on_disk(self) -> Vector:
        """The vector for this node's next life, which will not know of what came besides."""
        vector = self.vector_for(self.tables.names)
        vector.update(dict.fromkeys(vector.keys() & self._copies.untold(), NOWHERE))
        return vector

    def position_for(self, peer: StreamId) -> Position | None:
        """See `Replica`."""
        known, copy = self._logs.position(peer), self._copies.find(peer)
        if known is None or copy is None or not copy.is_disputed:
            return known
        return Position(known.sequence, above(known.digest))

    def position(self, stream: StreamId) -> Position | None:
        """See `Replica`."""
        return self._logs.position(stream)

    @property
    def changes(self) -> int:
        """See `Replica`."""
        return self._logs.changes

    def changed_after(self, change: int) -> list[StreamId]:
        """See `Replica`."""
        return self._logs.changed_after(change)

    def digest_at(self, stream: StreamId, sequence: int) -> int | None:
        """See `Replica`."""
        return self._logs.digest_at(stream, sequence)

    def frame(self, stream: StreamId, sequence: int) -> bytes | None:
        """See `Replica`."""
        return self._logs.frame(stream, sequence)

    def interest(self) -> Set[bytes] | None:
        """See `Replica`."""
        narrows = not self.forwards and self._access.mode == "allow" and len(self._access.info_hashes) <= MAX_INTEREST
        return self._access.info_hashes if narrows else None

    def tracks(self) -> bytes:
        """A digest of the swarms that the vector speaks of: all if this is a hub; none while some are lacked."""
        if self.lacks_swarms() or (self.tracks_all and not self.forwards and self._copies.any_narrowed()):
            return b""
        return (Access() if self.forwards else self._access).digest()

    def set_access(self, access: Access) -> None:
        """Track other swarms from now on; what it lacks of them is up to `lack_swarms`."""
        self._access = self.merging.access = access

    def lack_swarms(self) -> int:
        """This node tracks swarms of which it has missed changes; returns `lacks_swarms`."""
        return self._lacked.lack(self.vector())

    def lacks_swarms(self) -> int:
        """See `Replica`."""
        return self._lacked.latest()

    def have_swarms(self, lacked: int, theirs: Vector) -> None:
        """See `Replica`."""
        self._lacked.have(lacked, theirs, self.vector(), own_name=self.name)

    def snapshot(
        self, stream: StreamId, now: float, interest: Set[bytes] | None, *, tables: Collection[str]
    ) -> Iterator[tuple[bytes, int]]:
        """See `Replica`. Rows that change meanwhile come again in a later batch, and win by their stamp."""
        index = self._registry.streams.find(stream)
        base = self._oldest(now)
        for table in self.tables.all if index is not None else ():
            if table.name not in tables:
                continue
            for section, count in table.snapshot(stream, index or OWN, base, interest):
                piece = Batch(stream, 0, base, ((table.kind, section),) if section else ())
                yield encode_batch(FrameType.SNAPSHOT, piece), count

    def swarms(self, info_hashes: Iterable[bytes], now: float) -> Iterator[bytes]:
        """See `Replica`."""
        base = self._oldest(now)
        asked = list(info_hashes)
        for table in self.tables.all:
            for sections in table.swarms(asked, base):
                for index, section in sections.items():
                    stream = self._registry.streams.streams[index]
                    if stream is not None:
                        yield encode_batch(FrameType.SWARMS, Batch(stream, 0, base, ((table.kind, section),)))

    def _oldest(self, now: float) -> int:
        """The stamp of a row that is about to age out: what is sent anew is counted from here."""
        return max(0, self._clock.wall_ms(now) - self._tracker.peer_ttl_seconds * 1000) << STAMP_COUNTER_BITS

    def _newest(self, now: float, margin: int) -> int:
        return (self._clock.wall_ms(now) + margin * self._max_future_ms) << STAMP_COUNTER_BITS

    # ------------------------------------------------------------ what sessions bring

    def apply_batch(self, batch: Batch, payload: bytes, now: float, *, is_direct: bool) -> int | None:
        """See `Replica`."""
        stream = batch.stream
        known = self._logs.position(stream)
        before = known or self._before(stream)
        if batch.sequence <= before.sequence:
            # It came another way too, maybe before the stream was forgotten.
            return None
        if batch.sequence != before.sequence + 1:
            raise LinkError(f"batch {batch.sequence} of {stream.name} came after {before.sequence}", code=CloseCode.GAP)
        changes = self._read(batch, now, is_direct=is_direct)
        # Nothing fails from here on.
        if not before.sequence and self.rows(stream):
            # Before its first batch a stream has no rows: somebody else has told some.
            self._copies.of(stream).is_disputed = True
            known, before = None, Position(0, above(before.digest))
        if known is None:
            if self.has_forgotten(stream):
                # See `_start`: other nodes may have rows that this one lacks.
                self._copies.of(stream).is_narrowed = True
            self._logs.start(stream, before, now)
        count, _ = self._apply(batch, changes, now)
        digest = self._told_digest(batch)
        copy = self._copies.find(stream)
        if copy is not None and copy.reach and batch.base <= self.newest_taken(now):
            copy.account_for(batch.base - 1)
        if digest is not None:
            self._copies.of(stream).is_narrowed = True
        self._logs.append(stream, frame(FrameType.BATCH, payload), now, digest=digest)
        self._applied_batches += 1
        self.on_new_batch()
        return count

    def _before(self, stream: StreamId) -> Position:
        """Where a stream that is not known begins: with its first batch, or where it was forgotten without rows."""
        return self._logs.forgotten(stream) or BEGINNING

    def _told_digest(self, batch: Batch) -> int | None:
        """The digest that a hub tells with a batch of which it has left something out; None for a whole one."""
        if self.interest() is None or not batch.sections:
            return None
        kind, digest = batch.sections[0]
        return (
            int.from_bytes(digest) if kind == DIGEST_SECTION and len(digest) == DIGEST_BYTES and any(digest) else None
        )

    def has_forgotten(self, stream: StreamId) -> bool:
        """See `Replica`."""
        return self._logs.forgotten(stream) is not None

    def apply_rows(self, batch: Batch, now: float, *, is_direct: bool, is_part: bool) -> Taken:
        """See `Replica`."""
        changes = self._read(batch, now, is_direct=is_direct)
        self._start(batch.stream, now)
        count, news = self._apply(batch, changes, now)
        newest = min(max((found.newest for _, found in changes), default=0), self.newest_taken(now))
        if news and is_part:
            self._copies.of(batch.stream).extend(newest, now)
        return Taken(count, news, newest)

    def _start(self, stream: StreamId, now: float) -> Position:
        """Some of a stream's rows are here from now on; returns how far it is known, which is no more than before."""
        known = self._logs.position(stream)
        if known is not None:
            return known
        forgotten = self._logs.forgotten(stream)
        self._logs.start(stream, forgotten or NOWHERE, now)
        # A stream is forgotten when this node has none of its rows. Other nodes may still have some.
        self._copies.of(stream).is_narrowed = forgotten is not None or not self.tracks_all
        return forgotten or NOWHERE

    def _read(self, batch: Batch, now: float, *, is_direct: bool) -> list[tuple[Table, Any]]:
        """The records of a batch by table. Raises `LinkError` and `WireError`, and has changed nothing then."""
        found: list[tuple[Table, Any]] = []
        newest = left_out = 0
        unknown = 0
        for kind, section in batch.sections:
            table = self.tables.get(kind)
            if table is None:
                unknown += kind != DIGEST_SECTION
                continue
            try:
                changes = table.read(section, batch.base, strict=is_direct)
            except WireError:
                if is_direct:
                    raise
                # Who relays cannot know better, if it has no such table: the link is not to blame.
                left_out += 1
                continue
            newest = max(newest, changes.newest)
            left_out += changes.left_out
            found.append((table, changes))
        name = batch.stream.name
        if is_direct and newest > self._newest(now, DIRECT_MARGIN):
            self._future_records += 1
            ahead_seconds = (newest >> STAMP_COUNTER_BITS) / 1000 - self._clock.wall_ms(now) / 1000
            raise LinkError(
                f"{name} stamps its records {ahead_seconds:.0f} s ahead of the clock of {self.name}:"
                " set the clocks, for instance with NTP",
                code=CloseCode.FUTURE,
            )
        if is_direct and found and self._registry.is_exhausted(name):
            raise LinkError(
                f"{name} has more peers than {self.name} takes of one node (link.max_peers_per_node)",
                code=CloseCode.FLOOD,
            )
        self._future_records += newest > self._newest(now, RELAYED_MARGIN)
        self._left_out += left_out
        self._unknown_sections += unknown
        return found

    def _apply(self, batch: Batch, found: list[tuple[Table, Any]], now: float) -> tuple[int, int]:
        """Merge what was read; returns how many records there were, and how many of them were news."""
        index = self._registry.streams.index(batch.stream)
        if index is None:
            raise ValueError(f"{batch.stream} without `has_room`")
        window = Window(
            self._oldest(now), self._clock.wall_ms(now) << STAMP_COUNTER_BITS, self._newest(now, RELAYED_MARGIN)
        )
        merging = self.merging
        dropped = merging.dropped
        count = news = 0
        for table, changes in found:
            count += changes.count
            news += table.apply(batch.stream, index, changes, window)
        if any(changes.newest > window.newest for _, changes in found):
            # Some were not taken: one of two clocks was wrong.
            copy = self._copies.of(batch.stream)
            copy.lacking, copy.is_coming = frozenset(self.tables.names), False
        if merging.dropped > dropped:
            self._copies.of(batch.stream).is_narrowed = True
        return count, news

    def rows_beside(self, stream: StreamId) -> int:
        """See `Replica`."""
        copy = self._copies.find(stream)
        return copy.reach if copy is not None and copy.reach > copy.told else 0

    def begin_snapshot(self, stream: StreamId) -> None:
        """See `Replica`."""
        copy = self._copies.find(stream)
        if copy is not None:
            copy.is_coming = True

    def finish_snapshot(
        self,
        stream: StreamId,
        position: Position,
        now: float,
        *,
        tables: Collection[str],
        newest: int = 0,
        beside: int = 0,
        is_conflict: bool = False,
        replaces: bool = False,
    ) -> None:
        """See `Replica`."""
        self._registry.streams.index(stream)
        if position.sequence and not position.digest:
            # No honest node says so.
            is_conflict, position = True, Position(position.sequence, above(0))
        known, copy = self._start(stream, now), self._copies.of(stream)
        if replaces:
            copy.reach = copy.told = 0
        elif is_conflict or has_rows_beside(position):
            copy.extend(newest, now)
            copy.told = max(copy.told, newest) if has_rows_beside(position) else 0
        elif position.sequence and known <= position:
            copy.account_for(newest)
        if beside and not replaces:
            copy.extend(min(beside, self.newest_taken(now)), now)
        if copy.is_suspect and position.sequence:
            copy.is_suspect = False
            position = Position(position.sequence, above(position.digest))
        # Who takes the sender's word has nothing to tell of it.
        copy.is_disputed = (copy.is_disputed or is_conflict) and not replaces
        if copy.is_coming:
            copy.is_coming = False
            copy.lacking -= frozenset(tables)
        copy.lacking |= frozenset(self.tables.names) - frozenset(tables)
        if not self.tracks_all:
            copy.is_narrowed = True
        elif replaces or known <= position:
            copy.is_narrowed = False
        if replaces or known < position:
            self._logs.start(stream, position, now)
            self.on_new_batch()

    def note_rows_beside(self, stream: StreamId, now: float) -> None:
        """See `Replica`."""
        known = self._logs.position(stream)
        if known is None:
            return
        copy = self._copies.of(stream)
        copy.told = copy.reach
        if self.keeps(stream):
            copy.is_disputed = True
            self._logs.start(stream, Position(known.sequence, above(known.digest)), now)
            self.on_new_batch()

    def newest_taken(self, now: float) -> int:
        """The latest stamp that is taken of what others have taken."""
        return self._newest(now, RELAYED_MARGIN)

    @property
    def max_future_seconds(self) -> float:
        """A clock that is further off than this is wrong."""
        return self._policy.max_future_seconds

    def _forget(self, now: float) -> None:
        """Let go of streams that have no rows and have not grown for a while."""
        if self._registry.streams.holds:
            return
        quiet_seconds = max(QUIET_SECONDS, 12 * self._policy.heartbeat_seconds)
        streams = self._registry.streams
        for stream in self._logs.silent_since(now - quiet_seconds):
            copy = self._copies.find(stream)
            known = self._logs.position(stream)
            is_due = copy is not None and copy.reach > copy.told and copy.reached_at < now - quiet_seconds
            if is_due and known is not None and known.sequence:
                # It grows no longer.
                self.note_rows_beside(stream, now)
            elif stream == self.own:
                continue
            elif stream.name == self.name and not self._copies.of(stream).is_taken_over:
                self._copies.of(stream).is_taken_over = True
                self.take_over_completed(now)
            elif not streams.rows(stream):
                self._logs.forget(stream)
                if streams.find(stream) is not None:
                    streams.forget(stream)
                self._copies.forget(stream)

    # ------------------------------------------------------------ figures

    def statistics(self) -> MeshStatistics:
        """A frozen snapshot of the figures."""
        own = self._logs.position(self.own)
        return MeshStatistics(
            sealed_batches=own.sequence if own is not None else 0,
            applied_batches=self._applied_batches,
            applied_records=self.merging.applied,
            stale_records=self.merging.stale,
            future_records=self._future_records,
            dropped_records=self.merging.dropped,
            left_out_records=self._left_out,
            unknown_sections=self._unknown_sections,
            streams=len(self._registry.streams),
            began_anew=self._began_anew,
        )

    def stream_statistics(self) -> tuple[StreamStatistics, ...]:
        """The vector for people."""
        return tuple(
            StreamStatistics(
                name=stream.name,
                incarnation=f"{stream.incarnation:016x}",
                sequence=position.sequence,
                rows=self.rows(stream),
            )
            for stream, position in self.vector().items()
        )

    @property
    def logs(self) -> Logs:
        """For their figures."""
        return self._logs
