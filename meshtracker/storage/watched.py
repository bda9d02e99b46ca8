"""A file that others replace while the node runs."""

from __future__ import annotations

from pathlib import Path


class Watched:
    """Tells whether a file was touched since the last look."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: object = None

    def look(self) -> bool:
        """Was it touched, came or went? True at the first look. Blocks."""
        before, self._stamp = self._stamp, self._read_stamp()
        return self._stamp != before

    def _read_stamp(self) -> object:
        try:
            status = self._path.stat()
        except OSError as error:
            return error.errno
        # The time of a change of owner or mode too: it may be what makes the file readable again.
        return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
