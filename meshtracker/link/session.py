"""One end of a link as a state machine without I/O: bytes and ``now`` in, bytes and notices out.

Life of a link; what may arrive in which state is the table `state.LEGAL`:

    connecting ─► securing ─► authenticating ─► comparing ─► bursting ─► synced ─► closed
                                                                 ╰──► soft-split ◄──╯

The I/O around it calls `connected`, `secured`, `take_in`, `apply`, `handle_deadline` and `end_of_stream`, writes what
`data_to_send` returns and logs `notices`. Nothing is queued here but control frames and what one read has brought: data
is read from the logs when the socket can take it, so a slow peer costs a cursor and no memory.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from typing import Literal, Protocol

from meshtracker.errors import LinkError, LinkFault, WireError
from meshtracker.link import greeting, split
from meshtracker.link.authentication import FAILED, Credential
from meshtracker.link.feed import Feed
from meshtracker.link.handshake import AUTH_FRAMES, Handshake
from meshtracker.link.intake import Intake
from meshtracker.link.interest import PeerInterest
from meshtracker.link.policy import LinkPolicy
from meshtracker.link.replica import Replica
from meshtracker.link.split import Progress, Verdict
from meshtracker.link.state import HANDSHAKE_STATES, LEGAL, State
from meshtracker.link.statistics import Level, Notice, SessionStatistics
from meshtracker.wire import link as wire
from meshtracker.wire.batch import decode_batch
from meshtracker.wire.frame import DATA_FRAMES, MAX_PAYLOAD_BYTES, FrameDecoder, FrameType, frame
from meshtracker.wire.link import Hello, Interest
from meshtracker.wire.vector import Vector, decode_vector

MAX_TOLD_BURSTS = 1000
"""Streams whose resync one session tells the operator of: a peer may announce streams without end."""

LATE_SECONDS = 1.0
"""A look at the clock that comes later than this was held up by this node itself: see `Progress.forgive`."""


class Owner(Protocol):
    """Who keeps the sessions of a node: it knows the others, and what operators want of their links."""

    def admit(self, session: LinkSession, hello: Hello, now: float) -> None:
        """Make room for a node that has just said its name. Raises `LinkError` if it is not wanted."""

    def wants_everything(self, name: str) -> bool:
        """Shall the burst with that node bring everything anew, both ways?"""

    def note_synced(self, session: LinkSession) -> None:
        """Peers flow."""

    def note_split(self, session: LinkSession, verdict: Verdict, now: float, *, resets: bool) -> None:
        """Data does not flow although the link is up; ``resets``: the session closes itself for that."""


class LinkSession:
    """One end of one connection. See the module's docstring for its life."""

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
        self.state = State.CONNECTING
        self.peer: Hello | None = None
        self.peer_address = peer_address
        self.dials = dials
        self.reason = ""
        self.was_synced = False
        self.told_by_peer = False
        """Did the peer give the reason?"""
        self.authentication_failed = False
        self.was_reset = False
        self.refusal_kind: LinkFault | Literal[""] = ""
        """What this end had against the other when it closed the link."""
        self.soft_splits = 0
        self.verdict: Verdict | None = None
        """The last soft-split."""
        self.warnings: tuple[str, ...] = ()
        self._replica = replica
        self._credential = credential
        self._policy = policy
        self._owner = owner
        self._decoder = FrameDecoder()
        self._progress = Progress(heard_at=now)
        self._inbox: deque[tuple[FrameType, bytes]] = deque()
        self._damage: WireError | None = None
        """What is wrong with the bytes after those of the inbox."""
        self._handshake: Handshake | None = None
        self._control: deque[bytes] = deque()
        self._notices: list[Notice] = []
        self._intake: Intake | None = None
        self._feed: Feed | None = None
        self._end_sent = 0
        """Which of the data frames sent was END_OF_BURST; 0 before it."""
        self._end_heard = False
        self._peer_vector: Vector = {}
        self._known_at_start: Vector = {}
        """What the peer knew when its burst began."""
        self._interest = PeerInterest()
        self._everything = False
        """Do both ends send everything anew because this one was told so?"""
        self._lacked = 0
        """What the replica lacked when its vector was sent."""
        self._fetches: deque[int] = deque()
        """The same, for each FETCH that is not answered yet."""
        self._resumes = State.BURSTING
        """Where a soft-split leads back to."""
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
            self._enter(State.SECURING, now)

    def secured(self, binding: bytes | None, now: float) -> None:
        """TLS is up (or off: None); ``binding`` is `authentication.channel_binding` of the listener's certificate."""
        if self.is_closed:
            return
        self._enter(State.AUTHENTICATING, now)
        self._handshake = Handshake(self._credential, dials=self.dials, name=self._replica.name, binding=binding)
        self._send_control(self._handshake.first())

    def receive_data(self, data: bytes, now: float) -> None:
        """Take bytes off the wire and apply all that they complete; never raises for what a peer sends."""
        self.take_in(data, now)
        while self.apply(now):
            pass

    def take_in(self, data: bytes, now: float) -> None:
        """Take bytes off the wire: what they complete waits for `apply`, but for the handshake."""
        if self.state is State.CLOSED or self._damage is not None:
            return
        self._received_bytes += len(data)
        self._progress.heard_at = now
        frames = data_frames = 0
        try:
            for kind, payload in self._decoder.feed(data):
                if self.is_closed:
                    return
                if self.state in HANDSHAKE_STATES:
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

    def _process(self, kind: FrameType, payload: bytes, now: float) -> None:
        try:
            self._receive_frame(kind, payload, now)
        except LinkError as error:
            self._refuse(str(error), error.kind, now)
        except WireError as error:
            self._refuse(f"protocol error: {error}", "protocol", now)

    def _end_if_damaged(self, now: float) -> None:
        # What came whole before the damage is not lost.
        if self._damage is not None and not self._inbox:
            self._refuse(f"protocol error: {self._damage}", "protocol", now)

    def _refuse(self, reason: str, kind: LinkFault, now: float) -> None:
        if not self.is_closed:
            self.refusal_kind = kind
            self.close(reason, now)

    def check_credential(self, now: float) -> None:
        """The credentials have changed: close unless the peer's proof still counts."""
        void_name = self._handshake.void_name if self._handshake else ""
        if void_name:
            self._refuse(f"the credential of {void_name} was revoked or replaced", "authentication", now)

    @property
    def is_closed(self) -> bool:
        """Is this the end of it?"""
        return self.state is State.CLOSED

    def end_of_stream(self, now: float, *, why: str = "the other side hung up") -> None:
        """The connection is gone."""
        self._closed(why, now)

    def close(self, reason: str, now: float) -> None:
        """Tell the peer why, then hang up once `data_to_send` is written."""
        if self.state is State.CLOSED:
            return
        if self.state not in (State.CONNECTING, State.SECURING):
            self._control.append(wire.control(FrameType.CLOSE, reason=reason[: wire.MAX_REASON_BYTES]))
        self._closed(reason, now)

    def reset(self, reason: str, now: float) -> None:
        """Hang up so that the link is made anew, by whoever dials."""
        if not self.is_closed:
            self.was_reset = True
            self.close(reason, now)

    def track(self, added: Collection[bytes], dropped: Collection[bytes], lacked: int) -> None:
        """This node has begun to track some swarms and has dropped others; ``lacked``: see `Replica.lacks_swarms`.

        The other end, a hub, sends at once what it knows of those added.
        """
        if dropped and self._replica.interest() is not None:
            self._control += wire.encode_interest(Interest.DROP, dropped)
        if added:
            frames = wire.encode_interest(Interest.FETCH, added)
            self._control += frames
            self._fetches += [0] * (len(frames) - 1) + [lacked]

    def next_deadline(self) -> float:
        """When `handle_deadline` wants to be called."""
        if self.state is State.CLOSED:
            return split.NEVER
        if self.state in HANDSHAKE_STATES:
            return self._entered_handshake_ends()
        if self.state is State.SOFT_SPLIT:
            return min(self._next_heartbeat, self._next_alarm)
        return min(self._next_heartbeat, split.next_look(self._progress, self._policy.soft_split_after_seconds))

    def handle_deadline(self, now: float) -> None:
        """Send a heartbeat that is due, look for a soft-split; give up on an endless handshake."""
        if self.state is State.CLOSED:
            return
        if self.state in HANDSHAKE_STATES:
            if now >= self._entered_handshake_ends():
                self.close(f"still {self.state.value} after {self._policy.handshake_timeout_seconds:g} s", now)
            return
        late_seconds = now - self.next_deadline()
        if late_seconds > LATE_SECONDS:
            self._progress.forgive(late_seconds, now)
        self._look(now)
        if now >= self._next_heartbeat and not self.is_closed:
            self._next_heartbeat = now + self._policy.heartbeat_seconds
            # A peer that sends but does not read would have them pile up here.
            if not self._control:
                self._control.append(wire.encode_heartbeat(self._heartbeat(now)))

    def _heartbeat(self, now: float) -> wire.Heartbeat:
        return wire.Heartbeat(
            clock_ms=self._replica.wall_ms(now),
            sent_frames=self._progress.sent_frames,
            applied_frames=self._progress.applied_frames,
            vector=self._replica.vector(),
        )

    def _look(self, now: float) -> None:
        """Is this a soft-split, still or no longer?"""
        after_seconds = self._policy.soft_split_after_seconds
        verdict = split.judge(self._progress, now, after_seconds)
        if self.state is not State.SOFT_SPLIT:
            if verdict is None:
                return
            self._resumes = self.state
            self.soft_splits += 1
            self._owner.note_split(self, verdict, now, resets=self._policy.auto_reset)
            self._enter(State.SOFT_SPLIT, now)
        elif verdict is None:
            self._notices.append(Notice("info", f"recovered from the soft-split after {now - self._entered:.0f} s"))
            self._enter(self._resumes, now)
            return
        elif now < self._next_alarm:
            return
        self.verdict = verdict
        self._next_alarm = now + after_seconds
        self._notices.append(Notice("error", str(verdict)))
        if self._policy.auto_reset:
            self.was_reset = True
            self._refuse(str(verdict), "soft-split", now)

    def data_to_send(self, now: float) -> bytes:
        """The next bytes to write: control frames first, then at most one frame of data; b"" if there is nothing."""
        if self._control:
            data = b"".join(self._control)
            self._control.clear()
        elif self.state in HANDSHAKE_STATES or self.is_closed:
            data = b""
        else:
            data = self._next_data(now)
            if data:
                self._progress.sent(now)
        self._sent_bytes += len(data)
        return data

    def notices(self) -> list[Notice]:
        """What happened since the last call, for the log."""
        notices, self._notices = self._notices, []
        return notices

    def statistics(self, now: float) -> SessionStatistics:
        """A frozen snapshot of the figures."""
        return SessionStatistics(
            peer=self.peer.name if self.peer else "",
            peer_address=self.peer_address,
            dialed=self.dials,
            state=self.state.value,
            since_seconds=now - self._entered,
            resync=_joined(self._intake.resync if self._intake else {}),
            sent_resync=_joined(self._feed.sent if self._feed else {}),
            warnings=self.warnings,
            received_bytes=self._received_bytes,
            sent_bytes=self._sent_bytes,
            received_batches=self._intake.batches if self._intake else 0,
            sent_batches=self._sent_batches,
            received_records=self._intake.records if self._intake else 0,
            peer_lag_batches=self._feed.lag(self._peer_vector) if self._feed else 0,
            unconfirmed_frames=self._progress.sent_frames - self._progress.confirmed_frames,
            skipped_bytes=self._feed.skipped_bytes if self._feed else 0,
            heard_seconds_ago=now - self._progress.heard_at,
            soft_splits=self.soft_splits,
            verdict=str(self.verdict or ""),
            reason=self.reason,
        )

    # ------------------------------------------------------------ frames

    def _receive_frame(self, kind: FrameType, payload: bytes, now: float) -> None:
        if kind not in LEGAL[self.state]:
            raise LinkError(f"protocol error: {kind.name} is not allowed while {self.state.value}")
        match kind:
            case FrameType.CLOSE:
                self._receive_close(payload, now)
            case FrameType.HELLO:
                self._receive_hello(wire.decode_hello(payload), now)
            case FrameType.VECTOR:
                self._receive_vector(*wire.decode_knowledge(payload), now)
            case FrameType.INTEREST:
                self._receive_interest(*wire.decode_interest(payload), now)
            case FrameType.END_OF_BURST:
                self._end_heard = True
                # The other end waits for it to be confirmed.
                self._control.append(wire.encode_heartbeat(self._heartbeat(now)))
                self._sync_if_done(now)
            case FrameType.HEARTBEAT:
                self._receive_heartbeat(wire.decode_heartbeat(payload), now)
            case _ if kind in AUTH_FRAMES:
                self._receive_auth(kind, payload, now)
            case _:
                self._receive_stream(kind, payload, now)

    def _receive_auth(self, kind: FrameType, payload: bytes, now: float) -> None:
        handshake = self._handshake
        if handshake is None:
            raise LinkError(f"protocol error: {kind.name} before TLS")
        try:
            self._send_control(handshake.receive(kind, wire.read_control(payload)))
        except LinkError as error:
            if handshake.detail:
                # The stranger is told less than this node's own operator.
                self.authentication_failed = True
                self._refuse(str(error), error.kind, now)
                self.reason = f"{error}: {handshake.detail}"
            raise
        if handshake.is_proven:
            self._decoder.max_payload_bytes = MAX_PAYLOAD_BYTES
            self._enter(State.COMPARING, now)
            self._control.append(wire.encode_hello(self._replica.hello(now)))

    def _receive_close(self, payload: bytes, now: float) -> None:
        reason = wire.read_control(payload).get(b"reason")
        self.told_by_peer = True
        if self.state is State.AUTHENTICATING and reason == FAILED.encode():
            self.authentication_failed = True
        self._closed(wire.printable(reason) if isinstance(reason, bytes) else "no reason given", now)

    def _receive_hello(self, hello: Hello, now: float) -> None:
        if self.peer is not None:
            raise LinkError("protocol error: a second HELLO")
        if self._handshake is not None:
            self._handshake.check_hello(hello)
        mine = self._replica.hello(now)
        greeting.check(mine, hello, self._policy.clocks)
        self._owner.admit(self, hello, now)
        self._everything = self._owner.wants_everything(hello.name)
        self._intake = Intake(self._replica, hello)
        self.peer = hello
        self.warnings = tuple(greeting.differences(mine, hello, self._policy.clocks))
        self._notices += [Notice("warning", warning) for warning in self.warnings]
        interest = self._replica.interest()
        if hello.forwards:
            self._lacked = self._replica.lacks_swarms()
            self._control += [] if interest is None else wire.encode_interest(Interest.TRACK, interest)
        everything = self._everything or bool(self._lacked)
        self._control.append(wire.encode_knowledge(self._replica.vector(), everything=everything))

    def _receive_vector(self, vector: Vector, everything: bool, now: float) -> None:
        if self.peer is None:
            raise LinkError("protocol error: VECTOR before HELLO")
        self._peer_vector = self._known_at_start = vector
        everything = everything or self._everything
        self._feed = Feed(self._replica, self.peer, vector, everything=everything, interest=self._interest.info_hashes)
        self._control.append(wire.encode_burst(self._feed.plans))
        self._progress.sent(now)
        self._progress.data_at = now
        self._enter(State.BURSTING, now)
        self._next_heartbeat = now

    def _receive_interest(self, interest: Interest, info_hashes: list[bytes], now: float) -> None:
        if self.peer is None:
            raise LinkError("protocol error: INTEREST before HELLO")
        if self.peer.forwards:
            raise LinkError("protocol error: INTEREST of a hub, which is sent everything")
        self._interest.receive(interest, info_hashes, has_begun=self._feed is not None)
        if interest is Interest.FETCH and self._feed is not None:
            self._feed.fetch(info_hashes, now)

    def _receive_heartbeat(self, heartbeat: wire.Heartbeat, now: float) -> None:
        feed, intake = self._feed, self._intake
        if feed is None or intake is None:
            raise LinkError("protocol error: HEARTBEAT before VECTOR")
        progress = self._progress
        if heartbeat.applied_frames > progress.sent_frames:
            raise LinkError("protocol error: a heartbeat confirms more than was sent")
        self._peer_vector = heartbeat.vector
        progress.confirmed(heartbeat.applied_frames, now)
        self._sync_if_done(now)
        owed, sent_frames = intake.lacks(heartbeat.vector), heartbeat.sent_frames
        progress.owes(owed, now, sent_frames=sent_frames, is_due=not feed.brings_back)

    def _receive_stream(self, kind: FrameType, payload: bytes, now: float) -> None:
        intake = self._intake
        if intake is None:
            raise LinkError(f"protocol error: {kind.name} before HELLO")
        match kind:
            case FrameType.BURST:
                texts = intake.burst(wire.decode_burst(payload), now)
                self._told_bursts += len(texts)
                level: Level = "info" if self._told_bursts <= MAX_TOLD_BURSTS else "debug"
                self._notices += [Notice(level, text) for text in texts]
            case FrameType.BATCH:
                intake.batch(decode_batch(payload), payload, now)
            case FrameType.SNAPSHOT:
                intake.snapshot(decode_batch(payload), now)
            case FrameType.SWARMS:
                if not self._fetches:
                    raise LinkError("protocol error: SWARMS that were not asked for")
                intake.swarms(decode_batch(payload), now)
            case FrameType.SWARMS_END:
                if not self._fetches:
                    raise LinkError("protocol error: SWARMS_END without INTEREST FETCH")
                self._replica.have_swarms(self._fetches.popleft(), decode_vector(payload))
            case _:
                intake.end_snapshot(*wire.decode_snapshot_end(payload))

    def _next_data(self, now: float) -> bytes:
        """One frame of data, or b"" if the peer has been sent all that there is."""
        feed, intake = self._feed, self._intake
        if feed is None or intake is None:
            return b""
        feed.holds_own = intake.brings_back
        end = self._end_of_burst(feed)
        if end:
            return end
        data = feed.next_frame(now)
        self._sent_batches += bool(data)
        # Only when asked for more does the feed notice that a snapshot was all.
        return data or self._end_of_burst(feed)

    def _end_of_burst(self, feed: Feed) -> bytes:
        if self._end_sent or not feed.burst_is_sent:
            return b""
        self._end_sent = self._progress.sent_frames + 1
        return frame(FrameType.END_OF_BURST)

    def _sync_if_done(self, now: float) -> None:
        is_confirmed = 0 < self._end_sent <= self._progress.confirmed_frames
        if not (is_confirmed and self._end_heard) or self.was_synced:
            return
        self.was_synced = True
        self._replica.have_swarms(self._lacked, self._known_at_start)
        self._owner.note_synced(self)
        if self.state is State.SOFT_SPLIT:
            self._resumes = State.SYNCED
        else:
            self._enter(State.SYNCED, now)

    # ------------------------------------------------------------ states

    def _enter(self, state: State, now: float) -> None:
        self.state = state
        self._entered = now
        self._notices.append(Notice("info" if state is State.SYNCED else "debug", state.value))

    def _closed(self, reason: str, now: float) -> None:
        if self.state is State.CLOSED:
            return
        self.reason = reason
        self._inbox.clear()
        self._enter(State.CLOSED, now)

    def _send_control(self, data: bytes) -> None:
        if data:
            self._control.append(data)

    def _entered_handshake_ends(self) -> float:
        return self._entered + self._policy.handshake_timeout_seconds


def _joined(resyncs: dict[str, str]) -> str:
    return "; ".join(f"{origin}: {how}" for origin, how in resyncs.items())
