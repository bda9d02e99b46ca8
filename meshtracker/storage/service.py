"""Writes a node's snapshot now and then, and once more at its end, while announces go on."""

from __future__ import annotations

from pathlib import Path

import attrs
import structlog
import trio

from meshtracker.node.node import Node
from meshtracker.storage.snapshot import SnapshotFile
from meshtracker.storage.snapshot_format import encode

_log = structlog.get_logger()


@attrs.frozen(kw_only=True)
class SnapshotStatistics:
    """What was written since the start."""

    saved: int
    failed: int
    saved_bytes: int
    """Size of the last one."""
    saved_duration_seconds: float
    """How long the last one took."""
    saved_seconds_ago: float
    """Since the last one was begun, which is what a power cut would lose; since the start if there is none."""
    error: str
    """Why the last attempt failed; empty if it did not."""


class SnapshotService:
    """Keeps one file up to date with one node."""

    def __init__(self, node: Node, path: Path, *, interval_seconds: float) -> None:
        self._node = node
        self._path = path
        self._interval_seconds = interval_seconds
        self._lock = trio.Lock()
        self._saved = self._failed = self._saved_bytes = 0
        self._saved_duration_seconds = 0.0
        self._saved_at = trio.current_time()
        self._error = ""

    async def run(self) -> None:
        """Save once an interval until cancelled."""
        begun = trio.current_time()
        while True:
            await trio.sleep_until(begun + self._interval_seconds)
            begun = trio.current_time()
            await self.save()

    async def save(self) -> bool:
        """Write a snapshot; False if that failed, which is logged and leaves the file as it was."""
        async with self._lock:
            begun = trio.current_time()
            try:
                self._saved_bytes = await self._write()
            except OSError as error:
                self._failed += 1
                self._error = error.strerror or str(error)
                _log.error("snapshot not saved, the last one stands", file=str(self._path), reason=self._error)
                return False
            self._saved += 1
            self._saved_at = begun
            self._saved_duration_seconds = trio.current_time() - begun
            self._error = ""
            return True

    def statistics(self, now: float) -> SnapshotStatistics:
        """A frozen snapshot of the figures."""
        return SnapshotStatistics(
            saved=self._saved,
            failed=self._failed,
            saved_bytes=self._saved_bytes,
            saved_duration_seconds=self._saved_duration_seconds,
            saved_seconds_ago=now - self._saved_at,
            error=self._error,
        )

    async def _write(self) -> int:
        """Make the file piece by piece: only making a piece keeps announces waiting, the disk does not."""
        size = 0
        file = await trio.to_thread.run_sync(SnapshotFile, self._path)
        try:
            for piece in encode(self._node, trio.current_time()):
                await trio.to_thread.run_sync(file.write, piece)
                size += len(piece)
            await trio.to_thread.run_sync(file.commit)
        finally:
            file.discard()
        return size
