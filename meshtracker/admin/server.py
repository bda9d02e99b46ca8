"""Serves the admin API on TCP addresses and Unix sockets: Hypercorn's protocol on connections that are bounded here.

`hypercorn.trio.serve` would accept without limit, let a fault of one connection end the whole node, and wait at the
end for a client that does not read; so its connection handler is run by a loop of our own.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import structlog
import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ASGIFramework, ConnectionState
from starlette.types import ASGIApp

from meshtracker.admin.scopes import IS_UNIX
from meshtracker.errors import StartError

MAX_CONNECTIONS = 64
"""At once; the API is for a few operators and collectors, and file descriptors are there for the tracker's clients."""
MAX_CONNECTION_SECONDS = 60.0
"""A connection is closed after this, whatever it does, so that no slow one holds its place."""
MAX_HEAD_BYTES = 16_384
KEEP_ALIVE_SECONDS = 5.0
"""An idle connection is closed after this, and one that the client has closed is forgotten."""
LISTEN_BACKLOG = 64

_log = structlog.get_logger()


def listen_tcp(host: str, port: int) -> socket.socket:
    """A socket listening on an IP address; port 0 lets the system choose. Raises `StartError`."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        # create_server lets a port be bound again while old connections are in TIME_WAIT, and IPv6 take IPv6 alone.
        return socket.create_server((host, port), family=family, backlog=LISTEN_BACKLOG)
    except OSError as error:
        where = f"[{host}]:{port}" if family is socket.AF_INET6 else f"{host}:{port}"
        raise StartError(f"admin.listen {where}: {_text(error)}") from error


def listen_unix(path: str) -> socket.socket:
    """A socket listening on a path, for the node's own user alone. Raises `StartError`.

    A socket that a killed process left behind is replaced.
    """
    listener = socket.socket(socket.AF_UNIX)
    try:
        if Path(path).is_socket() and not _is_served(path):
            Path(path).unlink()
        # The permissions are there from the start: a chmod afterwards would leave a moment for others.
        mask = os.umask(0o177)
        try:
            listener.bind(path)
        finally:
            os.umask(mask)
        listener.listen(LISTEN_BACKLOG)
    except OSError as error:
        listener.close()
        raise StartError(f"admin.listen unix:{path}: {_text(error)}") from error
    return listener


def _is_served(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            return False
        return True


def _text(error: OSError) -> str:
    # Python adds the address to its message, which is there already.
    return os.strerror(error.errno).lower() if error.errno else str(error)


def addresses(sockets: Sequence[socket.socket]) -> list[str]:
    """Where the sockets listen, as a client is told: ``http://127.0.0.1:6970`` or ``unix:/path``."""
    return [_address(listener) for listener in sockets]


def _address(listener: socket.socket) -> str:
    name = listener.getsockname()
    if listener.family == socket.AF_UNIX:
        return f"unix:{name}"
    return f"http://[{name[0]}]:{name[1]}" if listener.family == socket.AF_INET6 else f"http://{name[0]}:{name[1]}"


async def serve(
    app: ASGIApp,
    sockets: Sequence[socket.socket],
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until cancelled; then closes the sockets and every connection, and removes Unix sockets' files."""
    connections = _Connections(app)
    paths = [Path(listener.getsockname()) for listener in sockets if listener.family == socket.AF_UNIX]
    try:
        async with trio.open_nursery() as nursery:
            listeners = [trio.SocketListener(trio.socket.from_stdlib_socket(listener)) for listener in sockets]
            await nursery.start(trio.serve_listeners, connections.serve, listeners)
            task_status.started()
    finally:
        for path in paths:
            path.unlink(missing_ok=True)


class _Connections:
    """The connections of one server; a fault of one ends that one."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = ASGIWrapper(cast("ASGIFramework", app))  # one protocol, two ways to type it
        self._config = _hypercorn_config()
        self._context = WorkerContext(None)
        self._open = 0

    async def serve(self, stream: trio.SocketStream) -> None:
        """Answer one client, unless there are too many."""
        if self._open >= MAX_CONNECTIONS:
            return
        self._open += 1
        try:
            with trio.move_on_after(MAX_CONNECTION_SECONDS):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(_close_when_cancelled, stream)
                    await self._protocol(stream).run()
                    nursery.cancel_scope.cancel()
        except* trio.BusyResourceError:
            # Hypercorn answers from two tasks at once when a client goes in the middle of its request.
            pass
        except* Exception as errors:
            _log.warning("admin connection failed", error=repr(errors.exceptions[0]))
        finally:
            self._open -= 1

    def _protocol(self, stream: trio.SocketStream) -> TCPServer:
        # Annotated for TLS alone, it asks the stream whether it is.
        state = ConnectionState({IS_UNIX: stream.socket.family == socket.AF_UNIX})
        return TCPServer(self._app, self._config, self._context, state, stream)  # type: ignore[arg-type]


async def _close_when_cancelled(stream: trio.SocketStream) -> None:
    """Hypercorn shields what it sends from cancellation, so a client that reads nothing would hold up the end."""
    try:
        await trio.sleep_forever()
    finally:
        stream.socket.close()


def _hypercorn_config() -> Config:
    config = Config()
    config.h11_max_incomplete_size = MAX_HEAD_BYTES
    config.h2_max_header_list_size = MAX_HEAD_BYTES
    config.keep_alive_timeout = KEEP_ALIVE_SECONDS
    config.include_server_header = False
    config.accesslog = None
    # It would write a traceback for each client that breaks the protocol; what fails on this side the API logs itself.
    config.errorlog = None
    return config
