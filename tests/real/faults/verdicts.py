"""What nodes said of a fault, and when: their log lines that name a rule."""

from __future__ import annotations

import datetime as dt
import json
import re
import time
from collections.abc import Iterable, Iterator
from typing import Any

import attrs

from tests.real.mesh import Node
from tests.real.processes import Program

_VERDICT = re.compile(r"link (?P<link>\S+): soft-split \((?P<rule>\w+)\)")
"""Its own verdict; what the other end found is told as the reason of an end."""


@attrs.frozen
class Verdict:
    """One log line about one link."""

    node: str
    link: str
    """Name of the other end."""
    rule: str
    seconds: float
    """Since the watch began."""
    text: str


class Watch:
    """From now on, what do these nodes find?"""

    def __init__(self, nodes: Iterable[Node]) -> None:
        self._programs = [(node.name, node.program) for node in nodes]
        self._began = time.time()

    def verdicts(self) -> list[Verdict]:
        """All so far, those of one node in order."""
        return [verdict for name, program in self._programs for verdict in self._of(name, program)]

    def _of(self, node: str, program: Program) -> Iterator[Verdict]:
        for line in log_lines(program):
            seconds = dt.datetime.fromisoformat(line["timestamp"]).timestamp() - self._began
            said = _VERDICT.match(line["event"])
            if said and seconds > 0:
                yield Verdict(node, said["link"], said["rule"], seconds, line["event"])


def log_lines(program: Program) -> Iterator[dict[str, Any]]:
    """The whole lines of a log in JSON."""
    for line in program.log.read_text(errors="replace").splitlines(keepends=True):
        if line.startswith("{") and line.endswith("}\n"):
            yield json.loads(line)
