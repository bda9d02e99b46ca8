"""What the tests of soft-splits share: a link that has been idle, and the alarms of an end."""

from __future__ import annotations

from meshtracker.link.policy import LinkPolicy
from meshtracker.link.session import LinkSession
from meshtracker.node.node import Node
from tests.link.support import pair
from tests.mouth_to_mouth import NOW, Link, live, synced

AFTER = LinkPolicy().soft_split_after_seconds
BOUND = AFTER + LinkPolicy().heartbeat_seconds
"""A soft-split is found by then."""
TICK = 0.5
"""Seconds between two looks at a link."""


def steady(
    policy: LinkPolicy | None = None, *, leaf_policy: LinkPolicy | None = None
) -> tuple[Link, Node, Node, float]:
    """A link that has been idle for a while, with heartbeats at their pace; all that was sent is confirmed."""
    leaf, hub = pair(5)
    link = synced(leaf, hub, leaf_policy=leaf_policy or policy, hub_policy=policy)
    now = live([link], [leaf, hub], NOW, 61.5, tick=TICK)
    return link, leaf, hub, live([link], [], now, 10.0, tick=TICK)


def alarms(end: LinkSession) -> list[str]:
    """What an end has told as errors since it was last asked."""
    return [notice.text for notice in end.notices() if notice.level == "error"]
