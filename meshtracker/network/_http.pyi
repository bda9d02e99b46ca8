from typing import TypeAlias

from meshtracker.node.refreshes import Refreshes

Outcome: TypeAlias = bytes | tuple[bytes, bool]

class Refresher:
    def __init__(self, seed: int) -> None: ...
    def receive(self, descriptor: int, address: bytes, refreshes: Refreshes, /) -> Outcome: ...
    def accept(
        self, descriptor: int, most: int, refreshes: Refreshes, /
    ) -> tuple[int, int, int, int, list[tuple[int, bytes, Outcome | None]]]: ...
