"""One end of a link as a state machine without I/O: bytes and ``now`` in, bytes and notices out.

What may arrive in which state, and where it leads, is the table `transitions.TRANSITIONS`. The I/O around a session
calls `connected`, `secured`, `take_in`, `apply`, `handle_deadline` and `end_of_stream`, writes what `data_to_send`
returns and logs `notices`. Nothing is queued here but what one read has brought and what `outgoing` bounds: data
is read from the logs when the socket can take it, so a slow peer costs a cursor and no memory.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from typing import Protocol

from meshtracker.errors import CloseCode, LinkError, WireError
from meshtracker.link import greeting, split
from meshtracker.link.allowance import Allowance
from meshtracker.link.challenge import CHALLENGE_SECONDS, Challenge
from meshtracker.link.interest import PeerInterest
from meshtracker.link.outgoing import Outgoing
from meshtracker.link.policy import LinkPolicy
from meshtracker.link.proof.authentication import Credential
from meshtracker.link.proof.handshake import Handshake
from meshtracker.link.receiver import Receiver
from meshtracker.link.replica import Replica
from meshtracker.link.sender import Sender
from meshtracker.link.split import Progress, Verdict
from meshtracker.link.statistics import Level, Notice, SessionStatistics
from meshtracker.link.transitions import HANDSHAKE_STATES, Event, State, Step, after
from meshtracker.wire import link as wire
from meshtracker.wire.frame import DATA_FRAMES, MAX_PAYLOAD_BYTES, FrameDecoder, FrameType
from meshtracker.wire.link import Interest
from meshtracker.wire.vector import FORGOTTEN, MAX_STREAMS, StreamId, Vector

MAX_TOLD_BURSTS = 1000
"""Streams whose resync one session tells the operator of: a peer may announce streams without end."""
SHOWN_RESYNCS = 20
"""Of them, what status shows."""
LATE_SECONDS = 1.0
"""A look at the clock that comes later than this was held up by this node itself: see `Progress.forgive`."""
FETCHED_PER_SECOND = 1000.0
"""Swarms that a leaf may ask for anew, over time; at once as many as it may be narrowed to, twice."""


class Owner(Protocol):
    """Who keeps the sessions of a node: it knows the others, and what operators want of their links."""

    def admit(self, session: LinkSession, hello: wire.Hello, now: float) -> None:
        """Make room for a node that has just said its name. Raises `LinkError` if it is not wanted."""

    def wants_everything(self, name: str) -> bool:
        """Shall the burst with that node bring everything anew, both ways?"""

    def note_synced(self, session: LinkSession) -> None:
        """Peers flow."""

    def note_split(self, session: LinkSession, verdict: Verdict, now: float, *, resets: bool) -> None:
        """Data does not flow although the link is up; ``resets``: the session closes itself for that."""

    def note_heard(self, session: LinkSession, name: str) -> None:
        """A batch of a node's stream has come over this link, and was news."""

    def deliver(self, session: LinkSession, message: wire.Directed, now: float) -> None:
        """A directed message has come: for this node, or to be passed on."""


class LinkSession:
    """One end of one connection."""

    def __init__(
        self,
        *,
        replica: Replica,
        credential: Credential,
        dials: bool,
        policy: LinkPolicy,
        owner: Owner,
        peer_address: str,
        now: float,
    ) -> None:
        """``peer_address`` is for the operator only."""
        self.peer: wire.Hello | None = None
        self.peer_address = peer_address
        self.dials = dials
        self.version = 0
        """Of the protocol, once both have said what they speak."""
        self.reason = ""
        self.code = CloseCode.OTHER
        """Why it was closed."""
        self.was_synced = False
        self.told_by_peer = False
        """Did the peer give the reason?"""
        self.refusal: CloseCode | None = None
        """What this end had against the other when it closed the link."""
        self.soft_splits = 0
        self.verdict: Verdict | None = None
        """The last soft-split."""
        self.warnings: tuple[str, ...] = ()
        self._phase = State.CONNECTING
        self._is_split = False
        self._replica = replica
        self._credential = credential
        self._policy = policy
        self._owner = owner
        self._decoder = FrameDecoder()
        self._progress = Progress(heard_at=now, looked_at=now)
        self._inbox: deque[tuple[FrameType, bytes]] = deque()
        self._damage: WireError | None = None
        """What is wrong with the bytes after those of the inbox."""
        self._handshake: Handshake | None = None
        self._outgoing = Outgoing()
        self._fetch_allowance = Allowance(per_second=FETCHED_PER_SECOND, most=2.0 * wire.MAX_INTEREST, now=now)
        self._notices: list[Notice] = []
        self._receiver: Receiver | None = None
        self._sender: Sender | None = None
        self._end_sent = 0
        """Which of the data frames sent was END_OF_BURST; 0 before it."""
        self._theirs: Vector = {}
        """The peer's vector."""
        self._known_at_start: Vector = {}
        """What the peer knew when its burst began."""
        self._told_change = 0
        """The replica's change up to which the peer has been told this node's vector."""
        self._interest = PeerInterest()
        self._everything = False
        """Do both ends send everything anew because this one was told so?"""
        self._lacked = 0
        """What the replica lacked when its vector was sent."""
        self._fetches: deque[int] = deque()
        """The same, for each FETCH that is not answered yet."""
        self._challenge = Challenge()
        self._entered = now
        self._next_heartbeat = self._next_alarm = split.NEVER
        self._received_bytes = self._sent_bytes = 0
        self._sent_batches = 0
        self._told_bursts = 0

    # ------------------------------------------------------------ what the I/O calls

    def connected(self, now: float) -> None:
        """The TCP connection is there."""
        # An operator may have closed it meanwhile.
        if not self.is_closed:
            self._advance(Step.CONNECTED, now)

    def secured(self, binding: bytes | None, now: float) -> None:
        """TLS is up (or off: None); ``binding`` is `authentication.channel_binding` of the listener's certificate."""
        if self.is_closed:
            return
        self._advance(Step.SECURED, now)
        self._handshake = Handshake(
            self._credential,
            dials=self.dials,
            name=self._replica.name,
            binding=binding,
            versions=self._policy.versions,
        )
        self._put(self._handshake.first())

    def receive_data(self, data: bytes, now: float) -> None:
        """Take bytes off the wire and apply all that they complete; never raises for what a peer sends."""
        self.take_in(data, now)
        while self.apply(now):
            pass

    def take_in(self, data: bytes, now: float) -> None:
        """Take bytes off the wire: what they complete waits for `apply`, but for the handshake."""
        if self.is_closed or self._damage is not None:
            return
        self._received_bytes += len(data)
        self._progress.heard_at = now
        frames = data_frames = 0
        try:
            for kind, payload in self._decoder.feed(data):
                if self._phase is State.CLOSED:
                    return
                if self._phase in HANDSHAKE_STATES:
                    self._process(kind, payload, now)
                    continue
                self._inbox.append((kind, payload))
                frames += 1
                data_frames += kind in DATA_FRAMES
        except WireError as error:
            self._damage = error
        self._progress.read(self._decoder.waiting_bytes, frames=frames, data_frames=data_frames, now=now)
        self._end_if_damaged(now)

    def apply(self, now: float) -> bool:
        """Apply one frame that was taken in; False if none is waiting."""
        if not self._inbox:
            return False
        kind, payload = self._inbox.popleft()
        # Counted first, for the answer to END_OF_BURST confirms that too; a frame that is refused ends the link.
        self._progress.applied(now, is_data=kind in DATA_FRAMES)
        self._process(kind, payload, now)
        self._end_if_damaged(now)
        return True

    def end_of_stream(self, now: float, *, why: str = "the other side hung up") -> None:
        """The connection is gone."""
        self._closed(CloseCode.UNREACHABLE, why, now)

    def close(self, reason: str, now: float, *, code: CloseCode) -> None:
        """Tell the peer why, then hang up once `data_to_send` is written."""
        if self.is_closed:
            return
        if self._phase not in (State.CONNECTING, State.SECURING):
            self._outgoing.last_words(wire.encode_close(code, reason))
        self._closed(code, reason, now)

    def track(self, added: Collection[bytes], dropped: Collection[bytes], lacked: int, now: float) -> None:
        """This node has begun to track some swarms and has dropped others; ``lacked``: see `Replica.lacks_swarms`.

        The other end, a hub, sends at once what it knows of those added.
        """
        if dropped and self._replica.interest() is not None:
            self._put(*wire.encode_interest(Interest.DROP, dropped), now=now)
        if added and not self.is_closed:
            frames = wire.encode_interest(Interest.FETCH, added)
            self._put(*frames, now=now)
            self._fetches += [0] * (len(frames) - 1) + [lacked]

    def send_directed(self, message: wire.Directed, now: float) -> bool:
        """Have the peer take or pass on a directed message; False if the link does not carry it now."""
        return self.state is State.SYNCED and self._outgoing.put_directed(message, now)

    def challenge(self, now: float) -> None:
        """Another node has come with the peer's name: the peer keeps it if it is alive."""
        if self._challenge.begin(self._received_bytes, now):
            self._outgoing.challenge_is_due = True

    def check_credential(self, now: float) -> None:
        """The credentials have changed: close unless the peer's proof still counts."""
        void_name = self._handshake.void_name if self._handshake else ""
        if void_name:
            self._refuse(f"the credential of {void_name} was revoked or replaced", CloseCode.AUTHENTICATION, now)

    def next_deadline(self) -> float:
        """When `handle_deadline` wants to be called."""
        if self.is_closed:
            return split.NEVER
        if self._phase in HANDSHAKE_STATES:
            return self._entered + self._policy.handshake_timeout_seconds
        if self._is_split:
            return min(self._next_heartbeat, self._next_alarm, self._challenge.due_at)
        look = split.next_look(self._progress, self._policy.soft_split_after_seconds)
        return min(self._next_heartbeat, look, self._challenge.due_at)

    def handle_deadline(self, now: float) -> None:
        """Send a heartbeat that is due, look for a soft-split; give up on an endless handshake."""
        if self.is_closed:
            return
        if self._phase in HANDSHAKE_STATES:
            seconds = self._policy.handshake_timeout_seconds
            if now >= self._entered + seconds:
                self.close(f"still {self._phase.shown} after {seconds:g} s", now, code=CloseCode.TIMEOUT)
            return
        self._progress.looked(now, self._policy.heartbeat_seconds)
        late_seconds = now - self.next_deadline()
        if late_seconds > LATE_SECONDS:
            self._progress.forgive(late_seconds, now)
        if self._challenge.is_lost(self._received_bytes, now):
            reason = f"silent for {CHALLENGE_SECONDS:g} s when another node came with its name"
            self.close(reason, now, code=CloseCode.NAME)
        self._look(now)
        if now >= self._next_heartbeat and not self.is_closed:
            self._next_heartbeat = now + self._policy.heartbeat_seconds
            self._outgoing.heartbeat_is_due = True

    def data_to_send(self, now: float) -> bytes:
        """The next bytes to write: control frames first, then at most one frame of data; b"" if there is nothing."""
        data = self._outgoing.take()
        is_up = self._phase not in HANDSHAKE_STATES and not self.is_closed
        if is_up and (self._outgoing.heartbeat_is_due or self._outgoing.challenge_is_due):
            data += self._heartbeat(now)
        if not data and is_up:
            data = self._next_data(now)
        self._sent_bytes += len(data)
        return data

    # ------------------------------------------------------------ what others ask

    @property
    def state(self) -> State:
        """Where it is; a soft-split hides the state that it will go on from."""
        return State.SOFT_SPLIT if self._is_split else self._phase

    @property
    def is_closed(self) -> bool:
        """Is this the end of it?"""
        return self._phase is State.CLOSED

    @property
    def authentication_failed(self) -> bool:
        """Did the proof fail, at either end?"""
        is_proven = self._handshake is not None and self._handshake.is_proven
        return self.code is CloseCode.AUTHENTICATION and not is_proven

    @property
    def late_directed(self) -> int:
        """Directed messages that waited here for too long."""
        return self._outgoing.late_directed

    def held_bytes(self) -> int:
        """What the session holds of bytes: of frames that are not complete, not applied, or not written."""
        return (
            self._decoder.waiting_bytes + sum(len(payload) for _, payload in self._inbox) + self._outgoing.waiting_bytes
        )

    def notices(self) -> list[Notice]:
        """What happened since the last call, for the log."""
        notices, self._notices = self._notices, []
        return notices

    def statistics(self, now: float) -> SessionStatistics:
        """A frozen snapshot of the figures."""
        sender, receiver, progress = self._sender, self._receiver, self._progress
        return SessionStatistics(
            peer=self.peer.name if self.peer else "",
            peer_address=self.peer_address,
            dialed=self.dials,
            state=self.state.shown,
            since_seconds=now - self._entered,
            version=self.version,
            resync=_joined(receiver.resync if receiver else {}),
            sent_resync=_joined(sender.sent if sender else {}),
            warnings=self.warnings,
            received_bytes=self._received_bytes,
            sent_bytes=self._sent_bytes,
            received_batches=receiver.batches if receiver else 0,
            sent_batches=self._sent_batches,
            received_records=receiver.records if receiver else 0,
            refused_records=receiver.refused_records if receiver else 0,
            dropped_records=receiver.dropped_records if receiver else 0,
            unshared_rows=self._unshared_rows(),
            peer_lag_batches=sender.lag() if sender else 0,
            unconfirmed_frames=progress.sent_frames - progress.confirmed_frames,
            skipped_bytes=sender.skipped_bytes if sender else 0,
            heard_seconds_ago=now - progress.heard_at,
            soft_splits=self.soft_splits,
            verdict=str(self.verdict or ""),
            reason=self.reason,
            code=self.code.label if self.is_closed else "",
        )

    def _unshared_rows(self) -> int:
        sender, receiver = self._sender, self._receiver
        if sender is None or receiver is None or self.peer is None or not self.peer.forwards:
            return 0
        return sender.unshared_rows() + receiver.unshared_rows

    # ------------------------------------------------------------ frames that come

    def _process(self, kind: FrameType, payload: bytes, now: float) -> None:
        try:
            before, follows = self._phase, after(self._phase, kind)
            self._receive(wire.decode(kind, payload), now)
            if self._phase is before and follows is not before:
                self._enter(follows, now)
            self._sync_if_done(now)
        except LinkError as error:
            self._refuse(str(error), error.code, now)
        except WireError as error:
            self._refuse(f"protocol error: {error}", CloseCode.PROTOCOL, now)

    def _receive(self, message: wire.Message, now: float) -> None:
        match message:
            case wire.Auth():
                self._receive_auth(message, now)
            case wire.Close():
                self.told_by_peer = True
                self._closed(message.code, message.reason, now)
            case wire.Hello():
                self._receive_hello(message, now)
            case wire.Knowledge():
                self._receive_knowledge(message, now)
            case wire.InterestChange():
                self._receive_interest(message, now)
            case wire.Heartbeat():
                self._receive_heartbeat(message, now)
            case wire.Directed():
                self._owner.deliver(self, message, now)
            case _:
                self._receive_stream(message, now)

    def _receive_auth(self, message: wire.Auth, now: float) -> None:
        handshake = self._handshake
        if handshake is None:
            raise LinkError(f"protocol error: {message.kind.name} before TLS")
        try:
            self._put(handshake.receive(message))
        except LinkError as error:
            if handshake.detail:
                # The stranger is told less than this node's own operator.
                self._refuse(str(error), error.code, now)
                self.reason = f"{error}: {handshake.detail}"
            raise
        if handshake.is_proven:
            self._decoder.max_payload_bytes = MAX_PAYLOAD_BYTES
            self._advance(Step.PROVEN, now)
            self._put(wire.encode_hello(self._hello(now)))

    def _hello(self, now: float) -> wire.Hello:
        policy = self._policy
        return self._replica.hello(
            now, versions=policy.versions, capabilities=policy.capabilities, may_speak=self._trusts_peer
        )

    @property
    def _trusts_peer(self) -> bool:
        """Is the peer believed what it says of other nodes' streams?"""
        return self._handshake is not None and self._handshake.may_speak

    def _receive_hello(self, hello: wire.Hello, now: float) -> None:
        if self._handshake is not None:
            self._handshake.check_hello(hello)
        mine = self._hello(now)
        greeting.check(mine, hello, self._policy.clocks)
        self._owner.admit(self, hello, now)
        self.version = greeting.common_version(mine.versions, hello.versions, here=mine.name, there=hello.name)
        self._everything = self._owner.wants_everything(hello.name)
        self._receiver = Receiver(self._replica, hello, may_speak=self._trusts_peer)
        self.peer = hello
        self.warnings = tuple(greeting.differences(mine, hello, self._policy.clocks))
        self._notices += [Notice("warning", warning) for warning in self.warnings]
        interest = self._replica.interest()
        if hello.forwards:
            self._lacked = self._replica.lacks_swarms()
            if interest is not None:
                self._put(*wire.encode_interest(Interest.TRACK, interest))
        everything = self._everything or bool(self._lacked)
        self._told_change = self._replica.changes
        vector = self._replica.vector_for(hello.tables)
        position = self._replica.position_for(hello.stream)
        if position is not None and vector[hello.stream].sequence:
            vector[hello.stream] = position
        self._put(*wire.encode_knowledge(vector, everything=everything))

    def _receive_knowledge(self, message: wire.Knowledge, now: float) -> None:
        self._learn(message.vector)
        if message.more:
            return
        if self.peer is None:
            raise LinkError("protocol error: VECTOR before HELLO")
        self._known_at_start = dict(self._theirs)
        everything = message.everything or self._everything
        interest = self._interest.info_hashes
        self._sender = Sender(
            self._replica,
            self.peer,
            self._theirs,
            everything=everything,
            interest=interest,
            trusts_peer=self._trusts_peer,
        )
        self._advance(Step.COMPARED, now)
        self._progress.data_at = now
        self._next_heartbeat = now

    def _learn(self, vector: Vector) -> list[StreamId]:
        """The peer tells how far it knows some streams; returns which have moved."""
        for stream in [stream for stream, position in vector.items() if position == FORGOTTEN]:
            self._theirs.pop(stream, None)
            del vector[stream]
            if self._sender is not None:
                self._sender.note_forgotten(stream)
        moved = [stream for stream, position in vector.items() if self._theirs.get(stream) != position]
        self._theirs.update(vector)
        if len(self._theirs) > MAX_STREAMS:
            raise LinkError(f"more than {MAX_STREAMS} streams in one vector", code=CloseCode.FLOOD)
        own, mine = vector.get(self._replica.own), self._replica.position(self._replica.own)
        if self._trusts_peer and own is not None and mine is not None and own.sequence > mine.sequence:
            self._replica.want_anew()
            self._notices.append(
                Notice("warning", "it knows more of this node's stream than this node wrote: somebody else wrote there")
            )
        return moved

    def _receive_interest(self, message: wire.InterestChange, now: float) -> None:
        if self.peer is None or self.peer.forwards:
            raise LinkError("protocol error: INTEREST of a hub, which is sent everything")
        is_fetch = message.interest is Interest.FETCH
        if is_fetch and not self._fetch_allowance.take(len(message.info_hashes), now):
            raise LinkError("more swarms asked for than a leaf may in that time", code=CloseCode.FLOOD)
        self._interest.receive(message.interest, message.info_hashes, has_begun=self._sender is not None)
        if is_fetch and self._sender is not None:
            self._sender.fetch(message.info_hashes, now)

    def _receive_heartbeat(self, heartbeat: wire.Heartbeat, now: float) -> None:
        sender, receiver, peer, progress = self._sender, self._receiver, self.peer, self._progress
        if sender is None or receiver is None or peer is None:
            raise LinkError("protocol error: HEARTBEAT before VECTOR")
        if heartbeat.applied_frames > progress.sent_frames:
            raise LinkError("protocol error: a heartbeat confirms more than was sent")
        progress.looked(now, self._policy.heartbeat_seconds)
        greeting.check_clock(
            heartbeat.clock_ms - self._replica.wall_ms(now),
            self._policy.clocks,
            mine=self._replica.name,
            theirs=peer.name,
            late_seconds=self._policy.soft_split_after_seconds + progress.away_seconds,
        )
        moved = self._learn(heartbeat.vector)
        if heartbeat.answer_at_once:
            self._outgoing.heartbeat_is_due = True
        progress.confirmed(heartbeat.applied_frames, now)
        progress.owes(receiver.lacks(self._theirs), now, sent_frames=heartbeat.sent_frames)
        sender.compare(moved, heartbeat.applied_frames)

    def _receive_stream(self, message: wire.Message, now: float) -> None:
        receiver = self._receiver
        if receiver is None:
            raise LinkError("protocol error: data before HELLO")
        before = self._replica.dropped_records
        self._apply_stream(message, receiver, now)
        receiver.dropped_records += self._replica.dropped_records - before

    def _apply_stream(self, message: wire.Message, receiver: Receiver, now: float) -> None:
        match message:
            case wire.BatchFrame():
                if receiver.batch(message, now):
                    self._owner.note_heard(self, message.batch.stream.name)
            case wire.SnapshotPiece():
                receiver.snapshot(message.batch, now)
            case wire.SnapshotEnd():
                receiver.end_snapshot(message, now)
                while receiver.conflicts and self._sender is not None:
                    self._sender.answer(receiver.conflicts.pop())
            case wire.Burst():
                texts = receiver.burst(message, now)
                self._told_bursts += len(texts)
                level: Level = "info" if self._told_bursts <= MAX_TOLD_BURSTS else "debug"
                self._notices += [Notice(level, text) for text in texts]
            case wire.EndOfBurst():
                # The other end waits for it to be confirmed.
                self._outgoing.heartbeat_is_due = True
            case wire.SwarmsPiece():
                self._check_fetched()
                receiver.swarms(message.batch, now)
            case wire.SwarmsEnd():
                self._check_fetched()
                self._replica.have_swarms(self._fetches.popleft(), message.vector)

    def _check_fetched(self) -> None:
        if not self._fetches:
            raise LinkError("protocol error: SWARMS without INTEREST FETCH")

    # ------------------------------------------------------------ frames that go

    def _put(self, *frames: bytes, now: float | None = None) -> None:
        """Have control frames sent; with ``now`` the link is closed if the peer reads none."""
        try:
            self._outgoing.put(*(frame for frame in frames if frame))
        except LinkError as error:
            if now is None:
                raise
            self._refuse(str(error), error.code, now)

    def _heartbeat(self, now: float) -> bytes:
        """As many HEARTBEAT frames as it takes to tell of all streams that have moved; one at least."""
        moved = self._replica.changed_after(self._told_change)
        self._told_change = self._replica.changes
        positions = {stream: self._replica.position(stream) for stream in moved}
        if self.peer is not None and self.peer.stream in positions:
            positions[self.peer.stream] = self._replica.position_for(self.peer.stream)
        vector = {stream: position or FORGOTTEN for stream, position in positions.items()}
        heartbeat = wire.Heartbeat(
            clock_ms=self._replica.wall_ms(now),
            sent_frames=self._progress.sent_frames,
            applied_frames=self._progress.applied_frames,
            vector=vector,
            answer_at_once=self._outgoing.challenge_is_due,
        )
        self._outgoing.heartbeat_is_due = self._outgoing.challenge_is_due = False
        return wire.encode_heartbeat(heartbeat)

    def _next_data(self, now: float) -> bytes:
        """One frame of data, or of what waits behind it; b"" if the peer has been sent all that there is."""
        sender = self._sender
        if sender is None:
            return b""
        data = self._end_of_burst(sender) or sender.next_frame(now, self._progress.sent_frames + 1)
        if data:
            self._sent_batches += 1
        else:
            # Only when asked for more does the sender notice that a snapshot was all.
            data = self._end_of_burst(sender)
        if data:
            self._progress.sent(now)
        return data or self._outgoing.take_directed(now)

    def _end_of_burst(self, sender: Sender) -> bytes:
        if self._end_sent or not sender.burst_is_sent:
            return b""
        self._end_sent = self._progress.sent_frames + 1
        return wire.encode_end_of_burst()

    # ------------------------------------------------------------ soft-splits

    def _look(self, now: float) -> None:
        """Is this a soft-split, still or no longer?"""
        after_seconds = self._policy.soft_split_after_seconds
        verdict = split.judge(self._progress, now, after_seconds)
        if self.is_closed or (verdict is None and not self._is_split):
            return
        if verdict is None:
            self._notices.append(Notice("info", f"recovered from the soft-split after {now - self._entered:.0f} s"))
            self._is_split = False
            self._entered = now
            return
        if not self._is_split:
            self._is_split = True
            self._entered = now
            self.soft_splits += 1
            self._owner.note_split(self, verdict, now, resets=self._policy.auto_reset)
        elif now < self._next_alarm:
            return
        self.verdict = verdict
        self._next_alarm = now + after_seconds
        self._notices.append(Notice("error", str(verdict)))
        if self._policy.auto_reset:
            self._refuse(str(verdict), CloseCode.SOFT_SPLIT, now)

    def _sync_if_done(self, now: float) -> None:
        if not 0 < self._end_sent <= self._progress.confirmed_frames:
            return
        if self._phase in (State.BURSTING, State.HEARD):
            self._advance(Step.BURST_CONFIRMED, now)
        if self._phase is State.SYNCED and not self.was_synced:
            self.was_synced = True
            self._replica.have_swarms(self._lacked, self._known_at_start)
            self._owner.note_synced(self)

    # ------------------------------------------------------------ states

    def _advance(self, event: Event, now: float) -> None:
        self._enter(after(self._phase, event), now)

    def _enter(self, state: State, now: float) -> None:
        self._phase = state
        if not self._is_split:
            self._entered = now
        self._notices.append(Notice("info" if state is State.SYNCED else "debug", state.value))

    def _end_if_damaged(self, now: float) -> None:
        # What came whole before the damage is not lost.
        if self._damage is not None and not self._inbox:
            self._refuse(f"protocol error: {self._damage}", CloseCode.PROTOCOL, now)

    def _refuse(self, reason: str, code: CloseCode, now: float) -> None:
        if not self.is_closed:
            self.refusal = code
            self.close(reason, now, code=code)

    def _closed(self, code: CloseCode, reason: str, now: float) -> None:
        if self.is_closed:
            return
        self.code, self.reason = code, reason
        self._inbox.clear()
        if self._receiver is not None:
            self._receiver.stop(now)
        self._is_split = False
        self._enter(State.CLOSED, now)


def _joined(resyncs: dict[str, str]) -> str:
    shown = [f"{name}: {how}" for name, how in list(resyncs.items())[:SHOWN_RESYNCS]]
    more = len(resyncs) - len(shown)
    return "; ".join(shown + [f"and {more} more"] * (more > 0))
