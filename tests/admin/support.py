"""What the tests of the admin API share: a status with something in it, and requests without sockets."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any, TypeAlias

import attrs
from starlette.types import ASGIApp

from meshtracker.admin.api import make_app
from meshtracker.admin.scopes import IS_UNIX
from meshtracker.admin.status import Status
from meshtracker.admin.tokens import Tokens
from meshtracker.link.clock import HybridClock
from meshtracker.link.statistics import SessionStatistics
from meshtracker.model import AnnounceRequest
from meshtracker.node.commands import AuditEntry, Command, CommandError, ResetLinks, UnknownLinkError
from meshtracker.node.neighbours import NeighbourStatistics
from meshtracker.node.node import Node

Headers: TypeAlias = Sequence[tuple[bytes, bytes]]

JSON = b"application/json"

LINK = SessionStatistics(
    peer="hub",
    peer_address="192.0.2.1:59100",
    dialed=True,
    state="synced",
    since_seconds=83.0,
    version=3,
    resync="hub: full (new node)",
    sent_resync="leaf: partial after batch 12",
    warnings=("the clock of hub is 7 s ahead of that of leaf",),
    received_bytes=4096,
    sent_bytes=512,
    received_batches=9,
    sent_batches=8,
    received_records=77,
    refused_records=7,
    dropped_records=8,
    unshared_rows=6,
    peer_lag_batches=1,
    unconfirmed_frames=2,
    skipped_bytes=0,
    heard_seconds_ago=2.25,
    soft_splits=0,
    verdict="",
    reason="",
    code="",
)
NEIGHBOUR = NeighbourStatistics(
    name="hub",
    address="192.0.2.1:59100",
    soft_splits=2,
    resets=1,
    split_resets=2,
    verdict="3 data frames sent and none confirmed for 15.0 s",
    verdict_rule="outbound",
    verdict_seconds_ago=61.0,
    disabled=None,
    wants_everything=False,
    breaches=4,
    breach="a gap in its stream",
    refused_for_seconds=5.5,
)
AUDIT = AuditEntry(
    at_unix_seconds=1.8e9,
    caller="alice@desk from 127.0.0.1 (admin.control_token, scope control)",
    action="reset",
    links=("hub",),
    everybody=False,
    full=True,
    reason="stuck since noon",
)
ENDED = attrs.evolve(LINK, state="closed", reason="nothing heard for 15 s", code="soft-split", warnings=())


@attrs.frozen
class Figures:
    """Statistics of some service."""

    announces: int
    load: float
    error: str


def make_status(*, links: Sequence[SessionStatistics] = (LINK, ENDED)) -> Status:
    node = Node(
        name="leaf", incarnation=5, clock=HybridClock(wall_offset_seconds=1.7e9), rng=random.Random(1), dials=True
    )
    request = AnnounceRequest(info_hash=b"h" * 20, peer_id=b"p" * 20, key=1, address=b"\x7f\0\0\1", port=6881, left=0)
    node.announce(request, 1.0)
    node.mesh.flush(1.0)
    figures = attrs.evolve(
        node.statistics(100.0),
        links=tuple(links),
        neighbours=(NEIGHBOUR,),
        refused_links={"authentication": 3, "clock": 1},
        audit=(AUDIT,),
    )
    return Status(node=figures, services={"udp": Figures(announces=3, load=0.5, error="")})


def execute(command: Command) -> AuditEntry:
    """What a node does that has a link with ``hub`` alone."""
    if command.name not in (None, "hub"):
        raise UnknownLinkError(f"there is no link called {command.name!r}")
    if command.reason == "too late":
        raise CommandError("the link with hub is not up")
    return AuditEntry(
        at_unix_seconds=1.8e9,
        caller=command.caller,
        action=command.action,
        links=("hub",),
        everybody=command.name is None,
        full=isinstance(command, ResetLinks) and command.full,
        reason=command.reason,
    )


def app_with(**tokens: str) -> ASGIApp:
    """The API of `make_status` and `execute`; ``tokens`` are fields of `Tokens`."""
    return make_app(make_status, execute, tokens=Tokens(**tokens))


@attrs.frozen
class Answer:
    status: int
    headers: dict[bytes, bytes]
    body: bytes


def bearer(token: str) -> Headers:
    return [(b"authorization", f"Bearer {token}".encode())]


async def get(app: ASGIApp, path: str, *, headers: Headers = (), is_unix: bool = False) -> Answer:
    """One request straight into the ASGI application, as the server brings it."""
    return await ask(app, "GET", path, headers=headers, is_unix=is_unix)


async def post(
    app: ASGIApp, path: str, body: object, *, headers: Headers = (), is_unix: bool = False, kind: bytes = JSON
) -> Answer:
    """The same with a body: JSON, or bytes as they are."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return await ask(app, "POST", path, headers=[*headers, (b"content-type", kind)], body=data, is_unix=is_unix)


async def ask(
    app: ASGIApp, method: str, path: str, *, headers: Headers = (), body: bytes = b"", is_unix: bool = False
) -> Answer:
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope: Any = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": list(headers),
        "client": None if is_unix else ("127.0.0.1", 40_000),
        "server": None,
        "state": {IS_UNIX: is_unix},
    }
    await app(scope, receive, send)
    return Answer(sent[0]["status"], dict(sent[0]["headers"]), b"".join(part.get("body", b"") for part in sent[1:]))
