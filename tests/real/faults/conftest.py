"""Tests that take the fixture ``namespaces`` run in namespaces of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.real.faults.namespaces import is_inside, run_inside, what_is_missing


@pytest.fixture
def namespaces() -> None:
    """The test may set up networks and mounts; skipped where that cannot be."""
    if not is_inside() and (missing := what_is_missing()):
        pytest.skip(missing)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if "namespaces" not in pyfuncitem.fixturenames or is_inside():
        return None
    tmp_path = pyfuncitem.funcargs["tmp_path"]
    assert isinstance(tmp_path, Path)
    directory = tmp_path / "inside"
    if said := run_inside(pyfuncitem.nodeid, root=pyfuncitem.config.rootpath, directory=directory):
        pytest.fail(said, pytrace=False)
    return True
