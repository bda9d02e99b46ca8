"""A whole HTTP request that is an announce as most clients write it, read at one go.

    GET /announce?info_hash=…&peer_id=…&port=…&uploaded=…&downloaded=…&left=…&…&key=1234ABCD&… HTTP/1.1 CR LF fields

What it reads, `parse_head` and `parse_announce` read alike; of all else it says that it is not usual.
"""

from __future__ import annotations

import functools
import re
from typing import TypeAlias

from meshtracker.errors import ClientError
from meshtracker.model import NUMWANT_DEFAULT, PEER_ID_BYTES, Event
from meshtracker.wire.http_head import RequestHeadError, head_end, keeps_alive
from meshtracker.wire.query import (
    MAX_PARAMETERS,
    parse_event,
    parse_info_hash,
    parse_number,
    parse_parameters,
    percent_decode,
)

_USUAL = re.compile(
    rb"GET /announce\?info_hash=([^&=?\s]{20,60})&peer_id=([^&=?\s]{20,60})&port=([0-9]{1,5})&uploaded=[0-9]{0,20}"
    rb"&downloaded=[0-9]{0,20}&left=([0-9]{1,18})(&[^k\s]{0,200})key=([0-9A-Fa-f]{8})((?:&\S{0,300})?)"
    rb" HTTP/1\.([01])\r(\n.{0,1000})",
    re.DOTALL,
)
"""No ``k`` between ``left`` and the key: what scans for one letter is fast, and few clients have one there.

All is bounded, so that whoever sends what takes long to read is sent on to where the clock is looked at.
"""
_MAX_PORT = 0xFFFF
_READ_HERE = (b"info_hash", b"peer_id", b"port", b"left", b"key")
_ITS_ADDRESS = (b"ip", b"ipv4", b"ipv6")
_CACHED = 1024
"""What is the same for most clients of a kind is looked at once; at most 2 MB."""


UsualAnnounce: TypeAlias = tuple[bytes, bytes, int, int, bool, Event, int, bool]
"""info_hash, peer_id, key and port (neither is 0), is it a seeder, event, numwant, keep_alive; the answer is compact.

A plain tuple, for one with names takes as long to make as to read the request.
"""


def parse_usual(data: bytes) -> UsualAnnounce | None:
    """The announce that ``data`` is, all of it; None for anything else. Takes any bytes."""
    found = _USUAL.fullmatch(data)
    if found is None:
        return None
    escaped_hash, escaped_id, port_digits, left, before, key_digits, after, minor_version, fields = found.groups()
    wishes = _wishes(before, after)
    keep_alive = _keep_alive(minor_version, fields)
    port, key = int(port_digits), int(key_digits, 16)
    peer_id = percent_decode(escaped_id)
    if wishes is None or keep_alive is None or not 0 < port <= _MAX_PORT or not key or len(peer_id) != PEER_ID_BYTES:
        return None
    try:
        info_hash = parse_info_hash(escaped_hash)
    except ClientError:
        return None
    event, numwant = wishes
    return info_hash, peer_id, key, port, not left.strip(b"0"), event, numwant, keep_alive


@functools.lru_cache(maxsize=_CACHED)
def _wishes(before: bytes, after: bytes) -> tuple[Event, int] | None:
    """Event and numwant in what stands before the key and after it; None if that holds anything which is not usual."""
    text = before[1:] + after[1:]
    if text.count(b"&") >= MAX_PARAMETERS // 2:  # the few that were read already do not make it too many
        return None
    values = parse_parameters(text)
    if b"info_hash=" in text or not (values.keys().isdisjoint(_READ_HERE) and values.keys().isdisjoint(_ITS_ADDRESS)):
        return None
    if values.get(b"compact") == b"0" or not before.endswith(b"&"):
        return None
    event = parse_event(values.get(b"event", b""))
    return event, parse_number(values.get(b"numwant", b""), otherwise=NUMWANT_DEFAULT)


@functools.lru_cache(maxsize=_CACHED)
def _keep_alive(minor_version: bytes, fields: bytes) -> bool | None:
    """`RequestHead.keep_alive`; None if the fields are not one whole head's, or there is a body."""
    if head_end(fields) != len(fields):
        return None
    try:
        return keeps_alive(b"1." + minor_version + b"\r", fields)
    except RequestHeadError:
        return None
