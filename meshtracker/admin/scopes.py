"""Who may read and who may control: the guard before every route of the admin API.

caller                                       may
over a Unix socket, which only the node's own user can open:
  unless ``admin.control_token`` is set      control
with a token as its bearer (RFC 6750):
  ``admin.control_token``, or else the one
  that the node made for itself              control
  ``admin.read_token``                       read
without, and neither is configured           read, if the node is asked for by its address or as localhost

Whoever may control may read. Whatever is not plain reading (GET, HEAD) needs control. A page in a browser can neither
present a token nor open a Unix socket.
"""

from __future__ import annotations

import enum
import hmac
from ipaddress import ip_address
from urllib.parse import urlsplit

import attrs
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from meshtracker.admin.tokens import CONTROL_TOKEN_FILE, Tokens

IS_UNIX = "is_unix"
"""Key of the ASGI scope's ``state``: set by the server for connections over a Unix socket."""
CALLER = "caller"
"""Key of the same: where a request came from and what it may, for the audit log."""

_OPEN_PATHS = frozenset({"/health"})
"""For load balancers and container health checks, which have no place for a token."""
_READING = frozenset({"GET", "HEAD"})


class Right(enum.IntEnum):
    """What a caller may do; each includes the one before."""

    NOTHING = 0
    READ = 1
    CONTROL = 2


@attrs.frozen
class _Grant:
    right: Right
    by: str
    """What gave that right."""


class Guard:
    """Lets a request pass to ``app`` if its caller may do it."""

    def __init__(self, app: ASGIApp, *, tokens: Tokens) -> None:
        self._app = app
        self._tokens = tokens

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or scope["path"] in _OPEN_PATHS:
            await self._app(scope, receive, send)
            return
        needed = Right.READ if scope.get("method", "GET") in _READING else Right.CONTROL
        grant = self._grant(scope)
        if grant.right < needed:
            await self._refusal(needed, grant)(scope, receive, send)
            return
        where = f"from {scope['client'][0]}" if scope.get("client") else "on the node's machine"
        scope.setdefault("state", {})[CALLER] = f"{where} ({grant.by}, scope {grant.right.name.lower()})"
        await self._app(scope, receive, send)

    def _grant(self, scope: Scope) -> _Grant:
        tokens = self._tokens
        given = _bearer(scope)
        grants = [_Grant(Right.NOTHING, "")]
        if not tokens.are_configured and _asks_by_address(scope):
            grants.append(_Grant(Right.READ, "no token"))
        if tokens.control is None and scope.get("state", {}).get(IS_UNIX, False):
            grants.append(_Grant(Right.CONTROL, "Unix socket"))
        for token, right, by in (
            (tokens.read, Right.READ, "admin.read_token"),
            (tokens.control, Right.CONTROL, "admin.control_token"),
            (tokens.own_control, Right.CONTROL, CONTROL_TOKEN_FILE),
        ):
            # In constant time: how long it takes must not tell how much of a guess is right.
            if token is not None and hmac.compare_digest(given, token.encode()):
                grants.append(_Grant(right, by))
        return max(grants, key=lambda grant: grant.right)

    def _refusal(self, needed: Right, grant: _Grant) -> Response:
        tokens = self._tokens
        if needed is Right.READ and tokens.are_configured:
            return _unauthorized("a token of this node (admin.read_token) is missing or wrong")
        if needed is Right.READ:
            return _forbidden("without admin.read_token this node is asked by its address or as localhost")
        if tokens.control is None and tokens.own_control is None:
            return _forbidden(
                "this node takes commands over TCP only once admin.control_token or node.state_dir is set;"
                " over a Unix socket (admin.listen) it takes them without"
            )
        if grant.by == "admin.read_token":
            return _forbidden("admin.read_token may only read: commands need admin.control_token")
        if tokens.control is None:
            return _unauthorized(
                f"the token for commands is missing or wrong: it is in {CONTROL_TOKEN_FILE} in node.state_dir,"
                " where the command line finds it with -c CONFIG"
            )
        return _unauthorized("the token for commands (admin.control_token) is missing or wrong")


def _bearer(scope: Scope) -> bytes:
    given = [value for name, value in scope["headers"] if name == b"authorization"]
    scheme, _, token = given[0].partition(b" ") if len(given) == 1 else (b"", b"", b"")
    # RFC 9110 (11.1): a scheme may be in either case.
    return token if scheme.lower() == b"bearer" else b""


def _asks_by_address(scope: Scope) -> bool:
    """Not so does a page in a browser on this machine, whose own host name DNS has lead here (DNS rebinding)."""
    hosts = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
    try:
        names = [urlsplit(f"//{host}").hostname or "" for host in hosts if host]
        return all(name == "localhost" or ip_address(name) for name in names)
    except ValueError:
        return False


def _forbidden(text: str) -> Response:
    return PlainTextResponse(f"{text}\n", status_code=403)


def _unauthorized(text: str) -> Response:
    return PlainTextResponse(f"{text}\n", status_code=401, headers={"WWW-Authenticate": "Bearer"})
