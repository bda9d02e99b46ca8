"""Torrents of one file and one tracker."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

import attrs

from meshtracker.wire import bencode

CONTENT_NAME = "content.bin"
CONTENT_BYTES = 1_500_000
PIECE_BYTES = 65_536


@attrs.frozen
class Content:
    """A file that is to be shared."""

    data: bytes
    info: dict[str, bencode.Encodable]

    @property
    def info_hash(self) -> bytes:
        """20 bytes (BEP 3)."""
        return hashlib.sha1(bencode.encode(self.info), usedforsecurity=False).digest()

    def write_torrent(self, path: Path, *, announce: str) -> Path:
        """A .torrent whose announce list (BEP 12) is one tracker."""
        path.write_bytes(bencode.encode({"announce": announce, "announce-list": [[announce]], "info": self.info}))
        return path

    def is_whole(self, directory: Path) -> bool:
        """Has a client that downloads to ``directory`` got all of it? Compares hashes."""
        path = directory / CONTENT_NAME
        return path.is_file() and hashlib.sha256(path.read_bytes()).digest() == hashlib.sha256(self.data).digest()


def make_content(seed: int) -> Content:
    """Reproducible content. The torrent is private (BEP 27): whoever honours that takes peers from the tracker only."""
    data = random.Random(seed).randbytes(CONTENT_BYTES)
    pieces = [data[at : at + PIECE_BYTES] for at in range(0, len(data), PIECE_BYTES)]
    info: dict[str, bencode.Encodable] = {
        "name": CONTENT_NAME,
        "length": len(data),
        "piece length": PIECE_BYTES,
        "pieces": b"".join(hashlib.sha1(piece, usedforsecurity=False).digest() for piece in pieces),
        "private": 1,
    }
    return Content(data, info)
