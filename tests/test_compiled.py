"""What the package says of how it runs, and the list of what is compiled."""

from __future__ import annotations

import ast
from importlib.util import find_spec
from pathlib import Path

import meshtracker.node.node
from meshtracker.compiled import execution, is_compiled

ROOT = Path(__file__).parent.parent


def hot_modules() -> list[str]:
    """The list in setup.py, which cannot be imported without building something."""
    for node in ast.parse((ROOT / "setup.py").read_text()).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "HOT":
            return list(ast.literal_eval(node.value))
    raise AssertionError("setup.py has no HOT")


def test_it_says_how_it_runs() -> None:
    assert is_compiled() == (not meshtracker.node.node.__file__.endswith(".py"))
    assert execution() == ("compiled" if is_compiled() else "plain Python")


def test_every_hot_module_is_there_and_compiled_with_the_others() -> None:
    for name in hot_modules():
        source = ROOT / "meshtracker" / f"{name}.py"
        assert source.is_file(), f"setup.py names {name}"
        extensions = list(source.parent.glob(f"{source.stem}.cpython*"))
        assert bool(extensions) == is_compiled(), f"{name}: {extensions}"


def test_the_c_module_is_there_where_the_others_are_compiled() -> None:
    assert (find_spec("meshtracker.network._batch") is not None) == is_compiled()
