"""Names of nodes as small numbers, so that a row holds two bytes instead of a name."""

from __future__ import annotations

from meshtracker.errors import WireError

MAX_ORIGINS = 400
"""Nodes a mesh may ever have shown to one process: bounds this table, and a BURST of all of them still fits a frame."""


class Origins:
    """Node names by index and back; index 0 is this node."""

    __slots__ = ("_indexes", "names")

    def __init__(self, own_name: str) -> None:
        self.names = [own_name]
        self._indexes = {own_name: 0}

    def index(self, name: str) -> int:
        """The index of a node's name, given at first sight. Raises `WireError` past `MAX_ORIGINS`."""
        known = self._indexes.get(name)
        if known is not None:
            return known
        if len(self.names) >= MAX_ORIGINS:
            raise WireError(f"more than {MAX_ORIGINS} node names in one mesh")
        self._indexes[name] = len(self.names)
        self.names.append(name)
        return self._indexes[name]

    def wins(self, new: tuple[int, int], old: tuple[int, int]) -> bool:
        """Does the newer write win? Both are ``(stamp, origin index)``; equal stamps are decided by name."""
        if new[0] != old[0]:
            return new[0] > old[0]
        return self.names[new[1]] > self.names[old[1]]
