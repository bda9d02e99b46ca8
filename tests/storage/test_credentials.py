"""The file of a hub's nodes: written whole, for its owner alone, by one at a time."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from meshtracker.errors import StartError
from meshtracker.link.proof.credentials import MIN_ITERATIONS, CredentialList
from meshtracker.storage import credentials
from meshtracker.storage.credentials import CredentialsFile, edit

EMPTY = CredentialList(b"0123456789abcdef", MIN_ITERATIONS)


def revoking(name: str) -> Callable[[CredentialList | None], CredentialList]:
    return lambda listed: (listed or EMPTY).without(name)


def test_an_edit_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "credentials"
    assert edit(path, revoking("a")) == EMPTY.without("a")
    assert edit(path, revoking("b")) == CredentialsFile(path).read() == EMPTY.without("a").without("b")
    assert [file.name for file in tmp_path.iterdir()] == ["credentials"]


def test_it_is_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "credentials"
    edit(path, revoking("a"))
    path.chmod(0o644)
    edit(path, revoking("b"))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def another_owner(path: Path) -> tuple[int, int]:
    """To whom a file may be given: by root to anybody, by everybody else to one of their own groups."""
    if os.getuid() == 0:
        return 12345, 23456
    groups = [group for group in os.getgroups() if group != path.stat().st_gid]
    return os.getuid(), next(iter(groups), os.getgid())


def test_it_stays_its_owners(tmp_path: Path) -> None:
    path = tmp_path / "credentials"
    edit(path, revoking("a"))
    owner = another_owner(path)
    os.chown(path, *owner)
    edit(path, revoking("b"))
    assert (path.stat().st_uid, path.stat().st_gid) == owner


def test_a_file_elsewhere_stays_there(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "deep" / "credentials")
    edit(link, revoking("a"))
    assert link.is_symlink()
    assert CredentialsFile(tmp_path / "deep" / "credentials").read() == EMPTY.without("a")


async def test_of_many_changes_at_once_none_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "credentials"
    async with trio.open_nursery() as nursery:
        for number in range(20):
            nursery.start_soon(trio.to_thread.run_sync, edit, path, revoking(f"leaf-{number}"))
    assert len(CredentialsFile(path).read().entries) == 20


def test_a_change_that_fails_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "credentials"
    edit(path, revoking("a"))
    path.write_text(path.read_text() + "x\n")
    before = path.read_bytes()
    with pytest.raises(StartError, match=r"/credentials: line 5: something follows the last line$"):
        edit(path, revoking("b"))
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["credentials"]


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "credentials"
    with pytest.raises(StartError, match=r"/credentials: no such file or directory$"):
        CredentialsFile(path).read()
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(StartError, match=r"/credentials: it is not text$"):
        CredentialsFile(path).read()
    path.write_bytes(b"#" * (credentials.MAX_FILE_BYTES + 1))
    with pytest.raises(StartError, match=r"/credentials: it is larger than 4194304 bytes$"):
        CredentialsFile(path).read()
    with pytest.raises(StartError, match=r"/missing/credentials: no such file or directory$"):
        edit(tmp_path / "missing" / "credentials", revoking("a"))
    with pytest.raises(StartError, match=r": is a directory$"):
        edit(tmp_path, revoking("a"))


def test_it_is_read_again_once_after_each_change(tmp_path: Path) -> None:
    path = tmp_path / "credentials"
    edit(path, revoking("a"))
    file = CredentialsFile(path)
    assert file.read_if_changed() == EMPTY.without("a")
    assert file.read_if_changed() is None
    edit(path, revoking("b"))
    assert file.read_if_changed() == EMPTY.without("a").without("b")
    assert file.read_if_changed() is None


def test_what_is_wrong_is_said_once(tmp_path: Path) -> None:
    path = tmp_path / "credentials"
    edit(path, revoking("a"))
    whole = path.read_text()
    file = CredentialsFile(path)
    file.read()
    for half in (whole[: len(whole) // 2], ""):
        path.write_text(half)
        with pytest.raises(StartError, match=r"it ends too early|expected"):
            file.read_if_changed()
        assert file.read_if_changed() is None
    path.unlink()
    with pytest.raises(StartError, match="no such file"):
        file.read_if_changed()
    assert file.read_if_changed() is None
    path.write_text(whole)
    assert file.read_if_changed() == EMPTY.without("a")


def test_a_change_of_mode_is_a_change(tmp_path: Path) -> None:
    """It may be what lets the node read it."""
    path = tmp_path / "credentials"
    edit(path, revoking("a"))
    file = CredentialsFile(path)
    file.read()
    # Times on disk are some milliseconds coarse: wait until they have moved on.
    stamp = path.stat().st_ctime_ns
    while path.stat().st_ctime_ns == stamp:
        path.chmod(0o640)
    assert file.read_if_changed() == EMPTY.without("a")
