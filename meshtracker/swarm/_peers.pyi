SECRET: bytes
"""Of the indexes' hash, for other modules in C."""

class Pack:
    """What `PeerPack` of peers.py is built on."""

    def __init__(self, address_bytes: int) -> None: ...
