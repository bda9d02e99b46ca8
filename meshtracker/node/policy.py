"""What a node tells its clients, and how long it believes them."""

from __future__ import annotations

import attrs


@attrs.frozen(kw_only=True)
class TrackerPolicy:
    """Intervals and numbers of peers of every announce answer."""

    announce_interval_seconds: int = 1800
    min_interval_seconds: int = 900
    announce_jitter_seconds: int = 60
    """Up to this much is added to each interval, so that clients which came together do not stay together."""
    peer_ttl_seconds: int = 4500
    """A peer that has not announced for so long is gone."""
    numwant_default: int = 50
    numwant_max: int = 200
    """Most peers of one family in an answer."""

    @property
    def refresh_seconds(self) -> float:
        """A plain re-announce sooner than this after the last stamp changes nothing and is not relayed."""
        return self.announce_interval_seconds / 2
