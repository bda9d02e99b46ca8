"""What several tests of links need."""

from __future__ import annotations

import pytest


@pytest.fixture
def tiny_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that small snapshots have several pieces, with batches between them."""
    monkeypatch.setattr("meshtracker.swarm.peer_table.PIECE_BYTES", 150)
