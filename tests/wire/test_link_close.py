"""CLOSE: its codes never change, and one of any release is understood."""

from __future__ import annotations

from typing import Any

import pytest

from meshtracker.errors import CloseCode
from meshtracker.wire.frame import MAX_HANDSHAKE_BYTES, FrameType
from meshtracker.wire.link import MAX_REASON_BYTES, Close, control, encode_close
from tests.wire.link_support import TOO_LONG_REASON, read


def test_the_codes_of_a_close_never_change() -> None:
    """They are a closed list that every release reads alike: one may be added, none is given another number."""
    assert [(code.label, int(code)) for code in CloseCode] == [
        ("other", 0),
        ("stopping", 1),
        ("reset", 2),
        ("disabled", 3),
        ("replaced", 4),
        ("authentication", 5),
        ("version", 6),
        ("name", 7),
        ("clock", 8),
        ("timeout", 9),
        ("soft-split", 10),
        ("protocol", 11),
        ("forged", 12),
        ("gap", 13),
        ("future", 14),
        ("flood", 15),
        ("penalty", 16),
        ("unreachable", 17),
    ]
    assert {code.label for code in CloseCode if code.is_breach} == {"protocol", "forged", "flood"}


@pytest.mark.parametrize(
    ("fields", "close"),
    [
        ({"code": 1, "reason": "bye"}, Close(CloseCode.STOPPING, "bye")),
        ({"code": 999, "reason": "bye"}, Close(CloseCode.OTHER, "bye")),
        ({"code": -1, "reason": "bye"}, Close(CloseCode.OTHER, "bye")),
        ({"code": "x", "reason": "bye"}, Close(CloseCode.OTHER, "bye")),
        ({"reason": "wrong password"}, Close(CloseCode.OTHER, "wrong password")),
        ({"code": 8, "reason": 5}, Close(CloseCode.CLOCK, "no reason given")),
        ({"code": 8}, Close(CloseCode.CLOCK, "no reason given")),
        ({"code": 8, "reason": "\x1b[2J\n"}, Close(CloseCode.CLOCK, "?[2J?")),
        ({"code": 8, "reason": TOO_LONG_REASON}, Close(CloseCode.CLOCK, TOO_LONG_REASON[:-1])),
    ],
)
def test_a_close_of_any_release_is_understood(fields: dict[str, Any], close: Close) -> None:
    assert read(control(FrameType.CLOSE, **fields)) == close


def test_a_close_fits_a_frame_before_the_proof_whatever_its_reason() -> None:
    assert len(encode_close(CloseCode.OTHER, "\U0001f600" * 10_000)) <= MAX_HANDSHAKE_BYTES
    close = read(encode_close(CloseCode.OTHER, TOO_LONG_REASON))
    assert isinstance(close, Close)
    assert len(close.reason) == MAX_REASON_BYTES
