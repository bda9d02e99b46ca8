from __future__ import annotations

import stat
from pathlib import Path

import pytest
import trio

from meshtracker.cli.password import write_password
from meshtracker.errors import StartError
from meshtracker.settings import Secret


def test_a_new_password_is_fit_and_private(tmp_path: Path) -> None:
    first, second = tmp_path / "deep" / "a", tmp_path / "deep" / "b"
    assert write_password(first)
    assert write_password(second)
    assert stat.S_IMODE(first.stat().st_mode) == 0o600
    assert Secret.from_file(first) != Secret.from_file(second)


def test_one_that_is_there_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("mine\n")
    assert not write_password(path)
    assert path.read_text() == "mine\n"


def test_an_empty_file_is_none(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.touch(mode=0o644)
    assert write_password(path)
    assert Secret.from_file(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_of_several_at_once_one_writes(tmp_path: Path) -> None:
    path = tmp_path / "a"
    wrote: list[str] = []

    async def write() -> None:
        if await trio.to_thread.run_sync(write_password, path):
            wrote.append(content(path))

    async with trio.open_nursery() as nursery:
        for _ in range(10):
            nursery.start_soon(write)
    assert wrote == [content(path)]


def content(path: Path) -> str:
    return path.read_text()


def test_nothing_else_is_left_behind(tmp_path: Path) -> None:
    for _ in range(2):
        write_password(tmp_path / "a")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_where_it_cannot_be_is_said(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(StartError, match=r"/a: is a directory$"):
        write_password(tmp_path / "a")
    (tmp_path / "b").touch()
    with pytest.raises(StartError, match=r"/b/c: file exists$"):
        write_password(tmp_path / "b" / "c")
