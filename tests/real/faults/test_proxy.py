"""A middlebox between leaf and hub that passes heartbeats and swallows data: the soft-split in its purest form."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.real.faults.meshes import plan_three, run_three
from tests.real.faults.proxy import TO_HUB, TO_LEAF, Proxy
from tests.real.faults.trial import endure

pytestmark = [pytest.mark.real, pytest.mark.long]


@pytest.mark.parametrize(
    ("direction", "sender", "receiver"), [(TO_HUB, "a", "hub"), (TO_LEAF, "hub", "a")], ids=["to-hub", "to-leaf"]
)
async def test_a_proxy_that_swallows_data_is_found(tmp_path: Path, direction: str, sender: str, receiver: str) -> None:
    proxy = Proxy()
    plans = plan_three(tmp_path, link={"tls": "off"}, proxy=proxy)
    async with proxy.serving(), run_three(plans) as nodes:
        await endure(
            f"proxy swallows data {direction}, passes heartbeats",
            proxy.swallowing(direction),
            nodes=nodes,
            serving=nodes,
            expected=[{(sender, receiver): {"outbound"}, (receiver, sender): {"inbound"}}],
        )
        assert proxy.swallowed[direction].total() > 0
