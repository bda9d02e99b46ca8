"""The bencoded answers of an HTTP tracker: announces (BEP 3, 7, 21, 23, 24), scrapes (BEP 48), failures (BEP 31).

Announce answers are laid by hand, for they are most of what a tracker sends; keys are in bencode's order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from meshtracker.errors import ClientError, WireError
from meshtracker.model import PEER_ID_BYTES, SCRAPE_UNKNOWN, AnnounceAnswer, ScrapeAnswer
from meshtracker.wire.bencode import Encodable, Value, decode, encode
from meshtracker.wire.compact import (
    COMPACT6_BYTES,
    COMPACT_BYTES,
    address_text,
    iterate_peers,
    iterate_peers6,
    pack_peer,
    packed_address,
)

MAX_ANSWER_BYTES = 4 << 20
"""What a client reads of an answer at most: the counts of 40,000 swarms, 20 times 2,000 peers as dictionaries."""
_MAX_PORT = 0xFFFF
_PIECE_FILES = 500
"""Swarms in one piece of a scrape answer: at most 64 kB, and less than a millisecond of work."""

_ANNOUNCE = (
    b"d8:completei%de10:downloadedi%de11:downloadersi%de11:external ip%d:%b"
    b"10:incompletei%de8:intervali%de12:min intervali%de5:peers%d:%b%be"
)
_PEERS6 = b"6:peers6%d:%b"
_FILE = b"20:%bd8:completei%de10:downloadedi%de11:downloadersi%de10:incompletei%dee"

T = TypeVar("T")


def encode_announce(answer: AnnounceAnswer, external_address: bytes) -> bytes:
    """The answer with compact peers; ``external_address`` is the packed one that the client was seen with (BEP 24)."""
    peers6 = answer.peers6
    return lay_announce(
        answer.complete,
        answer.downloaded,
        answer.downloaders,
        external_address,
        answer.incomplete,
        answer.interval_seconds,
        answer.min_interval_seconds,
        answer.peers,
        _PEERS6 % (len(peers6), peers6) if peers6 else b"",
    )


def lay_announce(
    complete: int,
    downloaded: int,
    downloaders: int,
    external_address: bytes,
    incomplete: int,
    interval_seconds: int,
    min_interval_seconds: int,
    peers: bytes,
    after_peers: bytes = b"",
) -> bytes:
    """The fields of an answer with compact peers, in bencode's order; ``after_peers`` is bencoded already."""
    return _ANNOUNCE % (
        complete,
        downloaded,
        downloaders,
        len(external_address),
        external_address,
        incomplete,
        interval_seconds,
        min_interval_seconds,
        len(peers),
        peers,
        after_peers,
    )


def encode_announce_dictionaries(answer: AnnounceAnswer, external_address: bytes) -> bytes:
    """The answer as BEP 3 has it: one list of dictionaries for both families, with peer ids where there are any."""
    peers = [*iterate_peers(answer.peers), *iterate_peers6(answer.peers6)]
    peer_ids = answer.peer_ids + answer.peer_ids6 or (b"",) * len(peers)
    dictionaries = [_peer_dictionary(peer, peer_id) for peer, peer_id in zip(peers, peer_ids, strict=True)]
    return encode(
        {
            b"complete": answer.complete,
            b"downloaded": answer.downloaded,
            b"downloaders": answer.downloaders,
            b"external ip": external_address,
            b"incomplete": answer.incomplete,
            b"interval": answer.interval_seconds,
            b"min interval": answer.min_interval_seconds,
            b"peers": dictionaries,
        }
    )


def encode_failure(error: ClientError, *, interval_seconds: int, min_interval_seconds: int) -> bytes:
    """A failure reason, and when to come again (BEP 31)."""
    answer: dict[bytes, Encodable] = {
        b"failure reason": error.reason,
        b"interval": interval_seconds,
        b"min interval": min_interval_seconds,
    }
    if error.never:
        answer[b"retry in"] = "never"
    elif error.retry_in_minutes is not None:
        answer[b"retry in"] = error.retry_in_minutes
    return encode(answer)


def scrape_pieces(files: Iterable[tuple[bytes, ScrapeAnswer]], *, min_request_interval_seconds: int) -> Iterator[bytes]:
    """A scrape answer in pieces of a bounded size; ``files`` are info-hashes, in bencode's order, and their counts."""
    piece = [b"d5:filesd"]
    for info_hash, counts in files:
        piece.append(_FILE % (info_hash, counts.complete, counts.downloaded, counts.downloaders, counts.incomplete))
        if len(piece) > _PIECE_FILES:
            yield b"".join(piece)
            piece = []
    piece.append(b"e5:flagsd20:min_request_intervali%deee" % min_request_interval_seconds)
    yield b"".join(piece)


def decode_announce(body: bytes) -> AnnounceAnswer:
    """An announce answer, compact or not. Raises `ClientError` for a failure reason, `WireError` for anything else."""
    answer = _decode_dictionary(body)
    peers, peers6 = answer.get(b"peers", b""), _typed(answer.get(b"peers6", b""), bytes)
    incomplete = _typed(answer.get(b"incomplete", 0), int)
    result = AnnounceAnswer(
        interval_seconds=_typed(answer.get(b"interval"), int),
        min_interval_seconds=_typed(answer.get(b"min interval", 0), int),
        complete=_typed(answer.get(b"complete", 0), int),
        incomplete=incomplete,
        downloaded=_typed(answer.get(b"downloaded", 0), int),
        downloaders=_typed(answer.get(b"downloaders", incomplete), int),
    )
    if isinstance(peers, bytes):
        result.peers = _whole(peers, COMPACT_BYTES)
    else:
        _add_dictionaries(result, _typed(peers, list))
    result.peers6 += _whole(peers6, COMPACT6_BYTES)
    return result


def decode_scrape(body: bytes, info_hashes: Sequence[bytes]) -> list[ScrapeAnswer]:
    """The counts of each info-hash, in their order; of swarms that are not in the answer, zeros. Raises as above."""
    files = _typed(_decode_dictionary(body).get(b"files"), dict)
    return [_decode_file(_typed(files[key], dict)) if key in files else SCRAPE_UNKNOWN for key in info_hashes]


def _decode_file(file: dict[bytes, Value]) -> ScrapeAnswer:
    incomplete = _typed(file.get(b"incomplete", 0), int)
    return ScrapeAnswer(
        complete=_typed(file.get(b"complete", 0), int),
        incomplete=incomplete,
        downloaded=_typed(file.get(b"downloaded", 0), int),
        downloaders=_typed(file.get(b"downloaders", incomplete), int),
    )


def _decode_dictionary(body: bytes) -> dict[bytes, Value]:
    answer = _typed(decode(body, max_bytes=MAX_ANSWER_BYTES), dict)
    if b"failure reason" in answer:
        retry = answer.get(b"retry in")
        raise ClientError(
            _typed(answer[b"failure reason"], bytes).decode("utf-8", "replace"),
            retry_in_minutes=retry if isinstance(retry, int) else None,
            never=retry == b"never",
        )
    return answer


def _peer_dictionary(peer: tuple[bytes, int], peer_id: bytes) -> dict[bytes, Encodable]:
    address, port = peer
    dictionary: dict[bytes, Encodable] = {b"ip": address_text(address), b"port": port}
    if peer_id:
        dictionary[b"peer id"] = peer_id
    return dictionary


def _add_dictionaries(answer: AnnounceAnswer, dictionaries: list[Value]) -> None:
    """Put the peers of BEP 3's dictionaries where compact ones are; peer ids only if each peer has one."""
    peers = [_decode_peer(_typed(value, dict)) for value in dictionaries]
    with_ids = all(len(peer_id) == PEER_ID_BYTES for _, peer_id in peers)
    answer.peers = b"".join(compact for compact, _ in peers if len(compact) == COMPACT_BYTES)
    answer.peers6 = b"".join(compact for compact, _ in peers if len(compact) == COMPACT6_BYTES)
    if with_ids:
        answer.peer_ids = tuple(peer_id for compact, peer_id in peers if len(compact) == COMPACT_BYTES)
        answer.peer_ids6 = tuple(peer_id for compact, peer_id in peers if len(compact) == COMPACT6_BYTES)


def _decode_peer(peer: dict[bytes, Value]) -> tuple[bytes, bytes]:
    """Compact address and peer id."""
    address = packed_address(_typed(peer.get(b"ip"), bytes).decode("latin-1"))
    port = _typed(peer.get(b"port"), int)
    if not 0 <= port <= _MAX_PORT:
        raise WireError(f"{port} is no port")
    return pack_peer(address, port), _typed(peer.get(b"peer id", b""), bytes)


def _whole(peers: bytes, size: int) -> bytes:
    if len(peers) % size:
        raise WireError(f"compact peers of {size} bytes each cannot fill {len(peers)} bytes")
    return peers


def _typed(value: object, kind: type[T]) -> T:
    if not isinstance(value, kind):
        raise WireError(f"a tracker's answer holds {value!r:.40} where {kind.__name__} is due")
    return value
