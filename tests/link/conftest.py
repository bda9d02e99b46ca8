"""What several tests of links need."""

from __future__ import annotations

import pytest


@pytest.fixture
def tiny_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that small snapshots have several pieces, with batches between them."""
    monkeypatch.setattr("meshtracker.node.transfer.PIECE_BYTES", 150)
