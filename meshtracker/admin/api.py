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
    """The ASGI application; ``token`` must be presented as a bearer (RFC 6750) if there is one."""

    def status(_: Request) -> Response:
        return JSONResponse(to_json(provider()))

    def links(_: Request) -> Response:
        return JSONResponse(to_json(provider())["node"]["links"])

    def metrics(_: Request) -> Response:
        return Response(render_metrics(provider()), media_type=METRICS_CONTENT_TYPE)

    routes = [
        Route("/api/status", _in_the_loop(status)),
        Route("/api/links", _in_the_loop(links)),
        Route("/metrics", _in_the_loop(metrics)),
        Route("/health", _in_the_loop(lambda _: PlainTextResponse("ok\n"))),
    ]
    middleware = [] if token is None else [Middleware(_BearerToken, token=token)]
    return Starlette(routes=routes, middleware=middleware)
