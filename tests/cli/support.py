"""What the tests of commands share: the command line in this process, and configurations for it."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import attrs
import pytest
import trio

from meshtracker.cli import main

TOKEN = "correct horse battery staple"


@attrs.frozen
class Said:
    """How a command ended, and what it wrote."""

    code: int
    out: str
    err: str


class Command:
    """Runs the command line in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: str) -> Said:
        try:
            code = main(arguments)
        except SystemExit as exit_:
            code = int(exit_.code or 0)
        captured = self._capsys.readouterr()
        return Said(code, captured.out, captured.err)

    async def in_thread(self, *arguments: str) -> Said:
        """While nodes run in this thread."""
        return await trio.to_thread.run_sync(partial(self, *arguments))


def write_config(directory: Path, text: str) -> str:
    """The path of a configuration."""
    path = directory / "node.toml"
    path.write_text(text)
    return str(path)
