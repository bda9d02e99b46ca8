"""A node that tells where its time goes: ``python -m tests.benchmarks.sampled FILE later run -c node.toml``.

Each 4 ms of CPU time it notes which of its parts is at work; SIGUSR1 begins that, and the next ends it and writes the
counts to FILE as JSON. With ``now`` in place of ``later`` it begins at once. Before that it costs nothing. Unlike
cProfile it does not slow down small functions.
"""

from __future__ import annotations

import json
import signal
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from meshtracker.cli import main

_SAMPLE_SECONDS = 0.004

_PARTS = (
    ("TLS", "ssl.py", ""),
    ("TLS", "trio/_ssl.py", ""),
    ("make a snapshot", "meshtracker/node/mesh.py", "snapshot"),
    ("make a snapshot", "meshtracker/swarm/", "snapshot"),
    ("merge rows", "meshtracker/swarm/", "apply"),
    ("merge rows", "meshtracker/swarm/registry.py", "merge"),
    ("decode", "meshtracker/swarm/", "read"),
    ("decode", "meshtracker/wire/", "records"),
    ("decode", "meshtracker/wire/", "groups"),
    ("decode", "meshtracker/wire/", "decode"),
    ("decode", "meshtracker/wire/", "inflate"),
    ("decode", "meshtracker/wire/", "feed"),
    ("encode batches", "meshtracker/node/mesh.py", "_append"),
    ("encode batches", "meshtracker/wire/", "encode"),
    ("merge rows", "meshtracker/node/mesh.py", "_apply"),
    ("expiry", "meshtracker/swarm/expiry.py", ""),
    ("snapshot file", "meshtracker/storage/", ""),
    ("announces", "meshtracker/network/udp.py", ""),
    ("being asked for figures", "hypercorn/", ""),
    ("sessions", "meshtracker/link/", ""),
    ("sessions", "meshtracker/network/", ""),
    ("trio", "trio/", ""),
)
"""What a sample counts for: the innermost frame that is in such a file, in a function whose name holds the word."""


def part_of(frame: FrameType | None) -> str:
    """The part of the program that is at work in a frame."""
    while frame is not None:
        code = frame.f_code
        for part, file, word in _PARTS:
            if file in code.co_filename and word in code.co_name:
                # A snapshot is made of the wire's encoders, but is more than they.
                return "make a snapshot" if part == "encode batches" and _within(frame, "snapshot") else part
        frame = frame.f_back
    return "other"


def _within(frame: FrameType, word: str) -> bool:
    caller: FrameType | None = frame
    while caller is not None:
        if word in caller.f_code.co_name and "mesh" in caller.f_code.co_filename:
            return True
        caller = caller.f_back
    return False


def install(path: Path) -> Callable[..., None]:
    """Begin and end at SIGUSR1, or when what is returned is called."""
    counts: Counter[str] = Counter()
    running = False

    def sample(_: int, frame: FrameType | None) -> None:
        counts[part_of(frame)] += 1

    def toggle(*_: object) -> None:
        nonlocal running
        running = not running
        signal.setitimer(signal.ITIMER_PROF, *([_SAMPLE_SECONDS] * 2 if running else [0, 0]))
        if not running:
            new = path.with_suffix(".new")
            new.write_text(json.dumps(counts))
            new.replace(path)
            counts.clear()

    signal.signal(signal.SIGPROF, sample)
    signal.signal(signal.SIGUSR1, toggle)
    return toggle


if __name__ == "__main__":
    toggle = install(Path(sys.argv[1]))
    if sys.argv[2] == "now":
        toggle()
    raise SystemExit(main(sys.argv[3:]))
