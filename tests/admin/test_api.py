from __future__ import annotations

import json

import pytest
from structlog.testing import capture_logs

from meshtracker.admin.api import make_app
from meshtracker.admin.commands import MAX_BODY_BYTES
from meshtracker.admin.status import links_to_json, to_json
from meshtracker.admin.tokens import Tokens
from meshtracker.node.commands import AuditEntry, Command
from tests.admin.support import app_with, ask, bearer, execute, get, make_status, post

TOKEN = "correct horse battery staple"


async def test_status_is_the_statistics() -> None:
    answer = await get(app_with(), "/api/status")
    assert answer.status == 200
    assert answer.headers[b"content-type"] == b"application/json"
    assert json.loads(answer.body) == json.loads(json.dumps(to_json(make_status())))


async def test_links_are_those_of_the_status() -> None:
    answer = await get(app_with(), "/api/links")
    assert json.loads(answer.body) == json.loads(json.dumps(links_to_json(make_status())))


async def test_metrics_are_in_the_exposition_format() -> None:
    answer = await get(app_with(), "/metrics")
    assert answer.headers[b"content-type"].startswith(b"text/plain; version=")
    assert b"\nmeshtracker_peers 1.0\n" in answer.body


async def test_health_needs_no_token_and_no_figures() -> None:
    def broken() -> None:
        raise AssertionError("health asks for no figures")

    answer = await get(make_app(broken, execute, tokens=Tokens(read=TOKEN)), "/health")  # type: ignore[arg-type]
    assert (answer.status, answer.body) == (200, b"ok\n")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/api/status", 405),
        ("GET", "/nothing", 404),
        ("POST", "/api/links/nothing", 404),
        ("GET", "/api/links/reset", 405),
        ("PUT", "/api/links/reset", 405),
    ],
)
async def test_what_there_is_not_is_refused(method: str, path: str, status: int) -> None:
    assert (await ask(app_with(), method, path, is_unix=True)).status == status


async def test_a_command_is_done_and_written_down() -> None:
    body = {"name": "hub", "full": True, "reason": "stuck since noon", "caller": "alice@desk"}
    with capture_logs() as logs:
        answer = await post(app_with(control=TOKEN), "/api/links/reset", body, headers=bearer(TOKEN))
    assert (answer.status, json.loads(answer.body)) == (200, {"links": ["hub"]})
    assert logs == [
        {
            "event": "audit: link reset",
            "log_level": "warning",
            "caller": "alice@desk from 127.0.0.1 (admin.control_token, scope control)",
            "reason": "stuck since noon",
            "links": ["hub"],
            "everybody": False,
            "resync": "full",
        }
    ]


@pytest.mark.parametrize("action", ["reset", "disable", "enable", "forget"])
async def test_each_command_for_all_over_a_unix_socket(action: str) -> None:
    with capture_logs() as logs:
        answer = await post(app_with(), f"/api/links/{action}", {"all": True}, is_unix=True)
    assert answer.status == 200
    [entry] = logs
    assert (entry["event"], entry["everybody"]) == (f"audit: link {action}", True)
    assert entry["caller"] == "somebody on the node's machine (Unix socket, scope control)"


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({"name": "nobody"}, 404, b"there is no link called 'nobody'\n"),
        ({"name": "hub", "reason": "too late"}, 409, b"the link with hub is not up\n"),
        ({}, 400, b'say which links: exactly one of "name" and "all"\n'),
        (b"{", 400, b"the body must be a JSON object\n"),
        (b" " * (MAX_BODY_BYTES + 1), 413, b"a command is at most 4096 bytes\n"),
    ],
)
async def test_a_command_that_is_refused_says_why_and_is_not_written_down(
    body: object, status: int, words: bytes
) -> None:
    with capture_logs() as logs:
        answer = await post(app_with(), "/api/links/reset", body, is_unix=True)
    assert (answer.status, answer.body) == (status, words)
    assert logs == []


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (b"application/json", 200),
        (b"Application/JSON; charset=utf-8", 200),
        (b"text/plain", 415),
        (b"application/x-www-form-urlencoded", 415),
        (b"", 415),
    ],
)
async def test_what_a_page_can_send_without_asking_is_no_command(kind: bytes, status: int) -> None:
    answer = await post(app_with(), "/api/links/reset", {"all": True}, is_unix=True, kind=kind)
    assert answer.status == status


async def test_a_fault_in_a_command_is_a_500() -> None:
    def broken(command: Command) -> AuditEntry:
        raise RuntimeError("a fault")

    app = make_app(make_status, broken, tokens=Tokens())
    with capture_logs() as logs:
        answer = await post(app, "/api/links/reset", {"all": True}, is_unix=True)
    assert answer.status == 500
    assert b"a fault" not in answer.body
    assert [entry["event"] for entry in logs] == ["admin answer failed"]
