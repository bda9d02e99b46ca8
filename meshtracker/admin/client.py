"""Asks a running node through its admin API. Blocks; only the standard library, for the command line to start fast."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from meshtracker.errors import ConfigurationError, MeshtrackerError

TIMEOUT_SECONDS = 5.0
MAX_ANSWER_BYTES = 16 << 20
"""`MAX_ORIGINS` links and streams are a few hundred kilobytes; what is larger is no node's answer."""


class NodeUnreachableError(MeshtrackerError):
    """No node answers at an address, or not as a node does; ``str()`` is one plain line."""

    fault = "operator"


def fetch(address: str, path: str, *, token: str | None = None) -> Any:
    """The JSON at ``path`` of the node at ``http://host:port`` or ``unix:/path``.

    Raises `NodeUnreachableError`, or `ConfigurationError` for what is no such address.
    """
    return _ask(address, "GET", path, None, token)


def command_links(address: str, action: str, fields: Mapping[str, Any], *, token: str | None = None) -> list[str]:
    """Have that node reset, disable, enable or forget links; returns the names of the links touched.

    ``fields`` are those of `meshtracker.admin.commands`. Raises as `fetch` does.
    """
    answer = _ask(address, "POST", f"/api/links/{action}", json.dumps(fields).encode(), token)
    if not isinstance(answer, dict) or not isinstance(answer.get("links"), list):
        raise NodeUnreachableError(f"what answers at {address} is no node of meshtracker")
    return [str(name) for name in answer["links"]]


def _ask(address: str, method: str, path: str, body: bytes | None, token: str | None) -> Any:
    connection = _connection(address)
    headers = {"Host": "localhost"}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    if body is not None:
        headers["Content-Type"] = "application/json"
    try:
        connection.request(method, path, body=body, headers=headers)
        answer = connection.getresponse()
        text = answer.read(MAX_ANSWER_BYTES)
    except (OSError, http.client.HTTPException) as error:
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise NodeUnreachableError(f"no node answers at {address}: {why}") from error
    finally:
        connection.close()
    if answer.status != http.client.OK:
        why = text[:500].decode("utf-8", "replace").strip()
        raise NodeUnreachableError(f"the node at {address} refuses ({answer.status}): {why}")
    try:
        return json.loads(text)
    except ValueError as error:
        raise NodeUnreachableError(f"what answers at {address} is no node of meshtracker") from error


def _connection(address: str) -> http.client.HTTPConnection:
    if address.startswith("unix:/"):
        return _UnixConnection(address.removeprefix("unix:"))
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or not port or parts.scheme != "http":
        raise ConfigurationError(
            source=f'address "{address}"', key="", problem="must be of the form http://host:port or unix:/path"
        )
    return http.client.HTTPConnection(host, port, timeout=TIMEOUT_SECONDS)


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=TIMEOUT_SECONDS)
        self._path = path

    def connect(self) -> None:
        """See `http.client.HTTPConnection`."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)
