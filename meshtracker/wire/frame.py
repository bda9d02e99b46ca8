"""Frames of the tracker link: what a byte stream is cut into. Their payloads are drawn in `wire.link`."""

from __future__ import annotations

import enum
import struct
from collections.abc import Iterator

from meshtracker.errors import WireError

HEADER = struct.Struct("!2sBBI")
MAGIC = b"ML"

MAX_HANDSHAKE_BYTES = 4096
"""Largest payload before the password is proven: no stranger makes this node hold more."""
MAX_PAYLOAD_BYTES = 65_536
"""Largest payload after that: a heartbeat never waits behind more than one of these."""
_TLS_HANDSHAKE = b"\x16\x03"
"""A record's content type and major version (RFC 8446, 5.1)."""


class FrameType(enum.IntEnum):
    """See the table at the head of the file."""

    AUTH_FIRST = 1
    AUTH_CHALLENGE = 2
    AUTH_PROOF = 3
    AUTH_FINAL = 4
    CLOSE = 5
    HELLO = 6
    VECTOR = 7
    BURST = 8
    BATCH = 9
    SNAPSHOT = 10
    SNAPSHOT_END = 11
    END_OF_BURST = 12
    HEARTBEAT = 13
    INTEREST = 14
    SWARMS = 15
    SWARMS_END = 16
    DIRECTED = 17


DATA_FRAMES = frozenset(
    {
        FrameType.BURST,
        FrameType.BATCH,
        FrameType.SNAPSHOT,
        FrameType.SNAPSHOT_END,
        FrameType.END_OF_BURST,
        FrameType.SWARMS,
        FrameType.SWARMS_END,
    }
)
"""What the data path carries: whether these arrive is what soft-split detection is about."""


def frame(kind: FrameType, payload: bytes = b"") -> bytes:
    """A whole frame. Raises ValueError if the payload is larger than any reader accepts."""
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise ValueError(f"{kind.name} payload of {len(payload)} bytes")
    return HEADER.pack(MAGIC, kind, 0, len(payload)) + payload


class FrameDecoder:
    """Cuts a byte stream into frames; holds at most one frame that is not complete."""

    __slots__ = ("_buffer", "max_payload_bytes")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self.max_payload_bytes = MAX_HANDSHAKE_BYTES

    @property
    def waiting_bytes(self) -> int:
        """Bytes of a frame that is not complete yet."""
        return len(self._buffer)

    def feed(self, data: bytes) -> Iterator[tuple[FrameType, bytes]]:
        """Frames completed by ``data``. The iterator must be used up. Raises `WireError`."""
        buffer = self._buffer
        buffer += data
        at = 0
        try:
            while len(buffer) - at >= HEADER.size:
                magic, kind, zero, length = HEADER.unpack_from(buffer, at)
                if magic != MAGIC or zero:
                    what = " but TLS: is link.tls off on one side?" if buffer.startswith(_TLS_HANDSHAKE) else ""
                    raise WireError(f"not a meshtracker link frame{what}")
                if length > self.max_payload_bytes:
                    raise WireError(f"a frame of {length} bytes where at most {self.max_payload_bytes} are allowed")
                end = at + HEADER.size + length
                if len(buffer) < end:
                    return
                payload = bytes(buffer[at + HEADER.size : end])
                at = end
                try:
                    known = FrameType(kind)
                except ValueError:
                    raise WireError(f"frame type {kind} is unknown") from None
                yield known, payload
        finally:
            del buffer[:at]
