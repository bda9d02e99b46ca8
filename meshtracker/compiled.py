"""Whether the hot modules run compiled (`setup.py`) or as the plain Python that they are written in."""

from __future__ import annotations

from importlib.util import find_spec


def is_compiled() -> bool:
    """All of them are, or none: they are built together."""
    spec = find_spec("meshtracker.swarm.swarm")
    return spec is not None and spec.origin is not None and not spec.origin.endswith(".py")


def execution() -> str:
    """The same for people."""
    return "compiled" if is_compiled() else "plain Python"
