"""One link's connection: TLS, then a reader, a writer and a timer around the session."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from ipaddress import ip_address

import structlog
import trio

from meshtracker.errors import CloseCode
from meshtracker.link.proof.authentication import channel_binding
from meshtracker.link.session import LinkSession
from meshtracker.link.transitions import State
from meshtracker.network.errors import plain_error

log = structlog.get_logger()

_READ_BYTES = 65_536
_WRITE_BYTES = 65_536
"""One write, so that a heartbeat never waits behind more."""
_TURN_SECONDS = 0.002
"""No further frame is begun after that: one may cost milliseconds, and announces want to be answered in between."""
_UNSENT_BYTES = 131_072
"""Unsent bytes that the kernel may hold: what lies there can no longer be overtaken."""
_TIMER_SECONDS = 0.5
"""How late a deadline may be noticed that has moved closer."""
_LAST_WORDS_SECONDS = 1.0
"""Time to send the reason of a close."""
_LISTENER_HINT = "is link.tls off on one side?"
_DIALER_HINT = "is link.tls off on one side, or does the hub refuse this address for a while?"
"""Neither TLS nor a plain hang-up can say so itself."""


class LinkConnection:
    """Runs a session over a TCP stream until either side ends it."""

    def __init__(
        self,
        session: LinkSession,
        tcp: trio.SocketStream,
        *,
        turn: trio.StrictFIFOLock | None = None,
        context: ssl.SSLContext | None,
        certificate: bytes | None = None,
        server_name: str | None = None,
        refusal: str = "",
    ) -> None:
        """``turn``: shared by all links of a node, held for each piece of work at frames.

        ``context``: None without TLS. ``certificate``: a listener's own, DER. ``refusal``: hang up, saying so.
        """
        self.session = session
        self.on_synced: Callable[[], None] = lambda: None
        """Called once, when peers flow."""
        self._synced_at: float | None = None
        self._ended_at: float | None = None
        self._tcp = tcp
        self._turn = turn or trio.StrictFIFOLock()
        self._context = context
        self._certificate = certificate
        self._server_name = server_name
        self._refusal = refusal
        self.finished = trio.Event()
        self._woken = trio.Event()
        self._last_words = ""

    def wake(self) -> None:
        """There may be something to send."""
        self._woken.set()

    def stop(self, reason: str) -> None:
        """Send what there is to send, then close with that reason."""
        self._last_words = reason
        self.wake()

    def close(self, reason: str, code: CloseCode) -> None:
        """Close with that reason; what is not sent yet has other ways."""
        self.session.close(reason, trio.current_time(), code=code)
        self.wake()

    def synced_seconds(self) -> float:
        """For how long peers have flowed, or did until the end."""
        if self._synced_at is None:
            return 0.0
        return (trio.current_time() if self._ended_at is None else self._ended_at) - self._synced_at

    async def run(self) -> None:
        """Serve until the session is closed; closes the stream. Trouble with the connection ends only this link."""
        stream: trio.SocketStream | trio.SSLStream[trio.SocketStream] = self._tcp
        try:
            self._tcp.setsockopt(trio.socket.IPPROTO_TCP, trio.socket.TCP_NOTSENT_LOWAT, _UNSENT_BYTES)
            self.session.connected(trio.current_time())
            if self.session.is_closed:
                return
            if self._context is not None:
                stream = await self._secure(self._context)
            else:
                self._warn_in_clear()
                self.session.secured(None, trio.current_time())
            if self._refusal:
                self.session.close(self._refusal, trio.current_time(), code=CloseCode.DISABLED)
            await self._exchange(stream)
        except OSError as error:
            # It was gone before it was set up.
            self._lost(error)
        except Exception as error:
            # A fault of this program that one link brings out, so of no kind known beforehand: it must not take the
            # tracker down with it.
            log.exception("link crashed", address=self.session.peer_address)
            self.session.end_of_stream(trio.current_time(), why=f"a fault of this node: {plain_error(error)}")
        finally:
            self._take_note()
            with trio.CancelScope(shield=True, deadline=trio.current_time() + _LAST_WORDS_SECONDS):
                await trio.aclose_forcefully(stream)
            self.finished.set()

    async def _secure(self, context: ssl.SSLContext) -> trio.SSLStream[trio.SocketStream]:
        session = self.session
        stream = trio.SSLStream(
            self._tcp,
            context,
            server_hostname=self._server_name,
            server_side=not session.dials,
            https_compatible=True,
        )
        try:
            with trio.fail_at(session.next_deadline()):
                await stream.do_handshake()
        except trio.TooSlowError:
            session.end_of_stream(trio.current_time(), why="the TLS handshake took too long")
        except trio.BrokenResourceError as error:
            if isinstance(error.__cause__, ssl.SSLCertVerificationError):
                why = f"the hub's certificate is not accepted (link.ca_file): {plain_error(error)}"
            else:
                why = f"no TLS: {plain_error(error)} ({self._hint()})"
            session.end_of_stream(trio.current_time(), why=why)
        else:
            certificate = self._certificate or stream.getpeercert(binary_form=True)
            session.secured(channel_binding(certificate), trio.current_time())
        return stream

    def _hint(self) -> str:
        return _DIALER_HINT if self.session.dials else _LISTENER_HINT

    def _warn_in_clear(self) -> None:
        peer = str(self._tcp.socket.getpeername()[0])
        if not ip_address(peer.partition("%")[0]).is_loopback:
            log.warning("link.tls is off: peers pass in the clear", address=self.session.peer_address)

    async def _exchange(self, stream: trio.abc.Stream) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._read, stream)
            nursery.start_soon(self._keep_time, nursery.cancel_scope)
            await self._write(stream)
            nursery.cancel_scope.cancel()

    async def _read(self, stream: trio.abc.Stream) -> None:
        why = "the other side hung up"
        hint = f" without a word ({self._hint()})" if self._context is None else ""
        while self.session.state is not State.CLOSED:
            try:
                data = await stream.receive_some(_READ_BYTES)
            except trio.BrokenResourceError as error:
                self._lost(error)
                break
            if data:
                hint = ""
                self.session.take_in(bytes(data), trio.current_time())
                await self._apply()
            else:
                self.session.end_of_stream(trio.current_time(), why=why + hint)
                self._take_note()
        self.wake()

    async def _apply(self) -> None:
        """Apply what was read. Nothing more is read until then: the system holds back a peer that is too fast."""
        more = True
        while more:
            async with self._turn:
                until = trio.current_time() + _TURN_SECONDS
                while (more := self.session.apply(trio.current_time())) and trio.current_time() < until:
                    pass
            self._take_note()
            self.wake()

    async def _write(self, stream: trio.abc.Stream) -> None:
        """Write until the session is closed and its last words are out."""
        while True:
            self._woken = trio.Event()
            async with self._turn:
                data = self._gather()
            self._take_note()
            if data:
                try:
                    await stream.send_all(data)
                except trio.BrokenResourceError as error:
                    self._lost(error)
                    return
            elif self.session.state is State.CLOSED:
                return
            elif self._last_words:
                self.session.close(self._last_words, trio.current_time(), code=CloseCode.STOPPING)
            else:
                await self._woken.wait()

    def _lost(self, error: Exception) -> None:
        self.session.end_of_stream(trio.current_time(), why=f"connection lost: {plain_error(error)}")

    def _gather(self) -> bytes:
        """Frames for one write."""
        frames: list[bytes] = []
        size = 0
        now = trio.current_time()
        until = now + _TURN_SECONDS
        while size < _WRITE_BYTES and now < until:
            frame = self.session.data_to_send(now)
            if not frame:
                break
            frames.append(frame)
            size += len(frame)
            now = trio.current_time()
        return b"".join(frames)

    async def _keep_time(self, connection: trio.CancelScope) -> None:
        while self.session.state is not State.CLOSED:
            now = trio.current_time()
            await trio.sleep_until(min(self.session.next_deadline(), now + _TIMER_SECONDS))
            self.session.handle_deadline(trio.current_time())
            self.wake()
        # The writer may be stuck with a peer that reads nothing any more.
        await trio.sleep(_LAST_WORDS_SECONDS)
        connection.cancel()

    def _take_note(self) -> None:
        """Log what the session has to say, and notice how far it has come."""
        now = trio.current_time()
        if self.session.was_synced and self._synced_at is None:
            self._synced_at = now
            self.on_synced()
        if self.session.is_closed and self._ended_at is None:
            self._ended_at = now
        peer = self.session.peer.name if self.session.peer else "?"
        for notice in self.session.notices():
            getattr(log, notice.level)(f"link {peer}: {notice.text}", address=self.session.peer_address)
