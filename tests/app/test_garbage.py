"""The garbage collector is told what it need not look at, and what is left over goes in the end."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest
import trio
from trio.testing import MockClock

from meshtracker.app import garbage


@pytest.fixture(autouse=True)
def _collector() -> Iterator[None]:
    thresholds = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)


class Cycle:
    """An object that only a collection can free."""

    def __init__(self) -> None:
        self.me = self


def test_what_is_there_is_not_looked_at_again() -> None:
    before = gc.get_freeze_count()
    garbage.settle()
    assert gc.get_freeze_count() > before + 1000
    assert gc.get_threshold()[2] > 1000


async def test_cycles_go_in_time(autojump_clock: MockClock) -> None:
    garbage.settle()
    gone = weakref.ref(Cycle())
    for _ in range(50_000):
        Cycle().me = None  # type: ignore[assignment]
    old = Cycle()
    kept = weakref.ref(old)
    gc.collect(1)
    del old
    async with trio.open_nursery() as nursery:
        nursery.start_soon(garbage.collect, 60.0)
        await trio.sleep(61)
        assert gone() is None
        assert kept() is None
        nursery.cancel_scope.cancel()
