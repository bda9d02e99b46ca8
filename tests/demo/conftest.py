"""A real mesh on loopback, all links synced."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import trio

from meshtracker.demo.mesh import DemoMesh, start_mesh


@pytest.fixture
async def mesh(nursery: trio.Nursery) -> AsyncIterator[DemoMesh]:
    stop = trio.Event()
    mesh = await start_mesh(nursery, stop)
    await mesh.wait_synced()
    yield mesh
    stop.set()
