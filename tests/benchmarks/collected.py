"""A node that times its garbage collector: ``python collected.py FILE run -c node.toml``.

It is run as a file: which package is measured depends on the path that modules are looked for in.
SIGUSR1 begins anew; SIGUSR2 collects everything, as the node does once an hour, and writes what was seen to FILE.
"""

from __future__ import annotations

import gc
import json
import signal
import sys
import time
from pathlib import Path

import attrs

from meshtracker.cli import main


@attrs.define
class Pauses:
    """Of one generation."""

    count: int = 0
    longest_seconds: float = 0.0
    total_seconds: float = 0.0


class Collected:
    """Told by the collector when it begins and ends."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._begun = 0.0
        self._generations = [Pauses() for _ in range(3)]

    def install(self) -> None:
        """Begin, and listen for the signals."""
        gc.callbacks.append(self._note)
        signal.signal(signal.SIGUSR1, self._restart)
        signal.signal(signal.SIGUSR2, self._finish)

    def _note(self, phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            self._begun = time.perf_counter()
            return
        seconds = time.perf_counter() - self._begun
        pauses = self._generations[info["generation"]]
        pauses.count += 1
        pauses.total_seconds += seconds
        pauses.longest_seconds = max(pauses.longest_seconds, seconds)

    def _restart(self, *_: object) -> None:
        self._generations = [Pauses() for _ in range(3)]

    def _finish(self, *_: object) -> None:
        gc.collect()
        new = self._path.with_suffix(".new")
        new.write_text(json.dumps([attrs.asdict(pauses) for pauses in self._generations]))
        new.replace(self._path)


if __name__ == "__main__":
    Collected(Path(sys.argv[1])).install()
    raise SystemExit(main(sys.argv[2:]))
