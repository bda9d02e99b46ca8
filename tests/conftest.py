"""What all tests share: hypothesis profiles, and skips that count as failures where skips are forbidden."""

from __future__ import annotations

import os
from collections.abc import Generator
from typing import TypeVar

import hypothesis
import pytest

Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)

FORBID_SKIPS = os.environ.get("MESHTRACKER_FORBID_SKIPS") == "1"
"""Set in CI, where every machine is expected to have what the tests need."""

# A slow machine is no failure, so there is no deadline; CI tries the same examples each time, so that a red run is
# the change's doing.
hypothesis.settings.register_profile("default", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


def forbid_skip(report: Report) -> Report:
    """Turn a skip into a failure that says what was missing."""
    if FORBID_SKIPS and report.skipped:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longreprtext
        report.outcome = "failed"
        report.longrepr = f"skips are forbidden here (MESHTRACKER_FORBID_SKIPS=1): {reason}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    return forbid_skip((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    return forbid_skip((yield))
