from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from meshtracker.errors import StartError
from meshtracker.storage.snapshot import SnapshotFile, load_or_set_aside
from meshtracker.storage.snapshot_format import encode
from tests.storage.support import START, fill, make_node


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "swarms.snapshot"


def save(path: Path, *, name: str = "a", swarms: int = 2) -> bytes:
    node = make_node(name, 7)
    fill(node, swarms=swarms, clients=3, now=START)
    file = SnapshotFile(path)
    for piece in encode(node, START):
        file.write(piece)
    file.commit()
    file.discard()
    return path.read_bytes()


def names(path: Path) -> set[str]:
    return {entry.name for entry in path.parent.iterdir()}


def test_what_was_saved_is_loaded(path: Path) -> None:
    save(path)
    snapshot = load_or_set_aside(path, name="a")
    assert snapshot is not None
    assert len(snapshot.swarms) == 2
    assert names(path) == {path.name}


def test_nothing_saved_is_nothing_loaded(path: Path) -> None:
    assert load_or_set_aside(path, name="a") is None


def test_only_the_owner_can_read_it(path: Path) -> None:
    path.with_name(f"{path.name}.new").touch(mode=0o666)  # left by a process that was killed
    save(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_until_it_is_complete_the_old_one_stands(path: Path) -> None:
    old = save(path, swarms=1)
    file = SnapshotFile(path)
    file.write(b"half of a snapshot")
    assert path.read_bytes() == old  # so does a process that is killed here leave it
    file.discard()
    file.discard()
    assert path.read_bytes() == old
    assert names(path) == {path.name}


def test_what_a_killed_process_left_is_no_hindrance(path: Path) -> None:
    path.with_name(f"{path.name}.new").write_bytes(b"half of a snapshot")
    save(path)
    assert load_or_set_aside(path, name="a") is not None
    assert names(path) == {path.name}


def test_a_full_disk_is_an_error_before_the_old_one_is_touched(path: Path) -> None:
    old = save(path)
    path.with_name(f"{path.name}.new").symlink_to("/dev/full")
    file = SnapshotFile(path)  # does not follow the link
    file.discard()
    assert Path("/dev/full").exists()
    assert path.read_bytes() == old


@pytest.mark.parametrize("damage", [b"", b"rubbish", None])
def test_a_damaged_one_is_set_aside(path: Path, damage: bytes | None) -> None:
    data = save(path)
    for number in (1, 2):
        path.write_bytes(data[:-1] if damage is None else damage)
        with capture_logs() as logs:
            assert load_or_set_aside(path, name="a") is None
        [entry] = logs
        assert entry["event"] == "snapshot not used: the node starts empty"
        assert entry["kept_as"].endswith(f".damaged-{number}")
        assert entry["reason"]
    assert names(path) == {f"{path.name}.damaged-1", f"{path.name}.damaged-2"}


def test_one_of_another_node_is_set_aside(path: Path) -> None:
    save(path, name="b")
    with capture_logs() as logs:
        assert load_or_set_aside(path, name="a") is None
    assert "of the node 'b', and this one is 'a'" in logs[0]["reason"]
    assert names(path) == {f"{path.name}.foreign-1"}


def test_one_that_cannot_be_set_aside_does_not_stop_the_start(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_bytes(b"rubbish")

    def rename(self: Path, target: Path) -> Path:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "rename", rename)
    with capture_logs() as logs:
        assert load_or_set_aside(path, name="a") is None
    assert logs[0]["event"] == "snapshot not used, nor set aside"


def test_one_that_may_not_be_opened_is_the_operators_fault(path: Path) -> None:
    path.symlink_to(path)
    with pytest.raises(StartError, match=r"node\.state_dir: .* cannot be read: "):
        load_or_set_aside(path, name="a")
