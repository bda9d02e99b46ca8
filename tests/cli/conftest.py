"""The command line, without settings from the environment of whoever runs the tests."""

from __future__ import annotations

import pytest

from tests.cli.support import Command


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    for name in ("NODE__NAME", "NODE__STATE_DIR", "ADMIN__LISTEN", "ADMIN__READ_TOKEN", "ADMIN__CONTROL_TOKEN"):
        monkeypatch.delenv(f"MESHTRACKER__{name}", raising=False)
    return Command(capsys)
