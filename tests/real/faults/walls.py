"""The wall clock of one process, which a test sets at will: libfaketime, told by a file that it reads again each time.

Only ``CLOCK_REALTIME`` is false: timers run as they do without it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import attrs
import pytest

DAY_SECONDS = 86_400


@attrs.frozen
class WallClock:
    """What time it is for the processes that run in its environment."""

    file: Path

    def set_off(self, seconds: int) -> None:
        """From now on it is as many seconds ahead; behind, if they are negative."""
        # Never half a file: it is read at any moment.
        fresh = self.file.with_suffix(".new")
        fresh.write_text(f"{seconds:+d}\n")
        fresh.replace(self.file)

    @property
    def environment(self) -> Mapping[str, str]:
        """What a process is to be started with."""
        return {
            "LD_PRELOAD": str(_library()),
            "FAKETIME_TIMESTAMP_FILE": str(self.file),
            "FAKETIME_NO_CACHE": "1",
            # It goes by the one name or the other, depending on its version.
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",
            # Its remedy for an older glibc ends timed waits at once: threads that wait for Python's lock would spin.
            "FAKETIME_FORCE_MONOTONIC_FIX": "0",
            "NO_FAKE_STAT": "1",
        }


def make_wall_clock(file: Path) -> WallClock:
    """One that is right, for now. Skips the test on a machine that lacks libfaketime."""
    clock = WallClock(file)
    clock.set_off(0)
    return clock


def _library() -> Path:
    for directory in (Path("/usr/lib"), Path("/usr/local/lib"), Path("/usr/lib64")):
        for library in sorted(directory.glob("**/faketime/libfaketime.so.1")):
            return library
    pytest.skip("libfaketime is not installed")
