"""A disk that is full under the snapshot: the node serves on, says so, and saves once there is room again."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from pathlib import Path

import pytest
import trio

from meshtracker.app.run import SNAPSHOT_FILE
from tests.real.faults.crowd import crowd_at
from tests.real.faults.figures import Figures, record
from tests.real.faults.meshes import plan_three, run_three
from tests.real.faults.trial import assert_served
from tests.real.faults.verdicts import log_lines
from tests.real.mesh import Node
from tests.real.plan import agree
from tests.real.processes import wait_until

pytestmark = [pytest.mark.real, pytest.mark.long, pytest.mark.usefixtures("namespaces")]

DISK_BYTES = 262_144
SAVE_SECONDS = 10.0


async def wait_snapshot(node: Node, *, is_error: bool) -> str:
    """Until the last attempt to save failed, or did not; the error."""
    error = ""

    async def is_so() -> bool:
        nonlocal error
        status = await node.status()
        if not status:
            return False
        error = status["services"]["snapshot"]["error"]
        return bool(error) is is_error

    await wait_until(is_so, within_seconds=SAVE_SECONDS, otherwise=node.program.tail)
    return error


async def test_a_full_disk_costs_no_client_and_no_snapshot_for_good(tmp_path: Path) -> None:
    plans = plan_three(tmp_path)
    disk = tmp_path / "a.state"
    _mount_disk(disk)
    async with run_three(plans) as (hub, a, b):
        async with crowd_at([hub, a, b]) as crowd:
            # There is one that can stand.
            await _wait_saved_since(a)
            filler = disk / "filler"
            _fill(filler)
            began = trio.current_time()
            assert await wait_snapshot(a, is_error=True) == "No space left on device"
            found_seconds = trio.current_time() - began
            assert (disk / SNAPSHOT_FILE).stat().st_size > 0, "the last one stands"
            await a.wait_synced(1)
            filler.unlink()
            ended = trio.current_time()
            await wait_snapshot(a, is_error=False)
            saved_seconds = trio.current_time() - ended
        await agree((hub, a, b), crowd.answered)
        assert_served(crowd)
        said = [line for line in log_lines(a.program) if line["event"].startswith("snapshot not saved")]
        assert {line["reason"] for line in said} == {"No space left on device"}
        await _wait_saved_since(a)
        a.program.process.send_signal(signal.SIGKILL)
        await a.program.process.wait()
    _, a_plan, _ = plans
    async with a_plan.run() as a:
        # Without a hub: all that it knows was in the file.
        await a.wait_serving()
        await agree((a,), crowd.answered)
    record(
        Figures(
            fault="disk full under a leaf's snapshot",
            found={"a": ("log, status: `No space left on device`", found_seconds)},
            healed_seconds=saved_seconds,
            announces=crowd.answered,
            slowest_seconds=crowd.slowest_seconds,
            note="healed: the next snapshot is saved",
        )
    )


async def _wait_saved_since(node: Node) -> None:
    """Until a snapshot was saved that was begun after this call."""
    saved: list[int] = []

    async def is_saved() -> bool:
        if status := await node.status():
            saved.append(status["services"]["snapshot"]["saved"])
        # The next one may have been under way.
        return bool(saved) and saved[-1] >= saved[0] + 2

    await wait_until(is_saved, within_seconds=SAVE_SECONDS, otherwise=node.program.tail)


def _fill(path: Path) -> None:
    """Until there is no room for another byte."""
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    assert os.statvfs(path).f_bavail == 0


def _mount_disk(directory: Path) -> None:
    directory.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(directory)], check=True)
