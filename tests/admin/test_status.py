from __future__ import annotations

import json

from meshtracker.admin.status import links_to_json, to_json
from tests.admin.support import make_status


def test_everything_is_in_it_and_json_can_say_it() -> None:
    said = json.loads(json.dumps(to_json(make_status()), allow_nan=False))
    assert said["node"]["name"] == "leaf"
    assert said["node"]["registry"]["peers"] == 1
    assert said["node"]["incarnation"] == "0000000000000005"
    # In hexadecimal, for 64 bits are more than a number holds in JavaScript.
    assert said["node"]["vector"] == [{"name": "leaf", "incarnation": "0000000000000005", "sequence": 1, "rows": 1}]
    assert said["node"]["links"][0]["warnings"] == ["the clock of hub is 7 s ahead of that of leaf"]
    assert said["services"] == {"udp": {"announces": 3, "load": 0.5, "error": ""}}


def test_links_alone() -> None:
    said = links_to_json(make_status())
    assert said["links"] == to_json(make_status())["node"]["links"]
    assert said["neighbours"][0]["verdict_rule"] == "outbound"
    assert said["refused_links"] == {"authentication": 3, "clock": 1}
    assert said["audit"][0]["reason"] == "stuck since noon"
