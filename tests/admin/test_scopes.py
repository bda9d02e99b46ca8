"""Who may read, who may control, and what everybody else is told."""

from __future__ import annotations

import pytest

from tests.admin.support import Headers, app_with, bearer, get, post

READ, CONTROL, OWN = "correct horse battery", "staple for commands", "what the node made"
NOBODY: Headers = ()
TOKENS = {
    "none": {},
    "own": {"own_control": OWN},
    "read": {"read": READ},
    "read and own": {"read": READ, "own_control": OWN},
    "control": {"control": CONTROL},
    "both": {"read": READ, "control": CONTROL},
}


@pytest.mark.parametrize(
    ("tokens", "given", "over_tcp", "over_unix"),
    [  # (reading, a command) over each
        ("none", "", (200, 403), (200, 200)),
        ("none", "rubbish", (200, 403), (200, 200)),
        ("own", "", (200, 401), (200, 200)),
        ("own", "rubbish", (200, 401), (200, 200)),
        ("own", OWN, (200, 200), (200, 200)),
        ("read", "", (401, 403), (200, 200)),
        ("read", READ, (200, 403), (200, 200)),
        ("read and own", "", (401, 401), (200, 200)),
        ("read and own", READ, (200, 403), (200, 200)),
        ("read and own", OWN, (200, 200), (200, 200)),
        ("control", "", (401, 401), (401, 401)),
        ("control", "rubbish", (401, 401), (401, 401)),
        ("control", CONTROL, (200, 200), (200, 200)),
        ("both", "", (401, 401), (401, 401)),
        ("both", READ, (200, 403), (200, 403)),
        ("both", CONTROL, (200, 200), (200, 200)),
        ("both", CONTROL + "x", (401, 401), (401, 401)),
    ],
)
async def test_who_may_what(tokens: str, given: str, over_tcp: tuple[int, int], over_unix: tuple[int, int]) -> None:
    app = app_with(**TOKENS[tokens])
    headers = bearer(given) if given else NOBODY
    for is_unix, expected in ((False, over_tcp), (True, over_unix)):
        read = await get(app, "/api/status", headers=headers, is_unix=is_unix)
        done = await post(app, "/api/links/reset", {"all": True}, headers=headers, is_unix=is_unix)
        assert (read.status, done.status) == expected
        assert (await get(app, "/health", is_unix=is_unix)).status == 200
        for answer in (read, done):
            if answer.status != 200:
                assert answer.headers[b"content-type"].startswith(b"text/plain")
                assert (b"www-authenticate" in answer.headers) is (answer.status == 401)
                for secret in (READ, CONTROL, OWN, "leaf"):
                    assert secret.encode() not in answer.body


@pytest.mark.parametrize(
    ("tokens", "given", "words"),
    [
        ("none", "", b"only once admin.control_token or node.state_dir is set; over a Unix socket"),
        ("own", "", b"is in control.token in node.state_dir, where the command line finds it with -c CONFIG"),
        ("read and own", READ, b"admin.read_token may only read: commands need admin.control_token"),
        ("control", "", b"the token for commands (admin.control_token) is missing or wrong"),
    ],
)
async def test_a_refused_command_is_told_what_to_do(tokens: str, given: str, words: bytes) -> None:
    answer = await post(app_with(**TOKENS[tokens]), "/api/links/reset", {"all": True}, headers=bearer(given))
    assert words in answer.body


@pytest.mark.parametrize("path", ["/api/status", "/api/links", "/metrics", "/", "/nothing"])
@pytest.mark.parametrize(
    "headers",
    [
        [],
        bearer("wrong"),
        bearer(""),
        [(b"authorization", f"Basic {READ}".encode())],
        [(b"authorization", READ.encode())],
        [(b"authorization", b"Bearer \xff")],
        [*bearer(READ), *bearer("wrong")],
    ],
)
async def test_nothing_is_said_without_the_token(path: str, headers: Headers) -> None:
    answer = await get(app_with(read=READ), path, headers=headers)
    assert answer.status == 401
    assert b"leaf" not in answer.body


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
    assert (await get(app_with(), "/api/status", headers=headers)).status == status
    assert (await get(app_with(), "/health", headers=headers)).status == 200
    headers += bearer(READ)
    assert (await get(app_with(read=READ), "/api/status", headers=headers)).status == 200
