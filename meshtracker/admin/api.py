"""The admin API: what a node says about itself over HTTP. Nothing here changes anything.

GET /api/status   all figures of the node and its services, as JSON
GET /api/links    ``node.links`` of them
GET /metrics      the same figures for Prometheus
GET /health       "ok" while the node answers; the only one that needs no token
"""

from __future__ import annotations

import hmac

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from meshtracker.admin.metrics import METRICS_CONTENT_TYPE, render_metrics
from meshtracker.admin.status import Provider, to_json

_OPEN_PATHS = frozenset({"/health"})
"""For load balancers and container health checks, which have no place for a token."""


def make_app(provider: Provider, *, token: str | None) -> Starlette:
    """The ASGI application; if there is a ``token``, it must be presented as a bearer (RFC 6750)."""

    async def status(_: Request) -> Response:
        return JSONResponse(to_json(provider()))

    async def links(_: Request) -> Response:
        return JSONResponse(to_json(provider())["node"]["links"])

    async def metrics(_: Request) -> Response:
        return Response(render_metrics(provider()), headers={"Content-Type": METRICS_CONTENT_TYPE})

    async def health(_: Request) -> Response:
        return PlainTextResponse("ok\n")

    endpoints = {"/api/status": status, "/api/links": links, "/metrics": metrics, "/health": health}
    routes = [Route(path, endpoint) for path, endpoint in endpoints.items()]
    return Starlette(routes=routes, middleware=[] if token is None else [Middleware(_BearerToken, token=token)])


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
