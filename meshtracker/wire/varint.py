"""Numbers of as many bytes as they need: LEB128, seven bits a byte, low bits first."""

from __future__ import annotations

from meshtracker.errors import WireError


def encode_varint(value: int) -> bytes:
    """LEB128, seven bits a byte, low bits first."""
    if value < 128:
        return _SMALL[value]
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def decode_varint(data: bytes, at: int) -> tuple[int, int]:
    """``(value, where it ends)``; at most nine bytes, 63 bits. Raises `WireError`."""
    value = shift = 0
    for byte in data[at : at + 9]:
        at += 1
        if byte < 128:
            return value | byte << shift, at
        value |= (byte & 127) << shift
        shift += 7
    raise WireError("a number is cut short or too large")


_SMALL = [bytes((value,)) for value in range(128)]
"""Numbers of one byte, which nearly all are."""
