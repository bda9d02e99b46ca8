"""What several tests of links need."""

from __future__ import annotations

import pytest

from meshtracker.swarm import peer_table
from tests.link.story import TINY_PIECE_BYTES


@pytest.fixture
def tiny_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Snapshots have several pieces."""
    monkeypatch.setattr(peer_table, "PIECE_BYTES", TINY_PIECE_BYTES)
