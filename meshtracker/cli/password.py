"""A file with a new password in it."""

from __future__ import annotations

import errno
import os
import secrets
import tempfile
from pathlib import Path

from meshtracker.errors import StartError

PASSWORD_BYTES = 32
"""Of randomness: nobody types it, so it may as well be out of reach of any guessing."""


def make_password() -> str:
    """A new one."""
    return secrets.token_urlsafe(PASSWORD_BYTES)


def write_password(path: Path) -> bool:
    """Write a new password to ``path``, mode 0600; False if there is something in it already.

    Of several that do so at once one writes, and none replaces what another wrote. Raises `StartError`.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        return not _has_content(path) and _write_once(path)
    except OSError as error:
        raise StartError(f"{path}: {(error.strerror or str(error)).lower()}") from error


def _has_content(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0


def _write_once(path: Path) -> bool:
    # A link appears with the whole password behind it, or not at all if somebody was faster.
    number, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(number, "w") as file:
            file.write(f"{make_password()}\n")
        try:
            os.link(temporary, path)
        except FileExistsError:
            if _has_content(path):
                return False
            Path(temporary).replace(path)
        return True
    finally:
        Path(temporary).unlink(missing_ok=True)
