"""The torrents of the demo, and how to ask a tracker who is in a swarm without joining it."""

from __future__ import annotations

import hashlib
import secrets

from meshtracker.model import AnnounceRequest

EVERYBODY = 2000
"""More than there are clients: a tracker that is asked tells of all of them, so that answers can be compared."""

TORRENTS = {
    hashlib.sha1(name.encode(), usedforsecurity=False).digest(): name
    for name in ("linux.iso", "encyclopedia.zim", "film.mkv", "album.flac", "maps.tar", "dataset.csv")
}
"""Info-hash to name, for people. The files need not exist: a tracker knows nothing of a torrent but its info-hash."""


def question(info_hash: bytes) -> AnnounceRequest:
    """Who is in this swarm? A client without a port cannot be handed out, so it does not get into it by asking."""
    return AnnounceRequest(
        info_hash=info_hash, peer_id=new_peer_id(), key=1, address=bytes(4), port=0, left=1, numwant=EVERYBODY
    )


def new_peer_id() -> bytes:
    """20 bytes in the style of BEP 20."""
    return b"-MD0100-" + secrets.token_hex(6).encode()


def compact_peers(peers: bytes) -> set[bytes]:
    """The compact IPv4 peers of an answer, 6 bytes each."""
    return {peers[at : at + 6] for at in range(0, len(peers), 6)}
