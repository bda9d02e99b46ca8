"""A slow and steady stream of announces, to see how long a server keeps a client waiting while it does other things."""

from __future__ import annotations

import array
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs

from tests.benchmarks.members import BenchmarkError
from tests.benchmarks.servers import HOST, LOAD_CORE, PORT, REPOSITORY

RATE = 1000
"""Announces a second: a stall of a few milliseconds is seen, and hardly any work is given."""
CLIENTS, TORRENTS = 1000, 100
END_SECONDS = 30.0


@attrs.define
class Seen:
    """What the clients saw; all of it is there once the block has ended."""

    samples: array.array[float] = attrs.field(factory=lambda: array.array("d"))
    """Pairs: when an announce was sent (Unix time), and the seconds to its answer."""

    def between(self, since: float, until: float) -> list[float]:
        """Milliseconds to the answers of what was sent then, in order of size."""
        sent, took = self.samples[::2], self.samples[1::2]
        return sorted(1000 * seconds for at, seconds in zip(sent, took, strict=True) if since <= at <= until)

    def longest_ms(self, since: float, until: float) -> float:
        """The longest time to an answer."""
        found = self.between(since, until)
        if not found:
            raise BenchmarkError("nothing was announced meanwhile")
        return found[-1]


@contextmanager
def steady() -> Iterator[Seen]:
    """Announce as long as the block lasts; see `announcer`, which takes the kernel's word on when an answer came."""
    seen = Seen()
    with tempfile.TemporaryDirectory(prefix="mt-") as folder:
        samples = Path(folder) / "samples"
        command = ["taskset", "-c", LOAD_CORE, sys.executable, "-m", "tests.benchmarks.announcer", f"{HOST}:{PORT}"]
        command += ["--rate", str(RATE), "--clients", str(CLIENTS), "--torrents", str(TORRENTS)]
        command += ["--samples", str(samples)]
        with subprocess.Popen(command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            try:
                if not process.stdout.readline():
                    raise BenchmarkError("the clients could not announce")
                yield seen
                output, _ = process.communicate(timeout=END_SECONDS)
            finally:
                process.kill()
        if (errors := json.loads(output)["errors"]) > 0:
            raise BenchmarkError(f"{errors} announces were refused")
        seen.samples.frombytes(samples.read_bytes())


def watch(seconds: float) -> tuple[float, float]:
    """Let a while pass; its bounds in Unix time."""
    begun = time.time()
    time.sleep(seconds)
    return begun, time.time()
