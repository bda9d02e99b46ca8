"""The house rules of docs/architecture.md, walked in the syntax trees of every module."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "meshtracker"
TESTS = ROOT / "tests"

LAYERS = (
    {"__init__", "compiled", "model", "errors", "throttle"},
    {"wire"},
    {"swarm", "link"},
    {"node"},
    {"network", "admin", "storage", "frontends"},
    {"app"},
    {"demo"},
    {"cli"},
    {"__main__"},
)
"""From the ground up: a part imports from the layers below its own, never from its own layer's other parts."""

BESIDE = {"settings": {"model", "errors"}, "client": {"wire", "model", "errors"}}
"""Parts beside the tower, with all that they may import."""

USERS = {"settings": {"app", "demo", "cli"}, "client": {"demo", "cli"}}
"""Who may import the parts beside the tower."""

IMPURE = {"network", "admin", "storage", "client", "app", "demo", "cli", "__main__"}
"""Who may wait, look at a clock and be random; everybody else gets ``now`` and ``rng``."""

IMPURE_MODULES = {"asyncio", "selectors", "select", "subprocess", "threading", "time", "trio"}
IMPURE_CALLS = {"datetime.now", "datetime.utcnow", "datetime.today", "date.today", "socket.socket", "os.urandom"}

UNTWINNED = {
    "__main__": "one line: runs cli",
    "model": "data without behaviour",
    "errors": "data without behaviour",
    "link/policy": "data without behaviour",
    "link/transitions": "a table: tests/link/test_session.py walks it",
    "link/statistics": "data without behaviour",
    "link/replica": "a protocol: node/mesh implements it, link/session is tested with it",
}
"""Modules without a test of their own, with the reason."""

MODULES = sorted(PACKAGE.rglob("*.py"))


def name_of(path: Path) -> str:
    """``link/session`` for ``meshtracker/link/session.py``."""
    return path.relative_to(PACKAGE).with_suffix("").as_posix()


def part_of(name: str) -> str:
    """The top-level module or sub-package of ``link/session``, ``meshtracker.link.session``, ``link``."""
    return name.removeprefix("meshtracker.").replace(".", "/").partition("/")[0]


def imported_parts(tree: ast.AST) -> Iterator[str]:
    """The parts of the package that a module imports, wherever in it."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                modules = [alias.name for alias in names]
            case ast.ImportFrom(module="meshtracker", names=names):
                modules = [f"meshtracker.{alias.name}" for alias in names]
            case ast.ImportFrom(module=str(module), level=0):
                modules = [module]
            case ast.ImportFrom(level=level) if level:
                raise AssertionError(f"line {node.lineno}: imports are absolute, so that they can be read and walked")
            case _:
                continue
        for module in modules:
            if module == "meshtracker":
                yield "__init__"
            elif module.startswith("meshtracker."):
                part = part_of(module)
                yield part if part != "__version__" else "__init__"


def allowed_parts(part: str) -> set[str]:
    """All that ``part`` may import of the package, itself included."""
    if part in BESIDE:
        return {part, "__init__"} | BESIDE[part]
    [level] = [level for level, layer in enumerate(LAYERS) if part in layer]
    below = set().union(*LAYERS[:level])
    return below | {part} | {beside for beside, users in USERS.items() if part in users}


def impurities(tree: ast.AST) -> Iterator[str]:
    """What a module below the I/O packages must not hold, each with its line."""
    for node in ast.walk(tree):
        match node:
            case ast.Await() | ast.AsyncFunctionDef() | ast.AsyncFor() | ast.AsyncWith():
                yield f"line {node.lineno}: {type(node).__name__}"
            case ast.Import(names=names):
                yield from (
                    f"line {node.lineno}: import {alias.name}"
                    for alias in names
                    if alias.name.partition(".")[0] in IMPURE_MODULES
                )
            case ast.ImportFrom(module=str(module), names=names):
                if module.partition(".")[0] in IMPURE_MODULES:
                    yield f"line {node.lineno}: from {module} import"
                elif module == "random" and {alias.name for alias in names} != {"Random"}:
                    yield f"line {node.lineno}: from random import: only Random, as a type"
            case ast.Call(func=ast.Attribute() as function):
                called = ast.unparse(function)
                if called in IMPURE_CALLS or called.startswith("datetime.datetime."):
                    yield f"line {node.lineno}: {called}()"
                elif called.startswith("random.") and not (called == "random.Random" and node.args):
                    yield f"line {node.lineno}: {called}(): global randomness"


def test_every_part_has_its_place() -> None:
    placed = set().union(*LAYERS, BESIDE)
    assert {part_of(name_of(path)) for path in MODULES} <= placed


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_go_downward(path: Path) -> None:
    part = part_of(name_of(path))
    assert set(imported_parts(ast.parse(path.read_text()))) <= allowed_parts(part)


@pytest.mark.parametrize("path", [path for path in MODULES if part_of(name_of(path)) not in IMPURE], ids=name_of)
def test_only_the_io_packages_wait_look_at_clocks_and_throw_dice(path: Path) -> None:
    assert list(impurities(ast.parse(path.read_text()))) == []


@pytest.mark.parametrize(
    "path", [path for path in MODULES if path.name != "__init__.py" and name_of(path) not in UNTWINNED], ids=name_of
)
def test_every_module_has_its_test(path: Path) -> None:
    relative = path.relative_to(PACKAGE)
    assert (TESTS / relative.parent / f"test_{relative.name}").is_file()


def test_the_link_and_the_swarms_know_nothing_of_each_other() -> None:
    """What a link carries is in tables: `node.tables` puts both together."""
    for one, other in (("link", "swarm"), ("swarm", "link")):
        assert other not in allowed_parts(one)
        assert not allowed_parts(one) & {"node", "network", "storage", "app"}
    allowed = {name for name in map(name_of, MODULES) if {"link", "swarm"} <= allowed_parts(part_of(name))}
    assert "node/tables" in allowed


def test_no_session_knows_a_table_by_name() -> None:
    """A record of one kind is read and written by its table alone, but for `link/outbox`, which collects peers."""
    for path in MODULES:
        if part_of(name_of(path)) in {"link", "network"} and name_of(path) != "link/outbox":
            source = path.read_text()
            assert "peer_record" not in source
            assert "completed_record" not in source


def test_exceptions_are_still_needed() -> None:
    assert {name_of(path) for path in MODULES} >= UNTWINNED.keys()


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import random\n\ndef pick(rng: random.Random) -> float:\n    return rng.random()", False),
        ("import random\nrandom.Random(7)", False),
        ("import random\nrandom.Random()", True),
        ("import random\nrandom.random()", True),
        ("from random import choice", True),
        ("import time", True),
        ("from time import monotonic", True),
        ("import trio.socket", True),
        ("async def f(): ...", True),
        ("import datetime\ndatetime.datetime.now()", True),
    ],
)
def test_impurities_are_found(*, source: str, found: bool) -> None:
    assert bool(list(impurities(ast.parse(source)))) is found


@pytest.mark.parametrize(
    ("source", "parts"),
    [
        ("from meshtracker import __version__", {"__init__"}),
        ("from meshtracker import link", {"link"}),
        ("from meshtracker.link.session import Session", {"link"}),
        ("from meshtracker.link.proof.handshake import Handshake", {"link"}),
        ("def f():\n    import meshtracker.app", {"app"}),
        ("import trio", set()),
    ],
)
def test_imports_are_found(source: str, parts: set[str]) -> None:
    assert set(imported_parts(ast.parse(source))) == parts
