"""The tokens of a node, and the file with the one that it makes for its own user's commands."""

from __future__ import annotations

import os
import secrets
import tempfile
from pathlib import Path

import attrs

from meshtracker.errors import StartError

CONTROL_TOKEN_FILE = "control.token"  # noqa: S105 - where it is kept
_TOKEN_BYTES = 32


@attrs.frozen(kw_only=True)
class Tokens:
    """What callers of the admin API may present as bearers (RFC 6750); None: there is no such token."""

    read: str | None = attrs.field(default=None, repr=False)
    control: str | None = attrs.field(default=None, repr=False)
    """As configured; it may read as well."""
    own_control: str | None = attrs.field(default=None, repr=False)
    """Made by the node, for want of one that is configured."""

    @property
    def are_configured(self) -> bool:
        """Does the operator want to be asked for a token?"""
        return self.read is not None or self.control is not None


def write_control_token(state_dir: Path) -> str:
    """Make a new token and put it where `read_control_token` finds it, mode 0600. Raises `StartError`."""
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    path = state_dir / CONTROL_TOKEN_FILE
    try:
        number, temporary = tempfile.mkstemp(prefix=f".{CONTROL_TOKEN_FILE}.", dir=state_dir)
        try:
            with os.fdopen(number, "w") as file:
                file.write(f"{token}\n")
            # Whoever reads meanwhile finds the old one or the new one, never half of one.
            Path(temporary).replace(path)
        finally:
            Path(temporary).unlink(missing_ok=True)
    except OSError as error:
        raise StartError(f"{path}: {(error.strerror or str(error)).lower()}") from error
    return token


def read_control_token(state_dir: Path) -> str | None:
    """The token of the node that keeps its files there; None if it has made none. Raises `OSError`."""
    try:
        return (state_dir / CONTROL_TOKEN_FILE).read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return None
