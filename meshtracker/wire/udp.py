"""Packets of the UDP tracker protocol (BEP 15) with their options (BEP 41), for the tracker and for its clients.

    connect    request  protocol id 8 (0x41727101980) | action 4 = 0 | transaction 4
               answer   action 4 = 0 | transaction 4 | connection id 8
    announce   request  connection id 8 | action 4 = 1 | transaction 4 | info-hash 20 | peer id 20 | downloaded 8
                        | left 8 | uploaded 8 | event 4 | ip 4 | key 4 | numwant 4, signed | port 2 | options
               answer   action 4 = 1 | transaction 4 | interval 4, seconds | leechers 4 | seeders 4 | compact peers
    scrape     request  connection id 8 | action 4 = 2 | transaction 4 | info-hash 20, up to 74 times
               answer   action 4 = 2 | transaction 4 | (seeders 4 | completed 4 | leechers 4) as often
    error      answer   action 4 = 3 | transaction 4 | reason, UTF-8

    options    end 1 = 0 | no-op 1 = 1 | type 1 | length 1 | value

Numbers are big-endian. Peers are 6 bytes each, over IPv6 18 bytes; ``ip`` stays 4 bytes over both (client-quirks 22).
Transactions are opaque 4 bytes. Request parsers raise `ClientError` for what the client should read and
`WireError` for what is no such packet; answer parsers raise `ClientError` with the reason of an error packet.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, TypeAlias

from meshtracker.errors import ClientError, WireError
from meshtracker.model import (
    INFO_HASH_BYTES,
    LEFT_UNKNOWN,
    NUMWANT_DEFAULT,
    AnnounceAnswer,
    AnnounceRequest,
    Event,
    ScrapeAnswer,
)
from meshtracker.wire.compact import COMPACT6_BYTES, COMPACT_BYTES

PROTOCOL_ID: Final = b"\x00\x00\x04\x17\x27\x10\x19\x80"

CONNECT: Final = b"\0\0\0\0"
ANNOUNCE: Final = b"\0\0\0\1"
SCRAPE: Final = b"\0\0\0\2"
ERROR: Final = b"\0\0\0\3"
_CONNECT_HEAD: Final = PROTOCOL_ID + CONNECT

HEAD_BYTES: Final = 16
"""Connection id, action and transaction: what every request begins with."""
ANNOUNCE_BYTES: Final = 98
MAX_SCRAPE_HASHES = 74
"""BEP 15: about as many as fit a datagram that is not fragmented."""
MAX_DATAGRAM_BYTES: Final = 2048
"""A scrape of 74 has 1,496 bytes, an announce with a URL of 1,000 characters 1,106; the rest of anything longer may be
cut off, for it is refused or not looked at."""

NO_ADDRESS: Final = bytes(4)
"""The ``ip`` of a client that leaves its address to the tracker, as it should."""

OPTION_END = 0
OPTION_NO_OP = 1
OPTION_URL_DATA = 2
_MAX_OPTION_BYTES = 255

_EVENTS: Final = tuple(Event)
_UINT32_MAX = 0xFFFF_FFFF
# left is read as signed: from 2**63 on it is garbled, and comes out negative without a comparison of its own.
_ANNOUNCE_BODY: Final = struct.Struct("!16x20s20s8xq8xI4xIiH")
_ANNOUNCE_SLOT: Final = struct.Struct(f"!8sI4s20s20s8xq8xIIIi2s{MAX_DATAGRAM_BYTES - ANNOUNCE_BYTES}x")
_ANNOUNCE_REQUEST = struct.Struct("!8s4s4s20s20sQQQI4sIiH")
_ANNOUNCE_ANSWER: Final = struct.Struct("!4s4sIII")
_SCRAPE_COUNTS: Final = struct.Struct("!III")

AnnounceFields: TypeAlias = tuple[bytes, int, bytes, bytes, bytes, int, int, int, int, int, bytes]
"""Connection id, action, transaction, info-hash, peer id, left, event, ip, key, numwant, and the port in two bytes."""


def is_connect(data: bytes) -> bool:
    """Is this a connect request? Longer ones are: BEP 15 asks for *at least* 16 bytes."""
    return data[:12] == _CONNECT_HEAD and len(data) >= HEAD_BYTES


def pack_connect_answer(transaction: bytes, connection_id: bytes) -> bytes:
    """16 bytes, no more than the request had: nobody is flooded with answers to packets forged in their name."""
    return CONNECT + transaction + connection_id


def parse_announce_request(data: bytes, address: bytes) -> AnnounceRequest:
    """The announce of a client at a packed address; what the packet says of its own address is `announced_ip`."""
    if len(data) < ANNOUNCE_BYTES:
        raise WireError(f"an announce has at least {ANNOUNCE_BYTES} bytes, not {len(data)}")
    info_hash, peer_id, left, event, key, numwant, port = _ANNOUNCE_BODY.unpack_from(data)
    return AnnounceRequest(
        info_hash,
        peer_id,
        key,
        address,
        port,
        _EVENTS[event] if event < len(_EVENTS) else Event.NONE,
        left if left >= 0 else LEFT_UNKNOWN,
        numwant if numwant >= 0 else NUMWANT_DEFAULT,
    )


def announce_slots(received: bytes | bytearray) -> Iterator[AnnounceFields]:
    """The fields of an announce from each `MAX_DATAGRAM_BYTES`, whether there is one or not."""
    return _ANNOUNCE_SLOT.iter_unpack(received)


def announced_ip(data: bytes) -> bytes:
    """The ``ip`` of an announce that has been parsed: 4 bytes, `NO_ADDRESS` in most."""
    return data[84:88]


def announced_url(data: bytes) -> bytes:
    """Path and query of the tracker's URL as the client has it (BEP 41); empty when it sent none.

    Unknown options are skipped by their length (client-quirks 21); a torn last one ends the options.
    """
    url = b""
    position = ANNOUNCE_BYTES
    while position < len(data) and (option := data[position]) != OPTION_END:
        position += 1
        if option == OPTION_NO_OP:
            continue
        length = data[position] if position < len(data) else _MAX_OPTION_BYTES
        value = data[position + 1 : position + 1 + length]
        if option == OPTION_URL_DATA and len(value) == length:
            url += value
        position += 1 + length
    return url


pack_announce_head: Final = _ANNOUNCE_ANSWER.pack
"""Of an answer: `ANNOUNCE`, the transaction, and the three numbers before its peers."""


def pack_announce_answer(transaction: bytes, answer: AnnounceAnswer, peers: bytes) -> bytes:
    """``peers`` are the answer's peers of the family that the request came by."""
    return (
        _ANNOUNCE_ANSWER.pack(ANNOUNCE, transaction, answer.interval_seconds, answer.incomplete, answer.complete)
        + peers
    )


def parse_scrape_request(data: bytes) -> list[bytes]:
    """The info-hashes, in their order and as often as they came; a torn last one is passed over."""
    count = (len(data) - HEAD_BYTES) // INFO_HASH_BYTES
    if count < 1:
        raise ClientError("scrape without an info-hash")
    if count > MAX_SCRAPE_HASHES:
        # Transmission asks for fewer the next time when it reads "Bad Request" (client-quirks 25).
        raise ClientError(f"Bad Request: more than {MAX_SCRAPE_HASHES} info-hashes in a scrape")
    return [data[start : start + INFO_HASH_BYTES] for start in range(HEAD_BYTES, HEAD_BYTES + count * 20, 20)]


def pack_scrape_answer(transaction: bytes, answers: Iterable[ScrapeAnswer]) -> bytes:
    """``answers`` in the order of the request."""
    counts = [
        _SCRAPE_COUNTS.pack(answer.complete, min(answer.downloaded, _UINT32_MAX), answer.incomplete)
        for answer in answers
    ]
    return SCRAPE + transaction + b"".join(counts)


def pack_error(transaction: bytes, reason: str) -> bytes:
    """An answer to any request."""
    return ERROR + transaction + reason.encode()


def pack_connect_request(transaction: bytes) -> bytes:
    """What a client sends first."""
    return PROTOCOL_ID + CONNECT + transaction


def pack_announce_request(
    connection_id: bytes,
    transaction: bytes,
    *,
    request: AnnounceRequest,
    ip: bytes = NO_ADDRESS,
    downloaded: int = 0,
    uploaded: int = 0,
    url: bytes = b"",
) -> bytes:
    """``url`` is the path and query of the tracker's URL, for BEP 41; ``request.address`` is not sent."""
    packet = _ANNOUNCE_REQUEST.pack(
        connection_id,
        ANNOUNCE,
        transaction,
        request.info_hash,
        request.peer_id,
        downloaded,
        request.left if request.left != LEFT_UNKNOWN else 2**63 - 1,
        uploaded,
        request.event,
        ip,
        request.key,
        request.numwant,
        request.port,
    )
    return packet + b"".join(_url_options(url))


def _url_options(url: bytes) -> Iterator[bytes]:
    for start in range(0, len(url), _MAX_OPTION_BYTES):
        value = url[start : start + _MAX_OPTION_BYTES]
        yield bytes((OPTION_URL_DATA, len(value))) + value


def pack_scrape_request(connection_id: bytes, transaction: bytes, *, info_hashes: Sequence[bytes]) -> bytes:
    """At most `MAX_SCRAPE_HASHES` hashes of 20 bytes."""
    return connection_id + SCRAPE + transaction + b"".join(info_hashes)


def parse_connect_answer(data: bytes) -> bytes:
    """The connection id."""
    _expect(data, CONNECT, minimum_bytes=16)
    return data[8:16]


def parse_announce_answer(data: bytes, *, ipv6: bool) -> AnnounceAnswer:
    """The answer to an announce over IPv4 or IPv6; what UDP has no field for is the nearest it can be."""
    _expect(data, ANNOUNCE, minimum_bytes=_ANNOUNCE_ANSWER.size)
    _, _, interval_seconds, incomplete, complete = _ANNOUNCE_ANSWER.unpack_from(data)
    peers = data[_ANNOUNCE_ANSWER.size :]
    if len(peers) % (COMPACT6_BYTES if ipv6 else COMPACT_BYTES):
        raise WireError(f"{len(peers)} bytes of peers: the last one is torn")
    return AnnounceAnswer(
        interval_seconds=interval_seconds,
        min_interval_seconds=interval_seconds,
        complete=complete,
        incomplete=incomplete,
        downloaded=0,
        downloaders=incomplete,
        peers=b"" if ipv6 else peers,
        peers6=peers if ipv6 else b"",
    )


def parse_scrape_answer(data: bytes) -> list[ScrapeAnswer]:
    """The counts, in the order of the request."""
    _expect(data, SCRAPE, minimum_bytes=8)
    if (len(data) - 8) % _SCRAPE_COUNTS.size:
        raise WireError(f"a scrape answer of {len(data)} bytes: the last counts are torn")
    return [
        ScrapeAnswer(complete=complete, incomplete=incomplete, downloaded=downloaded, downloaders=incomplete)
        for complete, downloaded, incomplete in _SCRAPE_COUNTS.iter_unpack(data[8:])
    ]


def _expect(data: bytes, action: bytes, *, minimum_bytes: int) -> None:
    """Raise what an answer is, unless it is one to ``action``."""
    if data[:4] == ERROR and len(data) >= 8:
        raise ClientError(data[8:].decode(errors="replace"))
    if data[:4] != action or len(data) < minimum_bytes:
        raise WireError(f"no answer to action {int.from_bytes(action)}: {data[:16].hex()}, {len(data)} bytes")
