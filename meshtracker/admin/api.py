"""The admin API: what a node says about itself over HTTP. Nothing here changes anything.

GET /api/status   all figures of the node and its services, as JSON
GET /api/links    ``node.links`` of them
GET /metrics      the same figures for Prometheus
GET /health       "ok" while the node answers; the only one that needs no token

Without a token the node must be asked by address or as localhost: see `_LocalHost`.
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from ipaddress import ip_address
from urllib.parse import urlsplit

import structlog
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from meshtracker.admin.metrics import METRICS_CONTENT_TYPE, render_metrics
from meshtracker.admin.status import Provider, Status, to_json

_OPEN_PATHS = frozenset({"/health"})
"""For load balancers and container health checks, which have no place for a token."""


_log = structlog.get_logger()


def make_app(provider: Provider, *, token: str | None) -> ASGIApp:
    """The ASGI application; if there is a ``token``, it must be presented as a bearer (RFC 6750)."""
    answers: dict[str, Callable[[Status], Response]] = {
        "/api/status": lambda status: JSONResponse(to_json(status)),
        "/api/links": lambda status: JSONResponse(to_json(status)["node"]["links"]),
        "/metrics": lambda status: Response(render_metrics(status), headers={"Content-Type": METRICS_CONTENT_TYPE}),
    }
    routes = [Route(path, _endpoint(provider, answer)) for path, answer in answers.items()]
    routes.append(Route("/health", _health))
    guard = Middleware(_LocalHost) if token is None else Middleware(_BearerToken, token=token)
    return Starlette(routes=routes, middleware=[guard])


def _endpoint(provider: Provider, answer: Callable[[Status], Response]) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        try:
            return answer(provider())
        except Exception:
            # A figure that cannot be shown is a fault of ours, and no reason to end the tracker or the connection.
            _log.exception("admin answer failed", path=request.url.path)
            return PlainTextResponse("the log of this node says what went wrong\n", status_code=500)

    return endpoint


async def _health(_: Request) -> Response:
    return PlainTextResponse("ok\n")


class _LocalHost:
    """Keeps web pages out: a browser on this machine asks for a page's own host name, wherever DNS has that name lead.

    (DNS rebinding. What may listen without a token is out of everybody else's reach.)
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or scope["path"] in _OPEN_PATHS or _asks_by_address(scope):
            await self._app(scope, receive, send)
            return
        text = "without admin.token this node is asked by its address or as localhost\n"
        await PlainTextResponse(text, status_code=403)(scope, receive, send)


def _asks_by_address(scope: Scope) -> bool:
    hosts = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
    try:
        names = [urlsplit(f"//{host}").hostname or "" for host in hosts if host]
        return all(name == "localhost" or ip_address(name) for name in names)
    except ValueError:
        return False


class _BearerToken:
    """Lets nobody past who does not know the token."""

    def __init__(self, app: ASGIApp, *, token: str) -> None:
        self._app = app
        self._expected = f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or scope["path"] in _OPEN_PATHS or self._knows_token(scope):
            await self._app(scope, receive, send)
            return
        answer = PlainTextResponse(
            "the token of this node (admin.token) is missing or wrong\n",
            status_code=401,
            headers={"WWW-Authenticate": "Bearer"},
        )
        await answer(scope, receive, send)

    def _knows_token(self, scope: Scope) -> bool:
        given = [value for name, value in scope["headers"] if name == b"authorization"]
        # In constant time: how long it takes must not tell how much of a guess is right.
        return len(given) == 1 and hmac.compare_digest(given[0], self._expected)
