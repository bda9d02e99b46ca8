"""What a session says of itself: figures, and lines for the log."""

from __future__ import annotations

from typing import Literal, TypeAlias

import attrs

Level: TypeAlias = Literal["debug", "info", "warning", "error"]


@attrs.frozen
class Notice:
    """Something the operator should read, as one line of the log."""

    level: Level
    text: str


@attrs.frozen(kw_only=True)
class SessionStatistics:
    """One link as status and metrics show it."""

    peer: str
    """Name of the other node; empty before it said so."""
    peer_address: str
    dialed: bool
    """Did this node open the connection?"""
    state: str
    since_seconds: float
    """How long it has been in that state."""
    version: int
    """Of the protocol; 0 before both have said what they speak."""
    resync: str
    """How the peer last brought up a stream of each node: "leaf-a: partial after batch 12; leaf-b: full (new node)"."""
    sent_resync: str
    """The same for what this node sent."""
    warnings: tuple[str, ...]
    received_bytes: int
    sent_bytes: int
    received_batches: int
    sent_batches: int
    received_records: int
    refused_records: int
    """Frames of streams for which this node had no room."""
    dropped_records: int
    """Records that came and were not taken: of swarms that are not tracked, or such as no honest node writes."""
    unshared_rows: int
    """Rows that this node has, its hub lacks, and this node may not send it: they stay here until they age out."""
    peer_lag_batches: int
    """Batches that this node has and the peer's last heartbeat did not know."""
    unconfirmed_frames: int
    """Data frames sent over this connection that the peer's last heartbeat did not confirm."""
    skipped_bytes: int
    """Not sent because the peer does not track those swarms."""
    heard_seconds_ago: float
    soft_splits: int
    verdict: str
    """The last soft-split of this connection, with its figures; empty if there was none."""
    reason: str
    """Why it was closed."""
    code: str
    """The same as one of a few words: "reset", "name", "clock", "soft-split", ...; empty while it is not closed."""
