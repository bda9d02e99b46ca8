"""One tracker: answers announces from its own memory and notes for the mesh what they changed.

A swarm is changed before the answer is made. Nothing here awaits; ``now`` is monotonic seconds.
"""

from __future__ import annotations

import random
import zlib
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from meshtracker import __version__
from meshtracker.errors import ClientError, CloseCode
from meshtracker.link.clock import HybridClock
from meshtracker.model import (
    PEER_ID_BYTES,
    SCRAPE_UNKNOWN,
    STAMP_COUNTER_BITS,
    AnnounceAnswer,
    AnnounceRequest,
    Event,
    PeerState,
    ScrapeAnswer,
)
from meshtracker.node.commands import AuditEntry, Command, ResetLinks
from meshtracker.node.directed import DirectedMessages
from meshtracker.node.links import Links
from meshtracker.node.mesh import Mesh, MeshPolicy
from meshtracker.node.policy import TrackerPolicy
from meshtracker.node.refreshes import KEY_BITS, Refreshes
from meshtracker.node.statistics import NodeStatistics, TrackerStatistics
from meshtracker.node.tables import TABLES, MakeTable
from meshtracker.swarm.access import Access
from meshtracker.swarm.expiry import Sweep
from meshtracker.swarm.peers import PeerPack
from meshtracker.swarm.registry import Registry
from meshtracker.swarm.selection import choose, chosen_addresses
from meshtracker.swarm.streams import Streams
from meshtracker.swarm.swarm import Swarm
from meshtracker.wire.compact import COMPACT6_BYTES, COMPACT_BYTES, IPV4_BYTES, pack_peer
from meshtracker.wire.link import MAX_INTEREST
from meshtracker.wire.peer_record import PeerRecord
from meshtracker.wire.vector import MAX_STREAMS, StreamId

_OWN: Final = 0
_KEYLESS: Final = KEY_BITS + 1
_LEECHER: Final = int(PeerState.LEECHER)
_PARTIAL: Final = int(PeerState.PARTIAL)
_SEEDER: Final = int(PeerState.SEEDER)
_REMOVED: Final = int(PeerState.REMOVED)
_COMPLETED: Final = int(Event.COMPLETED)
_STOPPED: Final = int(Event.STOPPED)
_PAUSED: Final = int(Event.PAUSED)

ROW_MEMORY_BYTES: Final = 600
"""Of a peer that is alone in its swarm, which is the dearest; most take a sixth of that."""
STREAM_BYTES: Final = 1000
"""Name, position and index of a stream."""
SESSION_BYTES: Final = 32 << 20
"""What a peer can make one link hold: frames, its vector and interest, what waits for it."""
KEPT_COMMANDS = 50
"""Commands of operators that status still shows."""


class Node:
    """A tracker and its place in a mesh; owns every object that changes."""

    def __init__(
        self,
        *,
        name: str,
        incarnation: int,
        clock: HybridClock,
        rng: random.Random,
        tracker: TrackerPolicy | None = None,
        mesh: MeshPolicy | None = None,
        access: Access | None = None,
        dials: bool = False,
        max_peers: int = 5_000_000,
        max_peers_per_swarm: int = 200_000,
        max_peers_per_node: int = 2_000_000,
        max_streams: int = MAX_STREAMS,
        tables: Iterable[MakeTable] = TABLES,
        now: float = 0.0,
    ) -> None:
        """``incarnation``: 64 random bits, new at each start; ``dials``: it has hubs (for its role)."""
        self.name = name
        self.clock = clock
        self.policy = tracker or TrackerPolicy()
        self.access = access or Access()
        own, policy = StreamId(name, incarnation), mesh or MeshPolicy()
        self.registry = Registry(
            streams=Streams(own, max_streams=max_streams),
            max_peers=max_peers,
            max_peers_per_swarm=max_peers_per_swarm,
            max_peers_per_node=max_peers_per_node,
        )
        self.mesh = Mesh(
            own=own,
            clock=clock,
            registry=self.registry,
            access=self.access,
            tracker=self.policy,
            policy=policy,
            rng=rng,
            tables=tables,
            now=now,
        )
        self.links = Links(name)
        self.directed = DirectedMessages(name, self.links, rng)
        self.sweep = Sweep(self.registry, peer_ttl_seconds=self.policy.peer_ttl_seconds)
        self._audit: deque[AuditEntry] = deque(maxlen=KEPT_COMMANDS)
        self._random = rng.random
        self._now, self._due_stamp = float("-inf"), 0
        """See `_refresh_due`: ``now`` is the same for a whole batch."""
        self._allowed_mark = object()
        """Put on swarms that the access list allows, so that they need not be looked up in it again."""
        self._refreshes: Refreshes | None = None
        """Of the latest millisecond."""
        self._dials = dials
        self._max_peers = max_peers
        self._started = now
        self._refresh_ms = int(self.policy.refresh_seconds * 1000)
        self._max_future_seconds = policy.max_future_seconds
        self._announces = self._scrapes = self._refused = 0

    # ------------------------------------------------------------ clients

    def announce(self, request: AnnounceRequest, now: float) -> AnnounceAnswer:
        """Take note of a client and give it peers. Raises `ClientError` if the torrent is not served here."""
        self._announces += 1
        info_hash, peer_id, key, address = request.info_hash, request.peer_id, request.key, request.address
        asker = self.take(info_hash, peer_id, key, address, request.port, request.event, request.left == 0, now)
        if asker is None:
            self._refused += 1
            raise ClientError("this torrent is not registered with this tracker", retry_in_minutes=60)
        return self._answer(self.registry.swarms.get(info_hash), asker, request)

    def take(
        self,
        info_hash: bytes,
        peer_id: bytes,
        key: int,
        address: bytes,
        port: int,
        event: int,
        seeding: bool,
        now: float,
    ) -> int | None:
        """Take note of what an announce changes; None if the torrent is not served here.

        Returns the client's position in the pack of its family, -1 if it is not there. Harmless if done twice.
        """
        swarm = self.registry.swarms.get(info_hash)
        if (swarm is None or swarm.allowed_mark is not self._allowed_mark) and not self._serves(info_hash, swarm):
            return None
        identity = _identity(peer_id, key, address)
        if event == _STOPPED:
            if swarm is not None:
                self._remove(info_hash, swarm, identity, pack_peer(address, port), now)
            return -1
        if not port:
            return -1
        if swarm is None:
            swarm = self.registry.swarm(info_hash)
        state = _SEEDER if seeding else _PARTIAL if event == _PAUSED else _LEECHER
        asker = self._hear(info_hash, swarm, identity, pack_peer(address, port), state, event == _COMPLETED, now)
        if asker < 0:
            self.registry.forget_if_empty(info_hash)
        return asker

    def _serves(self, info_hash: bytes, swarm: Swarm | None) -> bool:
        if not self.access.allows(info_hash):
            return False
        if swarm is not None:
            swarm.allowed_mark = self._allowed_mark
        return True

    def _hear(
        self, info_hash: bytes, swarm: Swarm, identity: bytes, address: bytes, state: int, completed: bool, now: float
    ) -> int:
        """Write what a client announced, if it is news; returns the client's position (-1: not stored)."""
        pack = swarm.v4 if len(address) == COMPACT_BYTES else swarm.pack(COMPACT6_BYTES)
        position = pack.find(identity)
        if position < 0:
            position = _find_rekeyed(pack, identity, address)
            if position >= 0:
                identity = pack.identity(position)
        stays, before, written, writer = False, -1, -1, _OWN
        if position >= 0:
            written, writer, before = pack.fields(position)
            stays = before != _REMOVED and pack.address(position) == address
            if stays and before == state and written >= self._refresh_due(now):
                return position
        if not stays and self._evict_namesake(info_hash, swarm, pack, identity, address, now):
            position = pack.find(identity)
        stamp = self.clock.tick(now)
        if written >= stamp:
            stamp = self._stamp_over(written, writer, now)
            if not stamp:
                return position
        position = self.registry.write(swarm, pack, position, (identity, stamp, _OWN, state), address)
        if position >= 0:
            self.mesh.note(info_hash, PeerRecord(identity, stamp, state, len(address), address), now)
            if completed and before != _SEEDER:
                self.mesh.note_completed(info_hash, now)
        return position

    def _stamp_over(self, written: int, writer: int, now: float) -> int:
        """The stamp that wins over a row from this clock's future; 0 if that is too far ahead and not this node's own.

        A node must not stamp further ahead than its hub takes: nobody else's clock may end its link.
        """
        ahead_seconds = (written >> STAMP_COUNTER_BITS) / 1000 - self.clock.wall_seconds(now)
        return written + 1 if writer == _OWN or ahead_seconds < self._max_future_seconds else 0

    def _refresh_due(self, now: float) -> int:
        """The stamp from which on a row need not be written again."""
        if now != self._now:
            self._now = now
            self._due_stamp = (self.clock.wall_ms(now) - self._refresh_ms + 1) << STAMP_COUNTER_BITS
        return self._due_stamp

    def refreshes(self, now: float) -> Refreshes:
        """For who answers them in this node's stead; `count_announces` is told how many those were."""
        access, policy, due_stamp = self.access, self.policy, max(0, self._refresh_due(now))
        known = self._refreshes
        if known is None or known.due_stamp != due_stamp:
            known = self._refreshes = Refreshes(
                self.registry.swarms,
                None if access.mode == "open" else access.info_hashes,
                access.mode == "allow",
                self._allowed_mark,
                self.take,
                due_stamp,
                policy.announce_interval_seconds,
                policy.min_interval_seconds,
                policy.announce_jitter_seconds,
                policy.numwant_default,
                policy.numwant_max,
            )
        return known

    def count_announces(self, announces: int) -> None:
        """Somebody has answered so many by `refreshes`."""
        self._announces += announces

    def _evict_namesake(
        self, info_hash: bytes, swarm: Swarm, pack: PeerPack, identity: bytes, address: bytes, now: float
    ) -> bool:
        """Remove another client at the very address this one speaks from: it is what ran there before a restart."""
        position = pack.find_address(address)
        if position < 0 or pack.identity(position) == identity:
            return False
        self._bury(info_hash, swarm, pack, position, now)
        return True

    def _remove(self, info_hash: bytes, swarm: Swarm, identity: bytes, address: bytes, now: float) -> None:
        """A client stopped: it leaves in both families."""
        for pack in swarm.packs():
            position = pack.find(identity)
            if position < 0 and pack.address_bytes == len(address):
                position = _find_rekeyed(pack, identity, address)
            if 0 <= position < pack.live:
                self._bury(info_hash, swarm, pack, position, now)

    def _bury(self, info_hash: bytes, swarm: Swarm, pack: PeerPack, position: int, now: float) -> None:
        identity, stamp = pack.identity(position), self.clock.tick(now)
        written, writer, _ = pack.fields(position)
        if written >= stamp:
            stamp = self._stamp_over(written, writer, now)
            if not stamp:
                return
        self.registry.write(swarm, pack, position, (identity, stamp, _OWN, _REMOVED), b"")
        self.mesh.note(info_hash, PeerRecord(identity, stamp, _REMOVED, pack.address_bytes, b""), now)

    def _answer(self, swarm: Swarm | None, asker: int, request: AnnounceRequest) -> AnnounceAnswer:
        policy = self.policy
        complete, incomplete, downloaded, downloaders = swarm.counts() if swarm is not None else (0, 0, 0, 0)
        answer = AnnounceAnswer(
            policy.announce_interval_seconds + int(self._random() * (policy.announce_jitter_seconds + 1)),
            policy.min_interval_seconds,
            complete,
            incomplete,
            downloaded,
            downloaders,
        )
        wanted = policy.numwant_default if request.numwant < 0 else min(request.numwant, policy.numwant_max)
        if swarm is None or not wanted or request.event == _STOPPED:
            return answer
        ipv4, both = len(request.address) == IPV4_BYTES, request.both_families
        identity = _identity(request.peer_id, request.key, request.address)
        if ipv4 or both:
            position = asker if ipv4 else swarm.v4.find(identity)
            answer.peers, answer.peer_ids = self._choose(swarm.v4, wanted, position, request)
        if swarm.v6 is not None and (both or not ipv4):
            position = swarm.v6.find(identity) if ipv4 else asker
            answer.peers6, answer.peer_ids6 = self._choose(swarm.v6, wanted, position, request)
        return answer

    def _choose(
        self, pack: PeerPack, wanted: int, asker: int, request: AnnounceRequest
    ) -> tuple[bytes, tuple[bytes, ...]]:
        """Compact addresses of peers, and their peer ids if asked for."""
        seeding = request.left == 0
        if not request.with_peer_ids:
            return chosen_addresses(pack, wanted, asker=asker, seeding=seeding, random=self._random), ()
        ranges = choose(pack, wanted, asker=asker, seeding=seeding, random=self._random)
        return pack.addresses_of(ranges), pack.peer_ids(ranges)

    def scrape(self, info_hashes: Sequence[bytes]) -> list[ScrapeAnswer]:
        """Counts of each info-hash, in the order asked; swarms that are unknown or not served count nothing."""
        self._scrapes += 1
        return [self._counts(info_hash) for info_hash in info_hashes]

    def _counts(self, info_hash: bytes) -> ScrapeAnswer:
        swarm = self.registry.get(info_hash) if self.access.allows(info_hash) else None
        return ScrapeAnswer(*swarm.counts()) if swarm is not None else SCRAPE_UNKNOWN

    def scrape_all(self) -> Iterator[tuple[bytes, ScrapeAnswer]]:
        """Every swarm that is served here; swarms may come and go meanwhile."""
        self._scrapes += 1
        for info_hash in list(self.registry.swarms):
            swarm = self.registry.get(info_hash)
            if swarm is not None and swarm.live and self.access.allows(info_hash):
                yield info_hash, ScrapeAnswer(*swarm.counts())

    # ------------------------------------------------------------ operators

    def execute(self, command: Command, now: float) -> AuditEntry:
        """Carry out a command and write it down; the caller logs what is returned. Raises `CommandError`."""
        entry = AuditEntry(
            at_unix_seconds=self.clock.wall_seconds(now),
            caller=command.caller,
            action=command.action,
            links=self.links.execute(command, now),
            everybody=command.name is None,
            full=isinstance(command, ResetLinks) and command.full,
            reason=command.reason,
        )
        self._audit.appendleft(entry)
        # Sessions that were closed have something to send: why.
        self.mesh.on_new_batch()
        return entry

    # ------------------------------------------------------------ upkeep

    def set_access(self, access: Access, now: float) -> None:
        """Serve other torrents from now on; hubs are asked at once for what is known of those newly allowed."""
        before, self.access = self.access, access
        self._allowed_mark = object()
        self._refreshes = None
        narrowed = self.mesh.interest() is not None
        self.mesh.set_access(access)
        if self.mesh.forwards or access == before:
            return
        added = access.adds_to(before)
        dropped = before.info_hashes - access.info_hashes if access.mode == "allow" else frozenset[bytes]()
        lacked = 0 if added == frozenset() else self.mesh.lack_swarms()
        for session in self.links.to_hubs():
            is_other = narrowed != (self.mesh.interest() is not None)
            if added is None or len(added) > MAX_INTEREST or is_other:
                session.close("the access list is another one now", now, code=CloseCode.RESET)
            else:
                session.track(added, dropped, lacked, now)
        self.mesh.on_new_batch()

    def flush(self, now: float) -> None:
        """What is due ten times a second: tell the mesh what clients changed, and look after streams and requests."""
        self.mesh.flush(now)
        self.directed.expire(now)
        if self.mesh.wants_anew and self.mesh.may_begin_anew(now):
            self.mesh.begin_anew(now, clock_was_wrong=False)
            self.links.reset_all(f"{self.name} begins its stream anew: somebody else wrote in its name", now)

    def set_clock(self, step_seconds: float, now: float) -> None:
        """Wall time was set, by so many seconds; if far back, all that was judged by it is judged anew."""
        self.clock.step(step_seconds)
        self._now = float("-inf")
        self._refreshes = None
        if step_seconds < -self._max_future_seconds:
            self.mesh.begin_anew(now, clock_was_wrong=True)
        if abs(step_seconds) > self._max_future_seconds:
            self.links.reset_all(f"the clock of {self.name} was set by {step_seconds:.0f} s", now)

    def expire(self, now: float) -> None:
        """One small step of the sweep; `Sweep.steps_per_round` of them look at every peer."""
        self.sweep.step(self.clock.wall_ms(now))

    def _memory_bound_bytes(self, now: float) -> int:
        logs = self.mesh.logs.statistics(now).max_bytes
        return self._max_peers * ROW_MEMORY_BYTES + logs + MAX_STREAMS * STREAM_BYTES + len(self.links) * SESSION_BYTES

    def statistics(self, now: float) -> NodeStatistics:
        """A frozen snapshot of everything."""
        roles = [role for role, held in (("hub", self.mesh.forwards), ("leaf", self._dials)) if held]
        return NodeStatistics(
            name=self.name,
            incarnation=f"{self.mesh.own.incarnation:016x}",
            role=" and ".join(roles) or "standalone",
            version=__version__,
            uptime_seconds=now - self._started,
            tracker=TrackerStatistics(
                announces=self._announces, scrapes=self._scrapes, refused=self._refused, changes=self.mesh.noted
            ),
            registry=self.registry.statistics(),
            mesh=self.mesh.statistics(),
            log=self.mesh.logs.statistics(now),
            vector=self.mesh.stream_statistics(),
            directed=self.directed.statistics(),
            links=self.links.statistics(now),
            neighbours=self.links.neighbours(now),
            memory_bound_bytes=self._memory_bound_bytes(now),
            refused_links=self.links.refused(),
            audit=tuple(self._audit),
        )


def _find_rekeyed(pack: PeerPack, identity: bytes, address: bytes) -> int:
    """Position of a client known by another key, with this very peer id and address (-1: none).

    aria2 draws a new key for each announce over UDP.
    """
    position = pack.find_address(address)
    if position >= 0 and pack.identity(position)[:PEER_ID_BYTES] == identity[:PEER_ID_BYTES]:
        return position
    return -1


def _identity(peer_id: bytes, key: int, address: bytes) -> bytes:
    """Peer id and key; the first bit of the key says whose idea it was.

    A client that sent no key is known by its IP address instead. Nobody else can move or remove it then, not even by
    sending that address's checksum as a key.
    """
    told = key & KEY_BITS if key else zlib.crc32(address) | _KEYLESS
    return peer_id + told.to_bytes(4, "big")
