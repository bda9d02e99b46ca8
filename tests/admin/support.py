"""What the tests of the admin API share: a status with something in it, and requests without sockets."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import attrs
from starlette.types import ASGIApp

from meshtracker.admin.status import Status
from meshtracker.link.clock import HybridClock
from meshtracker.link.session import SessionStatistics
from meshtracker.model import AnnounceRequest
from meshtracker.node.node import Node

LINK = SessionStatistics(
    peer="hub",
    peer_address="192.0.2.1:59100",
    dialed=True,
    state="synced",
    since_seconds=83.0,
    resync="hub: full (new node)",
    sent_resync="leaf: partial after batch 12",
    warnings=("the clock of hub is 7 s ahead of that of leaf",),
    received_bytes=4096,
    sent_bytes=512,
    received_batches=9,
    sent_batches=8,
    received_records=77,
    peer_lag_batches=1,
    heard_seconds_ago=2.25,
    reason="",
)
ENDED = attrs.evolve(LINK, state="closed", reason="nothing heard for 15 s", warnings=())


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
    figures = attrs.evolve(node.statistics(100.0), links=tuple(links))
    return Status(node=figures, services={"udp": Figures(announces=3, load=0.5, error="")})


@attrs.frozen
class Answer:
    status: int
    headers: dict[bytes, bytes]
    body: bytes


async def get(app: ASGIApp, path: str, *, method: str = "GET", headers: Sequence[tuple[bytes, bytes]] = ()) -> Answer:
    """One request straight into the ASGI application."""
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

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
        "client": None,
        "server": None,
    }
    await app(scope, receive, send)
    return Answer(sent[0]["status"], dict(sent[0]["headers"]), b"".join(part.get("body", b"") for part in sent[1:]))
