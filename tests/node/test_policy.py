"""Defaults that work together."""

from __future__ import annotations

import attrs
import pytest

from meshtracker.node.policy import TrackerPolicy


def test_a_client_that_misses_one_announce_is_still_there() -> None:
    policy = TrackerPolicy()
    # The stamp of a client that announces on time is at most a refresh older than its last announce.
    longest = 2 * (policy.announce_interval_seconds + policy.announce_jitter_seconds)
    assert policy.peer_ttl_seconds >= longest
    assert policy.min_interval_seconds <= policy.announce_interval_seconds
    assert 0 < policy.numwant_default <= policy.numwant_max


def test_refresh_is_half_an_interval() -> None:
    assert TrackerPolicy(announce_interval_seconds=100).refresh_seconds == 50


def test_frozen() -> None:
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        TrackerPolicy().numwant_max = 1  # type: ignore[misc]
