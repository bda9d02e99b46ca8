"""One link's connection: TLS, then a reader, a writer and a timer around the session."""

from __future__ import annotations

import os
import socket
import ssl
from ipaddress import ip_address

import structlog
import trio

from meshtracker.link.authentication import channel_binding
from meshtracker.link.session import LinkSession, State

log = structlog.get_logger()

_READ_BYTES = 65_536
_WRITE_BYTES = 65_536
"""One write, so that a heartbeat never waits behind more."""
_WRITE_FRAMES = 4
"""Frames made for one write: each may cost milliseconds, and announces want their turn."""
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
        context: ssl.SSLContext | None,
        certificate: bytes | None = None,
        server_name: str | None = None,
        refusal: str = "",
    ) -> None:
        """``context``: None without TLS. ``certificate``: a listener's own, DER. ``refusal``: hang up, saying so."""
        self.session = session
        self._tcp = tcp
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

    async def run(self) -> None:
        """Serve until the session is closed; closes the stream. Trouble with the connection ends only this link."""
        stream: trio.SocketStream | trio.SSLStream[trio.SocketStream] = self._tcp
        try:
            self._tcp.setsockopt(trio.socket.IPPROTO_TCP, trio.socket.TCP_NOTSENT_LOWAT, _UNSENT_BYTES)
            self.session.connected(trio.current_time())
            if self._context is not None:
                stream = await self._secure(self._context)
            else:
                self._warn_in_clear()
                self.session.secured(None, trio.current_time())
            if self._refusal:
                self.session.close(self._refusal, trio.current_time())
            await self._exchange(stream)
        except OSError as error:
            # It was gone before it was set up.
            self._lost(error)
        except Exception as error:
            # A fault of this program that one link brings out: it must not take the tracker down with it.
            log.exception("link crashed", address=self.session.peer_address)
            self.session.end_of_stream(trio.current_time(), why=f"a fault of this node: {plain_error(error)}")
        finally:
            self._log_notices()
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
                self.session.receive_data(bytes(data), trio.current_time())
            else:
                self.session.end_of_stream(trio.current_time(), why=why + hint)
            self._log_notices()
            self.wake()
        self.wake()

    async def _write(self, stream: trio.abc.Stream) -> None:
        """Write until the session is closed and its last words are out."""
        while True:
            self._woken = trio.Event()
            data = self._gather()
            self._log_notices()
            if data:
                try:
                    await stream.send_all(data)
                except trio.BrokenResourceError as error:
                    self._lost(error)
                    return
            elif self.session.state is State.CLOSED:
                return
            elif self._last_words:
                self.session.close(self._last_words, trio.current_time())
            else:
                await self._woken.wait()

    def _lost(self, error: Exception) -> None:
        self.session.end_of_stream(trio.current_time(), why=f"connection lost: {plain_error(error)}")

    def _gather(self) -> bytes:
        """Frames for one write."""
        frames: list[bytes] = []
        size = 0
        while len(frames) < _WRITE_FRAMES and size < _WRITE_BYTES:
            frame = self.session.data_to_send(trio.current_time())
            if not frame:
                break
            frames.append(frame)
            size += len(frame)
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

    def _log_notices(self) -> None:
        peer = self.session.peer.name if self.session.peer else "?"
        for notice in self.session.notices():
            getattr(log, notice.level)(f"link {peer}: {notice.text}", address=self.session.peer_address)


def plain_error(error: BaseException) -> str:
    """The words of the error at the bottom, for an operator."""
    while error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, trio.TooSlowError):
        return "no answer in time"
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(dict.fromkeys(plain_error(part) for part in error.exceptions))
    if isinstance(error, ssl.SSLError):
        # Its errno is OpenSSL's.
        reason: str = getattr(error, "reason", None) or "unexpected end"  # ssl sets it on what it raises itself
        return getattr(error, "verify_message", "") or reason.replace("_", " ").lower()
    if isinstance(error, socket.gaierror):
        return error.strerror or str(error)
    if isinstance(error, OSError) and error.errno is not None and error.errno > 0:
        # trio puts the address into strerror, where it is only repeated.
        return os.strerror(error.errno)
    return str(error) or type(error).__name__
