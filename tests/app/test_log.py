"""One event a line, on standard error."""

from __future__ import annotations

import json
from collections.abc import Iterator

import attrs
import pytest
import structlog

from meshtracker.app.log import configure_log
from meshtracker.settings import default


@pytest.fixture(autouse=True)
def _restore() -> Iterator[None]:
    yield
    structlog.reset_defaults()


def test_json_lines(capsys: pytest.CaptureFixture[str]) -> None:
    configure_log(attrs.evolve(default().log, format="json", level="warning"))
    log = structlog.get_logger()
    log.info("not this")
    log.warning("link of a stranger ended", peer="127.0.0.1:1")
    written = capsys.readouterr()
    [line] = written.err.splitlines()
    entry = json.loads(line)
    assert entry.pop("timestamp")
    assert entry == {"event": "link of a stranger ended", "peer": "127.0.0.1:1", "level": "warning"}
    assert written.out == ""


def test_console_lines(capsys: pytest.CaptureFixture[str]) -> None:
    configure_log(default().log)
    structlog.get_logger().info("serving", node="hub")
    [line] = capsys.readouterr().err.splitlines()
    assert "serving" in line
    assert "node=hub" in line
