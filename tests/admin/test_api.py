from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from meshtracker.admin.api import make_app
from meshtracker.admin.status import to_json
from tests.admin.support import get, make_status

TOKEN = "correct horse battery staple"


async def test_status_is_the_statistics() -> None:
    answer = await get(make_app(make_status, token=None), "/api/status")
    assert answer.status == 200
    assert answer.headers[b"content-type"] == b"application/json"
    assert json.loads(answer.body) == json.loads(json.dumps(to_json(make_status())))


async def test_links_are_those_of_the_status() -> None:
    answer = await get(make_app(make_status, token=None), "/api/links")
    assert json.loads(answer.body) == json.loads(json.dumps(to_json(make_status())["node"]["links"]))


async def test_metrics_are_in_the_exposition_format() -> None:
    answer = await get(make_app(make_status, token=None), "/metrics")
    assert answer.headers[b"content-type"].startswith(b"text/plain; version=")
    assert b"\nmeshtracker_peers 1.0\n" in answer.body


async def test_health_needs_no_token_and_no_figures() -> None:
    def broken() -> None:
        raise AssertionError("health asks for no figures")

    answer = await get(make_app(broken, token=TOKEN), "/health")  # type: ignore[arg-type]
    assert (answer.status, answer.body) == (200, b"ok\n")


@pytest.mark.parametrize("path", ["/api/status", "/api/links", "/metrics", "/", "/nothing"])
@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(b"authorization", b"Bearer wrong")],
        [(b"authorization", f"Basic {TOKEN}".encode())],
        [(b"authorization", TOKEN.encode())],
        [(b"authorization", b"Bearer \xff")],
        [(b"authorization", f"Bearer {TOKEN}".encode()), (b"authorization", b"Bearer wrong")],
    ],
)
async def test_nothing_is_said_without_the_token(path: str, headers: Sequence[tuple[bytes, bytes]]) -> None:
    answer = await get(make_app(make_status, token=TOKEN), path, headers=headers)
    assert answer.status == 401
    assert answer.headers[b"content-type"].startswith(b"text/plain")
    assert answer.headers[b"www-authenticate"] == b"Bearer"
    assert b"leaf" not in answer.body


async def test_with_the_token_all_is_said() -> None:
    headers = [(b"authorization", f"Bearer {TOKEN}".encode())]
    answer = await get(make_app(make_status, token=TOKEN), "/api/status", headers=headers)
    assert answer.status == 200


@pytest.mark.parametrize(
    ("host", "status"),
    [
        (b"localhost", 200),
        (b"LOCALHOST:6970", 200),
        (b"127.0.0.1:6970", 200),
        (b"[::1]:6970", 200),
        (b"", 200),
        (b"page.example", 403),
        (b"127.0.0.1.page.example:6970", 403),
        (b"localhost@page.example", 403),
        (b"[::1", 403),
        (b"\xff\0", 403),
    ],
)
async def test_without_a_token_web_pages_are_kept_out(host: bytes, status: int) -> None:
    """A page whose own name was made to lead here (DNS rebinding)."""
    headers = [(b"host", host)]
    assert (await get(make_app(make_status, token=None), "/api/status", headers=headers)).status == status
    assert (await get(make_app(make_status, token=None), "/health", headers=headers)).status == 200
    headers.append((b"authorization", f"Bearer {TOKEN}".encode()))
    assert (await get(make_app(make_status, token=TOKEN), "/api/status", headers=headers)).status == 200


@pytest.mark.parametrize(("method", "path", "status"), [("POST", "/api/status", 405), ("GET", "/nothing", 404)])
async def test_what_there_is_not_is_refused(method: str, path: str, status: int) -> None:
    assert (await get(make_app(make_status, token=None), path, method=method)).status == status
