"""The snapshot file: replaced whole or not at all, verified whole before anything of it is used.

Everything here blocks; `storage.service` calls it in threads while the node serves.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import structlog

from meshtracker.errors import SnapshotDamagedError, StartError
from meshtracker.storage.snapshot_format import Snapshot, decode

_log = structlog.get_logger()


class SnapshotFile:
    """A snapshot in the making, beside the one it will replace. Raises OSError, and then the old one stands."""

    def __init__(self, path: Path) -> None:
        """``path`` is where the snapshot will be; only its directory must exist."""
        self._path = path
        self._new_path = path.with_name(f"{path.name}.new")
        self._file = _create(self._new_path)

    def write(self, piece: bytes) -> None:
        """Append a piece."""
        self._file.write(piece)

    def commit(self) -> None:
        """Put the snapshot in its place, so that also a power cut leaves the old one or this one."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._new_path.replace(self._path)
        _sync_directory(self._path.parent)

    def discard(self) -> None:
        """Leave nothing behind; after `commit` there is nothing to leave."""
        if not self._file.closed:
            with suppress(OSError):  # closing writes what is still buffered, and the disk may be full
                self._file.close()
            self._new_path.unlink(missing_ok=True)


def _create(path: Path) -> BinaryIO:
    """An empty file that only the node's user can read: peers' addresses are nobody else's business."""
    path.unlink(missing_ok=True)  # of a process that was killed, perhaps with other permissions
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb")


def _sync_directory(path: Path) -> None:
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def load_or_set_aside(path: Path, *, name: str) -> Snapshot | None:
    """The snapshot of the node ``name``; None if there is none that can be used.

    One that is damaged, or is of another node, is renamed to ``<file>.damaged-<n>`` or ``<file>.foreign-<n>`` and
    logged, and the node starts empty. Raises `StartError` if the file is there but may not be opened.
    """
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StartError(f"node.state_dir: {path} cannot be read: {error.strerror}") from error
    try:
        with file:
            snapshot = decode(file.read())
    except SnapshotDamagedError as error:
        _set_aside(path, "damaged", reason=str(error))
        return None
    except OSError as error:  # a bad sector
        _set_aside(path, "damaged", reason=f"it cannot be read: {error.strerror}")
        return None
    if snapshot.name != name:
        _set_aside(path, "foreign", reason=f"it is of the node {snapshot.name!r}, and this one is {name!r} (node.name)")
        return None
    return snapshot


def _set_aside(path: Path, kind: str, *, reason: str) -> None:
    number = 1
    while (aside := path.with_name(f"{path.name}.{kind}-{number}")).exists():
        number += 1
    try:
        path.rename(aside)
    except OSError as error:
        _log.error("snapshot not used, nor set aside", file=str(path), reason=reason, rename=error.strerror)
    else:
        _log.error("snapshot not used: the node starts empty", file=str(path), reason=reason, kept_as=str(aside))
