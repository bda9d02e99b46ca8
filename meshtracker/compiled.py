"""Whether the hot modules run compiled (`setup.py`) or as the plain Python that they are written in."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Final

_EACH_ITS_COMPILER: Final = ("swarm.swarm", "swarm._peers", "network._batch", "network._http")
"""One of those by mypyc, which are built together, and those in C: setup.py passes over what does not compile."""


def _compiled() -> list[bool]:
    specs = [find_spec(f"meshtracker.{name}") for name in _EACH_ITS_COMPILER]
    return [spec is not None and spec.origin is not None and not spec.origin.endswith(".py") for spec in specs]


def is_compiled() -> bool:
    """All of them?"""
    return all(_compiled())


def execution() -> str:
    """The same for people."""
    return "compiled" if is_compiled() else "partly compiled" if any(_compiled()) else "plain Python"
