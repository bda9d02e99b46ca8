"""Bencode (BEP 3) from and to bytes; the one place that uses ``bencode.py``.

That library decodes recursively and leniently (a string may be shorter than it says, an integer may be ``i1_0e``),
so `decode` walks the tokens first, without recursion, and hands over only what is well-formed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

import bencodepy

from meshtracker.errors import WireError

Value: TypeAlias = "int | bytes | list[Value] | dict[bytes, Value]"
"""What `decode` gives."""

Encodable: TypeAlias = "int | bytes | str | Sequence[Encodable] | Mapping[bytes, Encodable] | Mapping[str, Encodable]"
"""What `encode` takes; sequences and mappings are lists, tuples and dicts."""

MAX_DEPTH = 16
"""Containers inside each other: a .torrent's file list needs 5, a BEP 52 file tree one per directory."""

_TOKEN = re.compile(
    # 64 bits hold at most 20 digits; no byte string of ours or of a .torrent is near a gigabyte.
    rb"i(?:0|-?[1-9][0-9]{0,19})e|(?P<length>0|[1-9][0-9]{0,8}):|(?P<open>[ld])|(?P<close>e)"
)
_LIST: Final = 0
_KEY: Final = 1
_VALUE: Final = 2

_codec = bencodepy.Bencode()


def decode(data: bytes, *, max_bytes: int, max_depth: int = MAX_DEPTH) -> Value:
    """The one value that ``data`` holds; byte strings stay bytes.

    Dictionary keys may come in any order; of a key that comes twice the last value counts.
    Raises `WireError` for anything else than one well-formed value within the bounds, and no other error.
    """
    if len(data) > max_bytes:
        raise WireError(f"bencode of {len(data)} bytes where at most {max_bytes} are taken")
    _check(data, max_depth)
    value: Value = _codec.decode(data)
    return value


def encode(value: Encodable) -> bytes:
    """Canonical bencode: dictionary keys sorted; text becomes UTF-8."""
    encoded: bytes = _codec.encode(value)
    return encoded


def _check(data: bytes, max_depth: int) -> None:
    """Raise `WireError` unless ``data`` is exactly one value of at most ``max_depth`` containers inside each other."""
    size = len(data)
    open_containers: list[int] = []  # what each of them takes next: _LIST, _KEY or _VALUE
    position = 0
    while True:
        token = _TOKEN.match(data, position)
        if token is None:
            raise WireError(f"no bencoded value at byte {position}")
        position = token.end()
        expected = open_containers[-1] if open_containers else _LIST
        if token["close"]:
            if not open_containers or expected == _VALUE:
                raise WireError(f"nothing to end at byte {position - 1}")
            open_containers.pop()
        else:
            if token["length"]:
                position += int(token["length"])
                if position > size:
                    raise WireError(f"a byte string ends {position - size} bytes behind the data")
            elif expected == _KEY:
                raise WireError(f"a dictionary key is not a byte string, before byte {position}")
            if expected != _LIST:
                open_containers[-1] = _VALUE if expected == _KEY else _KEY
            if token["open"]:
                if len(open_containers) == max_depth:
                    raise WireError(f"bencode nested deeper than {max_depth}")
                open_containers.append(_LIST if token["open"] == b"l" else _KEY)
        if not open_containers:
            break
    if position != size:
        raise WireError(f"{size - position} bytes after the bencoded value")
