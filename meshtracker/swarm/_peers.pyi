SECRET: bytes
"""Of the indexes' hash, for other modules in C."""

class Pack:
    """`PeerPack` of peers.py, which adds the methods that are the same in Python."""

    def __init__(self, address_bytes: int) -> None: ...
