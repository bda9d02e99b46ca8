"""The command line in this process: help, configurations, and what it starts."""

from __future__ import annotations

import subprocess
import sys
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import meshtracker
from meshtracker.compiled import execution
from meshtracker.errors import StartError
from meshtracker.settings import Settings, load
from tests.cli.support import TOKEN, Command, Said, write_config


def replace_module(monkeypatch: pytest.MonkeyPatch, name: str, **attributes: Any) -> None:
    module = types.ModuleType(name)
    vars(module).update(attributes)
    monkeypatch.setitem(sys.modules, name, module)


# ---------------------------------------------------------------- help


def test_version(command: Command) -> None:
    assert command("--version") == Said(0, f"{meshtracker.__version__} ({execution()})\n", "")


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["run", "--help"], ["link", "status", "--help"], ["link", "reset", "--help"], ["config", "--help"]],
)
def test_help(command: Command, arguments: Sequence[str]) -> None:
    said = command(*arguments)
    assert said.code == 0
    assert said.out.startswith("Usage: meshtracker")


@pytest.mark.parametrize("arguments", [["bogus"], ["run"], ["config", "default", "bogus"], ["status", "--bogus"]])
def test_a_command_line_that_is_none(command: Command, arguments: Sequence[str]) -> None:
    said = command(*arguments)
    assert said.code == 2
    assert "Traceback" not in said.out + said.err


def test_what_is_heavy_is_not_imported_before_it_is_needed() -> None:
    code = "import sys, meshtracker.cli; print(*{'trio', 'hypercorn', 'starlette', 'cryptography'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


# ---------------------------------------------------------------- configuration


@pytest.mark.parametrize("kind", ["standalone", "hub", "leaf"])
def test_default_configurations(command: Command, kind: str) -> None:
    said = command("config", "default", kind)
    assert (said.code, said.err) == (0, "")
    assert "[tracker]" in said.out


def test_a_default_configuration_passes_the_check(command: Command, tmp_path: Path) -> None:
    path = write_config(tmp_path, command("config", "default").out)
    assert command("config", "check", "-c", path) == Said(0, f"{path}: ok\n", "")


@pytest.mark.parametrize(
    ("section", "key"),
    [
        ("tracker", 'access = "allow"\naccess_file'),
        ("link", 'listen = ["127.0.0.1:59100"]\npassword = "long enough a word"\ncredentials_file'),
    ],
)
def test_a_file_that_is_not_there_does_not_pass_the_check(
    command: Command, tmp_path: Path, section: str, key: str
) -> None:
    path = write_config(tmp_path, f'[{section}]\n{key} = "{tmp_path}/nowhere"\n')
    said = command("config", "check", "-c", path)
    assert (said.code, said.out) == (1, "")
    assert f"{tmp_path}/nowhere" in said.err


def test_a_wrong_configuration_is_told_line_by_line(command: Command, tmp_path: Path) -> None:
    path = write_config(tmp_path, "[tracker]\nnumwant_max = -1\nbogus = 1\n")
    for arguments in (
        ["config", "check"],
        ["config", "show"],
        ["run"],
        ["status"],
        ["link", "status"],
        ["link", "reset", "x"],
    ):
        said = command(*arguments, "-c", path)
        assert (said.code, said.out) == (2, "")
        assert f"{path}: tracker.numwant_max: must be" in said.err
        assert f"{path}: tracker.bogus: is no setting" in said.err


def test_show_masks_secrets_and_says_who_set_what(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_config(tmp_path, f'[admin]\nread_token = "{TOKEN}"\n')
    monkeypatch.setenv("MESHTRACKER__NODE__NAME", "somebody")
    said = command("config", "show", "-c", path)
    assert said.code == 0
    assert TOKEN not in said.out
    assert 'name = "somebody"  # from environment variable MESHTRACKER__NODE__NAME' in said.out


# ---------------------------------------------------------------- run, demo, password


def test_run_runs_the_node(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[Settings] = []
    replace_module(monkeypatch, "meshtracker.app", run=ran.append)
    path = write_config(tmp_path, '[node]\nname = "somebody"\n')
    assert command("run", "-c", path) == Said(0, "", "")
    assert ran == [load(Path(path), {})]


def test_a_node_that_cannot_start_says_why_in_one_line(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(settings: Settings) -> None:
        raise StartError("udp.listen 127.0.0.1:6969: address already in use")

    replace_module(monkeypatch, "meshtracker.app", run=run)
    said = command("run", "-c", write_config(tmp_path, ""))
    assert said == Said(1, "", "meshtracker: udp.listen 127.0.0.1:6969: address already in use\n")


def test_a_crash_is_not_hidden(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(settings: Settings) -> None:
        raise RuntimeError("a fault")

    replace_module(monkeypatch, "meshtracker.app", run=run)
    with pytest.raises(RuntimeError, match="a fault"):
        command("run", "-c", write_config(tmp_path, ""))


@pytest.mark.parametrize("code", [0, 1])
def test_the_demo_says_how_it_went(command: Command, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    asked: list[tuple[float | None, bool]] = []

    def run_demo(*, seconds: float | None, plain: bool) -> int:
        asked.append((seconds, plain))
        return code

    replace_module(monkeypatch, "meshtracker.demo", main=run_demo)
    assert command("demo").code == code
    assert command("demo", "--seconds", "2.5", "--plain").code == code
    assert asked == [(None, False), (2.5, True)]


@pytest.mark.parametrize("seconds", ["-1", "0", "nan", "inf"])
def test_the_demo_is_given_a_sensible_time(command: Command, monkeypatch: pytest.MonkeyPatch, seconds: str) -> None:
    def run_demo(*, seconds: float | None, plain: bool) -> int:
        raise AssertionError("it ran")

    replace_module(monkeypatch, "meshtracker.demo", main=run_demo)
    said = command("demo", f"--seconds={seconds}")
    assert said.code == 2
    assert "--seconds" in said.err


def test_password(command: Command, tmp_path: Path) -> None:
    path = tmp_path / "deep" / "mesh-password"
    assert command("password", str(path)) == Said(0, f"{path}: a new password\n", "")
    written = path.read_text()
    assert command("password", str(path)) == Said(0, f"{path}: has one already, left as it is\n", "")
    assert path.read_text() == written
    said = command("password", str(path / "below-a-file"))
    assert (said.code, said.out) == (1, "")
    assert said.err.startswith(f"meshtracker: {path}/below-a-file: ")
