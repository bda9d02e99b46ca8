"""Frames: any split of a stream gives the same, and what is none is refused at its head."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtracker.errors import WireError
from meshtracker.wire.frame import (
    DATA_FRAMES,
    HEADER,
    MAGIC,
    MAX_HANDSHAKE_BYTES,
    MAX_PAYLOAD_BYTES,
    FrameDecoder,
    FrameType,
    frame,
)
from tests.wire.link_support import SAMPLES


def test_what_is_data_is_counted_and_control_is_not() -> None:
    """Both ends count alike, or they would see soft-splits in each other."""
    assert {kind.name for kind in set(FrameType) - DATA_FRAMES} == {
        "AUTH_FIRST",
        "AUTH_CHALLENGE",
        "AUTH_PROOF",
        "AUTH_FINAL",
        "CLOSE",
        "HELLO",
        "VECTOR",
        "HEARTBEAT",
        "INTEREST",
        "DIRECTED",
    }


def whole_stream() -> tuple[bytes, list[tuple[FrameType, bytes]]]:
    frames = [(kind, payload) for _, kind, payload in SAMPLES]
    return b"".join(frame(kind, payload) for kind, payload in frames), frames


def test_every_split_point() -> None:
    stream, frames = whole_stream()
    for split in range(len(stream) + 1):
        decoder = FrameDecoder()
        assert [*decoder.feed(stream[:split]), *decoder.feed(stream[split:])] == frames
        assert decoder.waiting_bytes == 0


@given(st.lists(st.integers(1, 40), min_size=1))
def test_any_chunks(sizes: list[int]) -> None:
    stream, frames = whole_stream()
    got: list[tuple[FrameType, bytes]] = []
    decoder, at, turn = FrameDecoder(), 0, 0
    while at < len(stream):
        size = sizes[turn % len(sizes)]
        got += decoder.feed(stream[at : at + size])
        at, turn = at + size, turn + 1
    assert got == frames


@given(st.lists(st.binary(max_size=50), max_size=8))
def test_arbitrary_streams(chunks: list[bytes]) -> None:
    decoder = FrameDecoder()
    try:
        for chunk in chunks:
            list(decoder.feed(chunk))
    except WireError:
        return
    assert decoder.waiting_bytes < HEADER.size + MAX_HANDSHAKE_BYTES


@pytest.mark.parametrize(("limit", "grows"), [(MAX_HANDSHAKE_BYTES, False), (MAX_PAYLOAD_BYTES, True)])
def test_the_largest_payload(limit: int, grows: bool) -> None:
    def decoder() -> FrameDecoder:
        made = FrameDecoder()
        if grows:
            made.max_payload_bytes = MAX_PAYLOAD_BYTES
        return made

    assert list(decoder().feed(HEADER.pack(MAGIC, 5, 0, limit) + bytes(limit))) == [(FrameType.CLOSE, bytes(limit))]
    # The header alone is enough to be refused: nobody waits for the rest.
    with pytest.raises(WireError, match=str(limit)):
        list(decoder().feed(HEADER.pack(MAGIC, 5, 0, limit + 1)))


def test_the_limit_may_rise_between_two_frames_of_one_read() -> None:
    decoder = FrameDecoder()
    big = bytes(MAX_HANDSHAKE_BYTES + 1)
    seen = []
    for kind, payload in decoder.feed(frame(FrameType.AUTH_FINAL) + frame(FrameType.HELLO, big)):
        seen.append((kind, payload))
        decoder.max_payload_bytes = MAX_PAYLOAD_BYTES
    assert seen == [(FrameType.AUTH_FINAL, b""), (FrameType.HELLO, big)]


@pytest.mark.parametrize(
    "header",
    [
        HEADER.pack(b"XL", 1, 0, 0),
        HEADER.pack(MAGIC, 1, 1, 0),
        HEADER.pack(MAGIC, 0, 0, 0),
        HEADER.pack(MAGIC, 18, 0, 0),
        HEADER.pack(MAGIC, 255, 0, 0),
        HEADER.pack(MAGIC, 1, 0, (1 << 32) - 1),
        b"GET / HTTP/1.1\r\n\r\n",
    ],
)
def test_bad_headers(header: bytes) -> None:
    with pytest.raises(WireError):
        list(FrameDecoder().feed(header))


def test_frames_that_no_reader_takes_are_not_made() -> None:
    frame(FrameType.BATCH, bytes(MAX_PAYLOAD_BYTES))
    with pytest.raises(ValueError, match="BATCH payload"):
        frame(FrameType.BATCH, bytes(MAX_PAYLOAD_BYTES + 1))
