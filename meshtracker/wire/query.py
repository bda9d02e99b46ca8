"""The query of an HTTP announce (BEP 3, 7, 21, 23) or scrape (BEP 48), as clients really write it.

Values are binary: ``+`` stays a plus, an escape may be in either case, needless or missing; what cannot be decoded
stays as it is. A parameter without ``=`` counts as empty. Of a name that comes twice the last value counts.
"""

from __future__ import annotations

import binascii
import re
import zlib
from collections.abc import Iterable
from urllib.parse import quote_from_bytes, unquote_to_bytes

from meshtracker.errors import ClientError, WireError
from meshtracker.model import INFO_HASH_BYTES, LEFT_UNKNOWN, NUMWANT_DEFAULT, PEER_ID_BYTES, AnnounceRequest, Event
from meshtracker.wire.compact import is_unicast, packed_address

_EVENTS = {
    b"started": Event.STARTED,
    b"stopped": Event.STOPPED,
    b"completed": Event.COMPLETED,
    b"paused": Event.PAUSED,
}
MAX_PARAMETERS = 64
"""Of an announce: more than twice what any client sends. Thousands of empty ones would cost milliseconds."""
_MAX_ENCODED_BYTES = 192
"""Of a value that is decoded: twice what the longest can need, a v2 info-hash with every byte escaped."""
_V2_INFO_HASH_BYTES = 32
_MAX_PORT = 0xFFFF
_MAX_LEFT = 2**63 - 1
_MAX_DIGITS = 20
"""Digits of an integer that are read: enough for 64 bits, too few to cost time."""
_CACHED_INFO_HASHES = 16384
"""Most announces are for a few torrents, and decoding is the dearest step of an announce; at most 5 MB."""
_INFO_HASHES: dict[bytes, bytes] = {}
"""By what they are encoded as. A cache: what it holds changes no result."""
_DECIMAL_KEY = re.compile(rb"-?[0-9]{1,10}")


def parse_announce(query: bytes, address: bytes) -> AnnounceRequest:
    """The announce in a query that came from the packed ``address``.

    Raises `ClientError` where the client must mend something: no or two info-hashes, or one that is not 20 bytes;
    a peer id that is not 20 bytes; more than `MAX_PARAMETERS`. All other parameters fall back to what hurts nobody: an
    unreadable ``port`` is 0, an unreadable ``left`` a leecher's.
    """
    values = parse_parameters(query)
    # Two plain lookups, because an announce has both in every case but the two odd ones in `_mended`.
    if b"info_hash" not in values or query.count(b"info_hash=") > 1:
        values = _mended(query)
    info_hash = parse_info_hash(values[b"info_hash"])
    peer_id = percent_decode(values.get(b"peer_id", b""))
    if len(peer_id) != PEER_ID_BYTES:
        raise ClientError(f"peer_id must be {PEER_ID_BYTES} bytes, not {len(peer_id)}")
    port = parse_number(values.get(b"port", b""), otherwise=0)
    left = parse_number(values.get(b"left", b""), otherwise=LEFT_UNKNOWN)
    compact = values.get(b"compact") != b"0"
    return AnnounceRequest(
        info_hash,
        peer_id,
        _key(values.get(b"key", b"")),
        address,
        port if port <= _MAX_PORT else 0,
        parse_event(values.get(b"event", b"")),
        left if left <= _MAX_LEFT else LEFT_UNKNOWN,
        parse_number(values.get(b"numwant", b""), otherwise=NUMWANT_DEFAULT),
        True,
        not compact and values.get(b"no_peer_id") != b"1",
        compact,
    )


def parse_scrape(query: bytes, *, max_info_hashes: int) -> list[bytes]:
    """The info-hashes of a scrape, in order; none for a scrape of everything.

    Raises `ClientError` for an info-hash that is not 20 bytes, and for more than ``max_info_hashes`` in the words on
    which Transmission asks for fewer at a time (client-quirks 25).
    """
    too_long = ClientError(f"Request-URI Too Long: at most {max_info_hashes} info_hash in one scrape")
    for text in (query, query.replace(b"?", b"&")):
        if text.count(b"&") >= max_info_hashes + MAX_PARAMETERS:
            raise too_long
        values = [value for name, value in _pairs(text) if name == b"info_hash"]
        if len(values) > max_info_hashes:
            raise too_long
        if values:
            return [parse_info_hash(value) for value in values]
    return []


def claimed_address(query: bytes, source: bytes) -> bytes:
    """The packed address that ``ip=``, ``ipv4=`` or ``ipv6=`` gives, else ``source``.

    ``ip`` goes before the other two, and of these the family of ``source``: a client that tells both announces once
    from each. Names (DNS, I2P) and addresses that no peer can have are passed over.
    """
    values = parse_parameters(query)
    for name in (b"ip", b"ipv4", b"ipv6") if len(source) == 4 else (b"ip", b"ipv6", b"ipv4"):
        text = percent_decode(values.get(name, b"")).decode("ascii", "replace")
        try:
            address = packed_address(text.strip("[]"))
        except WireError:
            continue
        if is_unicast(address):
            return address
    return source


def announce_query(request: AnnounceRequest) -> bytes:
    """The query of a client: compact, unless it wants peer ids; ``request.address`` is not sent."""
    values = {
        b"info_hash": quote_from_bytes(request.info_hash, safe="").encode(),
        b"peer_id": quote_from_bytes(request.peer_id, safe="").encode(),
        b"port": b"%d" % request.port,
        b"uploaded": b"0",
        b"downloaded": b"0",
        b"compact": b"0" if request.with_peer_ids else b"1",
    }
    if request.left != LEFT_UNKNOWN:
        values[b"left"] = b"%d" % request.left
    if request.key:
        values[b"key"] = b"%08X" % request.key
    if request.numwant != NUMWANT_DEFAULT:
        values[b"numwant"] = b"%d" % request.numwant
    if request.event:
        values[b"event"] = request.event.name.lower().encode()
    return b"&".join(name + b"=" + value for name, value in values.items())


def scrape_query(info_hashes: Iterable[bytes]) -> bytes:
    """What a client asks for the counts of swarms with."""
    return b"&".join(b"info_hash=" + quote_from_bytes(info_hash, safe="").encode() for info_hash in info_hashes)


def percent_decode(value: bytes) -> bytes:
    """``value`` with its escapes resolved; a ``%`` that begins none stays, and so does all of what is far too long."""
    if b"%" not in value or len(value) > _MAX_ENCODED_BYTES:
        return value
    try:
        # Python's own string escapes, since they are decoded in C: three times as fast as `unquote_to_bytes`.
        text = value.replace(b"\\", b"\\\\").replace(b"%", b"\\x").decode("unicode_escape")
    except UnicodeDecodeError:
        return unquote_to_bytes(value)
    return text.encode("latin-1")


def parse_parameters(query: bytes) -> dict[bytes, bytes]:
    """Values by name, both still encoded. Raises `ClientError` for more than `MAX_PARAMETERS`."""
    if query.count(b"&") >= MAX_PARAMETERS:
        raise _too_many()
    values = {}
    for part in query.split(b"&"):
        name, _, value = part.partition(b"=")
        values[name] = value
    return values


def parse_info_hash(value: bytes) -> bytes:
    """The info-hash that an encoded value is. Raises `ClientError`."""
    info_hash = _INFO_HASHES.get(value)
    if info_hash is None:
        info_hash = _decode_info_hash(value)
        # Not an LRU cache, which would touch three entries for one that it finds: most of what is here is not at hand.
        if len(_INFO_HASHES) >= _CACHED_INFO_HASHES:
            _INFO_HASHES.clear()
        _INFO_HASHES[value] = info_hash
    return info_hash


def _decode_info_hash(value: bytes) -> bytes:
    info_hash = percent_decode(value)
    if len(info_hash) == INFO_HASH_BYTES:
        return info_hash
    if len(info_hash) == _V2_INFO_HASH_BYTES:
        raise ClientError("info_hash of a v2 torrent must be cut to its first 20 bytes (BEP 52)")
    raise ClientError(f"info_hash must be {INFO_HASH_BYTES} bytes, not {len(info_hash)}")


def parse_event(value: bytes) -> Event:
    """None for a word that is no event."""
    return _EVENTS.get(value, Event.NONE)


def parse_number(value: bytes, *, otherwise: int) -> int:
    """A decimal number without sign, or ``otherwise``."""
    if not value.isdigit():
        value = percent_decode(value)
        if not value.isdigit():
            return otherwise
    return int(value) if len(value) <= _MAX_DIGITS else otherwise


def _too_many() -> ClientError:
    return ClientError(f"an announce has at most {MAX_PARAMETERS} parameters")


def _pairs(query: bytes) -> list[tuple[bytes, bytes]]:
    return [(name, value) for name, _, value in (part.partition(b"=") for part in query.split(b"&"))]


def _mended(query: bytes) -> dict[bytes, bytes]:
    """Parameters of a query that has no ``info_hash``, or the word more than once."""
    # An announce URL that had a query of its own, to which a client has added a second one: "?passkey=1?info_hash=".
    for text in (query, query.replace(b"?", b"&")):
        if text.count(b"&") >= MAX_PARAMETERS:
            raise _too_many()
        pairs = _pairs(text)
        found = [name for name, _ in pairs].count(b"info_hash")
        if found > 1:
            raise ClientError("an announce is for one info_hash")
        if found:
            return dict(pairs)
    raise ClientError("info_hash is missing")


def _key(value: bytes) -> int:
    """The client key as 32 bits (client-quirks 10), 0 only for none or for a zero.

    Eight hexadecimal digits and decimal numbers are read as the number, so that a client has the same key over UDP.
    """
    if len(value) == 8:
        try:
            return int.from_bytes(binascii.unhexlify(value))
        except binascii.Error:
            pass
    if not value:
        return 0
    if _DECIMAL_KEY.fullmatch(value):
        number = int(value)
        if -(2**31) <= number < 2**32:
            return number & 0xFFFFFFFF
    return zlib.crc32(percent_decode(value)) or 1
