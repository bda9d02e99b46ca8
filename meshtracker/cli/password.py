"""A file with a new password in it."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from meshtracker.errors import StartError

PASSWORD_BYTES = 32
"""Of randomness: nobody types it, so it may as well be out of reach of any guessing."""


def write_password(path: Path) -> bool:
    """Write a new password to ``path``, mode 0600; False if there is something in it already.

    Of several that do so at once one writes, and none replaces what another wrote. Raises `StartError`.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            if path.stat().st_size:
                return False
            path.unlink()  # what a process that was killed in between left
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(f"{secrets.token_urlsafe(PASSWORD_BYTES)}\n")
    except FileExistsError:
        return False
    except OSError as error:
        raise StartError(f"{path}: {error.strerror}") from error
    return True
