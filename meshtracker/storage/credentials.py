"""The file of `link.credentials`: replaced whole or not at all, and read again when it was.

Everything here blocks. Errors are `StartError` naming the file, and the line where one is wrong.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from meshtracker.errors import StartError
from meshtracker.link.proof.credentials import CredentialList
from meshtracker.storage.watched import Watched

MAX_FILE_BYTES = 4 * 1024 * 1024
"""About 25,000 nodes."""


class CredentialsFile:
    """One file as a hub follows it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._watched = Watched(path)

    def read(self) -> CredentialList:
        """What is in it now. Raises `StartError`."""
        self._watched.look()
        return _read(self._path)

    def read_if_changed(self) -> CredentialList | None:
        """What is in it now, if it was touched since the last read, be that one good or bad. Raises `StartError`."""
        return _read(self._path) if self._watched.look() else None


def edit(path: Path, change: Callable[[CredentialList | None], CredentialList]) -> CredentialList:
    """Replace the file, mode 0600, by what ``change`` makes of its list (None: there is no file); one at a time.

    It keeps its owner, so that the node can read what the administrator wrote. Raises `StartError`.
    """
    path = path.resolve()
    try:
        with _only_one(path.parent):
            listed = change(_read(path) if path.exists() else None)
            _replace(path, listed.to_text())
    except OSError as error:
        raise StartError(f"{path}: {(error.strerror or str(error)).lower()}") from error
    return listed


def _read(path: Path) -> CredentialList:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
        if len(data) > MAX_FILE_BYTES:
            raise ValueError(f"it is larger than {MAX_FILE_BYTES} bytes")
        return CredentialList.parse(data.decode())
    except OSError as error:
        raise StartError(f"{path}: {(error.strerror or str(error)).lower()}") from error
    except UnicodeDecodeError:
        raise StartError(f"{path}: it is not text") from None
    except ValueError as error:
        raise StartError(f"{path}: {error}") from error


@contextmanager
def _only_one(directory: Path) -> Iterator[None]:
    """Wait until nobody else edits in that directory: of two changes at once the first must not be lost."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _replace(path: Path, text: str) -> None:
    number, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(number, "w") as file:
            file.write(text)
            file.flush()
            if path.exists():
                os.fchown(number, path.stat().st_uid, path.stat().st_gid)
            os.fsync(number)
        Path(temporary).replace(path)
    finally:
        Path(temporary).unlink(missing_ok=True)
