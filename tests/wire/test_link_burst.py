"""The plans of a BURST: each part is bounded, and the reason is printable."""

from __future__ import annotations

from typing import Any

import pytest

from meshtracker.errors import WireError
from meshtracker.wire import bencode
from meshtracker.wire.frame import FrameType
from meshtracker.wire.link import Burst, decode
from meshtracker.wire.vector import MAX_NAME_BYTES
from tests.wire.link_support import LIMIT, WORD

GOOD_PLAN: list[Any] = [b"a", 5, 2, 3, 0, 1, b"new node", 0]


@pytest.mark.parametrize(
    "change",
    [
        {0: b""},
        {0: b"a b"},
        {0: 1},
        {1: -1},
        {1: WORD + 1},
        {2: -1},
        {2: LIMIT + 1},
        {3: -1},
        {3: WORD + 1},
        {4: -1},
        {4: LIMIT + 1},
        {5: 2},
        {6: 0},
        {7: 2},
        {7: -1},
    ],
)
def test_each_part_of_a_plan_is_bounded(change: dict[int, Any]) -> None:
    def payload(plan: list[Any]) -> bytes:
        return bencode.encode({b"streams": [plan]})

    assert isinstance(decode(FrameType.BURST, payload(GOOD_PLAN)), Burst)
    with pytest.raises(WireError):
        decode(FrameType.BURST, payload([change.get(at, value) for at, value in enumerate(GOOD_PLAN)]))
    for plan in (GOOD_PLAN[:-1], [*GOOD_PLAN, 0]):
        with pytest.raises(WireError):
            decode(FrameType.BURST, payload(plan))


def test_the_reason_of_a_plan_is_printable_and_short() -> None:
    payload = bencode.encode({b"streams": [[*GOOD_PLAN[:6], b"\x1b" + b"x" * 1000, 0]]})
    decoded = decode(FrameType.BURST, payload)
    assert isinstance(decoded, Burst)
    assert decoded.plans[0].reason == "?" + "x" * (MAX_NAME_BYTES - 1)
