"""What the package says of how it runs, and the list of what is compiled."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import find_spec
from pathlib import Path

import meshtracker.node.node
from meshtracker.compiled import execution, is_compiled

ROOT = Path(__file__).parent.parent


def listed(name: str) -> list[str]:
    """A list in setup.py, which cannot be imported without building something."""
    for node in ast.parse((ROOT / "setup.py").read_text()).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == name:
            return list(ast.literal_eval(node.value))
    raise AssertionError(f"setup.py has no {name}")


def test_it_says_how_it_runs() -> None:
    assert is_compiled() == (not meshtracker.node.node.__file__.endswith(".py"))
    assert execution() == ("compiled" if is_compiled() else "plain Python")


def test_every_hot_module_is_there_and_compiled_with_the_others() -> None:
    for name in listed("HOT"):
        source = ROOT / "meshtracker" / f"{name}.py"
        assert source.is_file(), f"setup.py names {name}"
        extensions = list(source.parent.glob(f"{source.stem}.cpython*"))
        assert bool(extensions) == is_compiled(), f"{name}: {extensions}"


def test_the_c_modules_are_there_where_the_others_are_compiled() -> None:
    for name in listed("IN_C"):
        assert (find_spec(f"meshtracker.{name.replace('/', '.')}") is not None) == is_compiled(), name


def test_it_says_if_something_could_not_be_compiled(tmp_path: Path) -> None:
    (tmp_path / "meshtracker/network").mkdir(parents=True)
    for name in ("__init__.py", "compiled.py", "network/__init__.py", "swarm/__init__.py", "swarm/swarm.py"):
        target = tmp_path / "meshtracker" / name
        target.parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / "meshtracker" / name, target)
    asked = [sys.executable, "-c", "from meshtracker.compiled import execution; print(execution())"]
    found = []
    for name in ("", *listed("IN_C")):
        if name:
            (tmp_path / "meshtracker" / f"{name}{EXTENSION_SUFFIXES[0]}").touch()
        said = subprocess.run(asked, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60)
        found.append(said.stdout.strip())
    assert found == ["plain Python", *["partly compiled"] * len(listed("IN_C"))]
