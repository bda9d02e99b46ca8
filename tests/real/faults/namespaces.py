"""A test that changes the network or mounts runs once more in namespaces of its own, which vanish with it.

So nothing is left behind whatever becomes of the test, and root is not needed where users may make namespaces.
"""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

INSIDE = "MESHTRACKER_TEST_NAMESPACES"
"""In the environment of a test that is in namespaces of its own."""
INNER_TIMEOUT_SECONDS = 100
"""Less than any test may take (pyproject.toml), so that what this one said is still heard."""

_USER_NAMESPACE = () if os.geteuid() == 0 else ("--user", "--map-root-user")
_UNSHARE = ("unshare", *_USER_NAMESPACE, "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
# `ip netns` keeps its names in /run.
_PREPARE = 'mount -t tmpfs tmpfs /run && ip link set lo up && exec "$@"'
_PROBE = "ip tuntap add dev probe mode tun && ip netns add probe && ip netns exec probe nft list ruleset"


def is_inside() -> bool:
    """Does this process run in namespaces made for one test?"""
    return INSIDE in os.environ


@functools.cache
def what_is_missing() -> str:
    """Why this machine cannot run such tests; empty if it can."""
    done = _run(["sh", "-c", _PROBE], directory=None)
    if done.returncode == 0:
        return ""
    said = (done.stderr.strip() or done.stdout.strip()).splitlines()
    return f"no namespaces with TUN devices and nftables here: {said[-1] if said else f'exit code {done.returncode}'}"


def run_inside(test: str, *, root: Path, directory: Path) -> str:
    """Run one test by its node id; what it said if it failed, else empty."""
    options = ["-q", "-p", "no:cacheprovider", f"--basetemp={directory}", f"--timeout={INNER_TIMEOUT_SECONDS}"]
    command = [sys.executable, "-m", "pytest", *options, test]
    done = _run(command, directory=root)
    return "" if done.returncode == 0 else f"{done.stdout}\n{done.stderr}"


def _run(command: Sequence[str], *, directory: Path | None) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            [*_UNSHARE, "sh", "-c", _PREPARE, "sh", *command],
            cwd=directory,
            env={**os.environ, INSIDE: "1"},
            timeout=INNER_TIMEOUT_SECONDS + 10,
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError as error:
        return subprocess.CompletedProcess(error.filename, returncode=127, stdout="", stderr=str(error))
