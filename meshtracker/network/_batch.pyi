from collections.abc import Mapping

from meshtracker.network.datagrams import ReceiveDatagram
from meshtracker.node.refreshes import Refreshes

class Batch:
    send_failures: int
    receive_failures: int

    def __init__(self, descriptor: int, is_ipv6: bool, seed: int) -> None: ...
    def exchange(
        self,
        receive_datagram: ReceiveDatagram,
        now: float,
        most: int,
        connection_ids: Mapping[bytes, bytes],
        refreshes: Refreshes | None,
        /,
    ) -> tuple[int, int]: ...
