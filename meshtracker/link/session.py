"""One end of a link as a state machine without I/O: bytes and ``now`` in, bytes and notices out.

Life of a link; what may arrive in which state is the table `_LEGAL`:

    connecting ─► securing ─► authenticating ─► comparing ─► bursting ─► synced ─► closed

The I/O around it calls `connected`, `secured`, `receive_data`, `handle_deadline` and `end_of_stream`, writes what
`data_to_send` returns and logs `notices`. Nothing is queued here but control frames: data is read from the logs when
the socket can take it, so a slow peer costs a cursor and no memory.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Literal, TypeAlias

import attrs

from meshtracker.errors import LinkError, WireError
from meshtracker.link.authentication import FAILED, Credential, Prover, Verifier
from meshtracker.link.feed import Feed
from meshtracker.link.intake import Intake, check_start
from meshtracker.link.replica import Replica
from meshtracker.wire import link as wire
from meshtracker.wire.link import FrameDecoder, FrameType, Hello, Position, Vector


class State(enum.Enum):
    """Where a link is; only ``SYNCED`` means that peers flow both ways."""

    CONNECTING = "connecting"
    SECURING = "securing"
    AUTHENTICATING = "authenticating"
    COMPARING = "comparing"
    BURSTING = "bursting"
    SYNCED = "synced"
    CLOSED = "closed"


_F = FrameType
_LEGAL: dict[State, frozenset[FrameType]] = {
    State.CONNECTING: frozenset(),
    State.SECURING: frozenset(),
    State.AUTHENTICATING: frozenset({_F.AUTH_FIRST, _F.AUTH_CHALLENGE, _F.AUTH_PROOF, _F.AUTH_FINAL, _F.CLOSE}),
    State.COMPARING: frozenset({_F.HELLO, _F.VECTOR, _F.CLOSE}),
    State.BURSTING: frozenset(
        {_F.BURST, _F.BATCH, _F.SNAPSHOT, _F.SNAPSHOT_END, _F.END_OF_BURST, _F.HEARTBEAT, _F.CLOSE}
    ),
    State.SYNCED: frozenset({_F.BURST, _F.BATCH, _F.SNAPSHOT, _F.SNAPSHOT_END, _F.HEARTBEAT, _F.CLOSE}),
    State.CLOSED: frozenset(),
}

HANDSHAKE_STATES = frozenset({State.CONNECTING, State.SECURING, State.AUTHENTICATING, State.COMPARING})
"""Before any data flows."""

MAX_TOLD_BURSTS = 1000
"""Streams whose resync one session tells the operator of: a peer may announce streams without end."""

Level: TypeAlias = Literal["debug", "info", "warning", "error"]

SILENT_HEARTBEATS = 3
"""Heartbeats that may be missing before the other end counts as gone."""


@attrs.frozen(kw_only=True)
class LinkPolicy:
    """Times and limits of a link."""

    heartbeat_seconds: float = 5.0
    handshake_timeout_seconds: float = 10.0
    clock_warn_seconds: float = 5.0
    clock_refuse_seconds: float = 60.0


@attrs.frozen
class Notice:
    """Something the operator should read, as one line of the log."""

    level: Level
    text: str


@attrs.frozen(kw_only=True)
class SessionStatistics:
    """One link as status and metrics show it."""

    peer: str
    """Name of the other node; empty before it said so."""
    peer_address: str
    dialed: bool
    """Did this node open the connection?"""
    state: str
    since_seconds: float
    """How long it has been in that state."""
    resync: str
    """How the last burst from the peer brought each origin up: "leaf-a: partial after 12; leaf-b: full (new node)"."""
    sent_resync: str
    """The same for what this node sent."""
    warnings: tuple[str, ...]
    received_bytes: int
    sent_bytes: int
    received_batches: int
    sent_batches: int
    received_records: int
    peer_lag_batches: int
    """Batches that this node has and the peer's last heartbeat did not know."""
    heard_seconds_ago: float
    reason: str
    """Why it was closed."""


class LinkSession:
    """One end of one connection. See the module's docstring for its life."""

    def __init__(
        self,
        *,
        replica: Replica,
        credential: Credential,
        dials: bool,
        policy: LinkPolicy,
        admit: Callable[[LinkSession, Hello], None],
        peer_address: str,
        now: float,
    ) -> None:
        """``admit`` may refuse a named peer with `LinkError`; ``peer_address`` is for the operator only."""
        self.state = State.CONNECTING
        self.peer: Hello | None = None
        self.peer_address = peer_address
        self.dials = dials
        self.reason = ""
        self.was_synced = False
        self.told_by_peer = False
        """Did the peer give the reason?"""
        self.authentication_failed = False
        self.warnings: tuple[str, ...] = ()
        self._replica = replica
        self._credential = credential
        self._policy = policy
        self._admit = admit
        self._decoder = FrameDecoder()
        self._auth: Prover | Verifier | None = None
        self._control: deque[bytes] = deque()
        self._notices: list[Notice] = []
        self._intake: Intake | None = None
        self._feed: Feed | None = None
        self._end_sent = self._end_heard = False
        self._peer_vector: Vector = {}
        self._entered = self._heard = now
        self._next_heartbeat = float("inf")
        self._received_bytes = self._sent_bytes = 0
        self._sent_batches = 0
        self._told_bursts = 0

    # ------------------------------------------------------------ what the I/O calls

    def connected(self, now: float) -> None:
        """The TCP connection is there."""
        self._enter(State.SECURING, now)

    def secured(self, binding: bytes | None, now: float) -> None:
        """TLS is up (or off: None); ``binding`` is `authentication.channel_binding` of the listener's certificate."""
        self._enter(State.AUTHENTICATING, now)
        if not self.dials:
            self._auth = Verifier(self._credential, binding=binding)
            return
        prover = Prover(self._credential, name=self._replica.name, binding=binding)
        self._auth = prover
        self._send_control(
            FrameType.AUTH_FIRST, v=wire.PROTOCOL_VERSION, mechanism=prover.mechanism, message=prover.first()
        )

    def receive_data(self, data: bytes, now: float) -> None:
        """Take bytes off the wire; never raises for what a peer sends."""
        if self.state is State.CLOSED:
            return
        self._received_bytes += len(data)
        self._heard = now
        try:
            for kind, payload in self._decoder.feed(data):
                if self.is_closed:
                    return
                self._receive_frame(kind, payload, now)
        except LinkError as error:
            self.close(str(error), now)
        except WireError as error:
            self.close(f"protocol error: {error}", now)

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

    def next_deadline(self) -> float:
        """When `handle_deadline` wants to be called."""
        if self.state is State.CLOSED:
            return float("inf")
        if self.state in (State.BURSTING, State.SYNCED):
            return min(self._next_heartbeat, self._silence_ends())
        return self._entered_handshake_ends()

    def handle_deadline(self, now: float) -> None:
        """Send a heartbeat that is due; give up on a silent peer or an endless handshake."""
        if self.state is State.CLOSED:
            return
        if self.state not in (State.BURSTING, State.SYNCED):
            if now >= self._entered_handshake_ends():
                self.close(f"still {self.state.value} after {self._policy.handshake_timeout_seconds:g} s", now)
            return
        if now >= self._silence_ends():
            self.close(f"nothing heard for {now - self._heard:.0f} s", now)
        elif now >= self._next_heartbeat:
            self._next_heartbeat = now + self._policy.heartbeat_seconds
            # A peer that sends but does not read would have them pile up here.
            if not self._control:
                self._control.append(wire.encode_heartbeat(self._replica.wall_ms(now), self._replica.vector()))

    def data_to_send(self, now: float) -> bytes:
        """The next bytes to write: control frames first, then at most one frame of data; b"" if there is nothing."""
        if self._control:
            data = b"".join(self._control)
            self._control.clear()
        elif self.state in (State.BURSTING, State.SYNCED):
            data = self._next_data(now)
        else:
            data = b""
        self._sent_bytes += len(data)
        return data

    def notices(self) -> list[Notice]:
        """What happened since the last call, for the log."""
        notices, self._notices = self._notices, []
        return notices

    def statistics(self, now: float) -> SessionStatistics:
        """A frozen snapshot of the figures."""
        vector = self._replica.vector() if self._replica.forwards else {}
        own = self._replica.position(self._replica.name)
        if own is not None:
            vector[self._replica.name] = own
        vector.pop(self.peer.name if self.peer else "", None)
        lag = 0
        for origin, mine in vector.items():
            theirs = self._peer_vector.get(origin, Position(0, 0))
            known = theirs.sequence if theirs.incarnation == mine.incarnation else 0
            lag += max(0, mine.sequence - known)
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
            peer_lag_batches=lag,
            heard_seconds_ago=now - self._heard,
            reason=self.reason,
        )

    # ------------------------------------------------------------ frames

    def _receive_frame(self, kind: FrameType, payload: bytes, now: float) -> None:
        if kind not in _LEGAL[self.state]:
            raise LinkError(f"protocol error: {kind.name} is not allowed while {self.state.value}")
        match kind:
            case FrameType.AUTH_FIRST | FrameType.AUTH_CHALLENGE | FrameType.AUTH_PROOF | FrameType.AUTH_FINAL:
                self._receive_auth(kind, wire.read_control(payload), now)
            case FrameType.CLOSE:
                self._receive_close(payload, now)
            case FrameType.HELLO:
                self._receive_hello(wire.decode_hello(payload), now)
            case FrameType.VECTOR:
                self._receive_vector(wire.decode_vector(payload), now)
            case FrameType.BURST | FrameType.BATCH | FrameType.SNAPSHOT | FrameType.SNAPSHOT_END:
                self._receive_stream(kind, payload, now)
            case FrameType.END_OF_BURST:
                self._end_heard = True
                self._sync_if_done(now)
            case FrameType.HEARTBEAT:
                _, self._peer_vector = wire.decode_heartbeat(payload)

    def _receive_auth(self, kind: FrameType, fields: dict[bytes, Any], now: float) -> None:
        auth = self._auth
        message = wire.text(fields, "message")
        match kind, auth:
            case FrameType.AUTH_FIRST, Verifier():
                version = wire.number(fields, "v")
                if version != wire.PROTOCOL_VERSION:
                    raise LinkError(
                        f"protocol version {version} is not spoken here: the listener speaks {wire.PROTOCOL_VERSION},"
                        f" the dialer {version}; run the same release on both nodes"
                    )
                if wire.text(fields, "mechanism") != auth.mechanism:
                    raise LinkError("link.tls differs: one side has it on, the other off")
                self._send_control(FrameType.AUTH_CHALLENGE, message=self._checked(auth.challenge, message))
            case FrameType.AUTH_CHALLENGE, Prover():
                self._send_control(FrameType.AUTH_PROOF, message=auth.proof(message))
            case FrameType.AUTH_PROOF, Verifier():
                self._send_control(FrameType.AUTH_FINAL, message=self._checked(auth.final, message))
                self._greet(now)
            case FrameType.AUTH_FINAL, Prover():
                auth.verify(message)
                self._greet(now)
            case _:
                raise LinkError(f"protocol error: {kind.name} is not for this side")

    def _checked(self, step: Callable[[str], str], message: str) -> str:
        """Run a step of the verifier; its refusal is detailed only to this node's own operator."""
        try:
            return step(message)
        except LinkError as error:
            self.authentication_failed = True
            self.close(str(error), self._heard)
            if isinstance(self._auth, Verifier):
                self.reason = f"{error}: {self._auth.detail}"
            raise

    def _greet(self, now: float) -> None:
        self._decoder.max_payload_bytes = wire.MAX_PAYLOAD_BYTES
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
        mine = self._replica.hello(now)
        ahead_seconds = (hello.clock_ms - mine.clock_ms) / 1000
        if abs(ahead_seconds) > self._policy.clock_refuse_seconds:
            raise LinkError(
                f"the clocks of {hello.name} and {mine.name} differ by {abs(ahead_seconds):.0f} s"
                f" (at most {self._policy.clock_refuse_seconds:g} s): set them, for instance with NTP"
            )
        if hello.name == mine.name:
            raise LinkError(f"both nodes are named {mine.name!r}: give each node of a mesh a name of its own")
        check_start(hello.name, hello.incarnation, mine.clock_ms)
        self._admit(self, hello)
        self._intake = Intake(self._replica, hello)
        self.peer = hello
        self.warnings = tuple(self._compare(mine, hello, ahead_seconds))
        self._notices += [Notice("warning", warning) for warning in self.warnings]
        self._control.append(wire.frame(FrameType.VECTOR, wire.encode_vector(self._replica.vector())))

    def _compare(self, mine: Hello, theirs: Hello, ahead_seconds: float) -> Iterator[str]:
        """Differences that do not forbid a link but make a mesh go wrong quietly."""
        if abs(ahead_seconds) > self._policy.clock_warn_seconds:
            way = "ahead of" if ahead_seconds > 0 else "behind"
            yield f"the clock of {theirs.name} is {abs(ahead_seconds):.0f} s {way} that of {mine.name}"
        if theirs.announce_interval_seconds != mine.announce_interval_seconds:
            yield (
                f"tracker.announce_interval_seconds differs: {mine.name} {mine.announce_interval_seconds},"
                f" {theirs.name} {theirs.announce_interval_seconds}"
            )
        if theirs.peer_ttl_seconds != mine.peer_ttl_seconds:
            yield (
                f"tracker.peer_ttl_seconds differs: {mine.name} {mine.peer_ttl_seconds},"
                f" {theirs.name} {theirs.peer_ttl_seconds}"
            )

    def _receive_vector(self, vector: Vector, now: float) -> None:
        if self.peer is None:
            raise LinkError("protocol error: VECTOR before HELLO")
        self._peer_vector = vector
        self._feed = Feed(self._replica, self.peer, vector)
        self._control.append(wire.encode_burst(self._feed.plans))
        self._enter(State.BURSTING, now)
        self._next_heartbeat = now

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
                intake.batch(wire.decode_batch(payload), payload, now)
            case FrameType.SNAPSHOT:
                intake.snapshot(wire.decode_batch(payload), now)
            case _:
                intake.end_snapshot(*wire.decode_snapshot_end(payload))

    def _next_data(self, now: float) -> bytes:
        """One frame of data, or b"" if the peer has been sent all that there is."""
        feed, intake = self._feed, self._intake
        if feed is None or intake is None:
            return b""
        feed.holds_own = intake.brings_back
        end = self._end_of_burst(feed, now)
        if end:
            return end
        data = feed.next_frame(now)
        self._sent_batches += bool(data)
        # Only when asked for more does the feed notice that a snapshot was all.
        return data or self._end_of_burst(feed, now)

    def _end_of_burst(self, feed: Feed, now: float) -> bytes:
        if self._end_sent or not feed.burst_is_sent:
            return b""
        self._end_sent = True
        self._sync_if_done(now)
        return wire.frame(FrameType.END_OF_BURST)

    def _sync_if_done(self, now: float) -> None:
        if self._end_sent and self._end_heard and self.state is State.BURSTING:
            self.was_synced = True
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
        self._enter(State.CLOSED, now)

    def _send_control(self, kind: FrameType, **fields: Any) -> None:
        self._control.append(wire.control(kind, **fields))

    def _silence_ends(self) -> float:
        return self._heard + SILENT_HEARTBEATS * self._policy.heartbeat_seconds

    def _entered_handshake_ends(self) -> float:
        return self._entered + self._policy.handshake_timeout_seconds


def _joined(resyncs: dict[str, str]) -> str:
    return "; ".join(f"{origin}: {how}" for origin, how in resyncs.items())
