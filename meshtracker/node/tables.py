"""The tables that a node has: what its links carry. To add one, write its class and put it into this list."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from meshtracker.link.table import Table
from meshtracker.swarm.completed_table import CompletedTable
from meshtracker.swarm.merging import Merging
from meshtracker.swarm.peer_table import PeerTable

MakeTable: TypeAlias = Callable[[Merging], Table]

TABLES: tuple[MakeTable, ...] = (PeerTable, CompletedTable)
