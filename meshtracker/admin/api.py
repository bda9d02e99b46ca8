"""The admin API: what a node says about itself over HTTP, and the commands that it takes for its links.

GET /api/status           all figures of the node and its services, as JSON
GET /api/links            of them, those of links
GET /metrics              the same figures for Prometheus
GET /health               "ok" while the node answers; the only one that is open to everybody
POST /api/links/reset     close links, which then come back and resync; see `admin.commands` for the body
POST /api/links/disable   close links and refuse them
POST /api/links/forget    forget what is remembered of nodes that are not linked
POST /api/links/enable    let them come back

Who may do what is decided in `admin.scopes`, before any of these. A command must be ``application/json``: a page in a
browser cannot send that elsewhere without asking first (CORS), and is never told that it may.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import TypeAlias

import structlog
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from meshtracker.admin.commands import ACTIONS, MAX_BODY_BYTES, BadCommandError, read_command
from meshtracker.admin.metrics import METRICS_CONTENT_TYPE, render_metrics
from meshtracker.admin.scopes import CALLER, Guard
from meshtracker.admin.status import Provider, Status, links_to_json, to_json
from meshtracker.admin.tokens import Tokens
from meshtracker.node.commands import AuditEntry, Command, CommandError, UnknownLinkError

Executor: TypeAlias = Callable[[Command], AuditEntry]
"""Carries out a command; raises `CommandError`."""
_Endpoint: TypeAlias = Callable[[Request], Awaitable[Response]]

_log = structlog.get_logger()


def make_app(provider: Provider, execute: Executor, *, tokens: Tokens) -> ASGIApp:
    """The ASGI application."""
    answers: dict[str, Callable[[Status], Response]] = {
        "/api/status": lambda status: JSONResponse(to_json(status)),
        "/api/links": lambda status: JSONResponse(links_to_json(status)),
        "/metrics": lambda status: Response(render_metrics(status), headers={"Content-Type": METRICS_CONTENT_TYPE}),
    }
    routes = [Route(path, _survives(_show(provider, answer))) for path, answer in answers.items()]
    routes += [Route(f"/api/links/{action}", _survives(_do(execute, action)), methods=["POST"]) for action in ACTIONS]
    routes.append(Route("/health", _health))
    return Starlette(routes=routes, middleware=[Middleware(Guard, tokens=tokens)])


def _survives(endpoint: _Endpoint) -> _Endpoint:
    async def surviving(request: Request) -> Response:
        try:
            return await endpoint(request)
        except Exception:
            # Whatever it is, it is a fault of ours, and no reason to end the tracker or the connection. Starlette's own
            # handler for all exceptions would answer, and then let them through to the connection all the same.
            _log.exception("admin answer failed", path=request.url.path)
            return _refused(500, "the log of this node says what went wrong")

    return surviving


def _show(provider: Provider, answer: Callable[[Status], Response]) -> _Endpoint:
    async def endpoint(_: Request) -> Response:
        return answer(provider())

    return endpoint


def _do(execute: Executor, action: str) -> _Endpoint:
    async def endpoint(request: Request) -> Response:
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            return _refused(415, "a command must be of Content-Type application/json")
        try:
            body = await _read_body(request)
            if len(body) > MAX_BODY_BYTES:
                return _refused(413, f"a command is at most {MAX_BODY_BYTES} bytes")
            entry = execute(read_command(action, body, source=request.scope["state"][CALLER]))
        except BadCommandError as error:
            return _refused(400, str(error))
        except UnknownLinkError as error:
            return _refused(404, str(error))
        except CommandError as error:
            return _refused(409, str(error))
        except ClientDisconnect:
            return _refused(400, "half a command is none")
        _write_down(entry)
        return JSONResponse({"links": list(entry.links)})

    return endpoint


async def _read_body(request: Request) -> bytes:
    """The body; once it is longer than `MAX_BODY_BYTES` the rest is left unread."""
    body = b""
    async with aclosing(request.stream()) as parts:
        async for part in parts:
            body += part
            if len(body) > MAX_BODY_BYTES:
                break
    return body


def _write_down(entry: AuditEntry) -> None:
    details = {"resync": "full" if entry.full else "partial"} if entry.action == "reset" else {}
    _log.warning(
        f"audit: link {entry.action}",
        caller=entry.caller,
        reason=entry.reason,
        links=list(entry.links),
        everybody=entry.everybody,
        **details,
    )


def _refused(status: int, text: str) -> Response:
    return PlainTextResponse(f"{text}\n", status_code=status)


async def _health(_: Request) -> Response:
    return PlainTextResponse("ok\n")
