"""A file that comes, changes, is replaced and goes."""

from __future__ import annotations

from pathlib import Path

from meshtracker.storage.watched import Watched


def test_each_change_is_seen_once(tmp_path: Path) -> None:
    path = tmp_path / "list"
    watched = Watched(path)
    assert [watched.look(), watched.look()] == [True, False]
    path.write_text("one")
    assert [watched.look(), watched.look()] == [True, False]
    path.write_text("other")
    assert [watched.look(), watched.look()] == [True, False]
    replacement = tmp_path / "new"
    replacement.write_text("other")
    replacement.replace(path)
    assert [watched.look(), watched.look()] == [True, False]
    path.unlink()
    assert [watched.look(), watched.look()] == [True, False]
