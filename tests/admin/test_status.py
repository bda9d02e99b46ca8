from __future__ import annotations

import json

from meshtracker.admin.status import to_json
from tests.admin.support import make_status


def test_everything_is_in_it_and_json_can_say_it() -> None:
    said = json.loads(json.dumps(to_json(make_status()), allow_nan=False))
    assert said["node"]["name"] == "leaf"
    assert said["node"]["registry"]["peers"] == 1
    assert said["node"]["vector"] == [{"origin": "leaf", "incarnation": 5, "sequence": 1}]
    assert said["node"]["links"][0]["warnings"] == ["the clock of hub is 7 s ahead of that of leaf"]
    assert said["services"] == {"udp": {"announces": 3, "load": 0.5, "error": ""}}
