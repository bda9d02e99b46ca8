"""Connection ids: for whom and for how long they are good."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtracker.wire.connection_id import EPOCH_SECONDS, ConnectionIds

ADDRESS = b"\xc0\x00\x02\x01"
ADDRESS6 = bytes(15) + b"\x01"
START = 1_700_000_040.0
"""The first second of an epoch."""


def test_the_start_is_one() -> None:
    assert START % EPOCH_SECONDS == 0


@pytest.mark.parametrize("address", [ADDRESS, ADDRESS6])
@pytest.mark.parametrize(
    ("made_after", "checked_after", "good"),
    [
        (0, 0, True),
        (0, 60, True),
        (119.9, 120, True),
        (0, 239.9, True),  # one epoch of grace
        (0, 240, False),
        (119.9, 240, False),
        (120, 119.9, True),  # made by a node whose clock is ahead
        (240, 119.9, False),
        (0, 86_400, False),
    ],
)
def test_ids_live_two_to_four_minutes(*, address: bytes, made_after: float, checked_after: float, good: bool) -> None:
    ids = ConnectionIds(b"secret")
    connection_id = ids.make(address, START + made_after)
    assert len(connection_id) == 8
    assert ids.check(connection_id, address, START + checked_after) is good
    assert ConnectionIds(b"secret").check(connection_id, address, START + checked_after) is good


def test_an_id_is_good_for_one_address_and_one_secret() -> None:
    ids = ConnectionIds(b"secret")
    connection_id = ids.make(ADDRESS, START)
    assert not ids.check(connection_id, b"\xc0\x00\x02\x02", START)
    assert not ids.check(connection_id, ADDRESS6, START)
    assert not ConnectionIds(b"another").check(connection_id, ADDRESS, START)


def test_every_byte_of_an_id_counts() -> None:
    ids = ConnectionIds(b"secret")
    connection_id = ids.make(ADDRESS, START)
    for position in range(8):
        altered = bytearray(connection_id)
        altered[position] ^= 1
        assert not ids.check(bytes(altered), ADDRESS, START)


@given(st.binary(max_size=40))
def test_other_bytes_are_not_an_id(data: bytes) -> None:
    assert not ConnectionIds(b"secret").check(data, ADDRESS, START)


@given(st.binary(max_size=1100), st.floats(-1e9, 1e11))
def test_any_secret_and_any_clock_will_do(secret: bytes, wall_seconds: float) -> None:
    ids = ConnectionIds(secret)
    assert ids.check(ids.make(ADDRESS, wall_seconds), ADDRESS, wall_seconds)


def test_a_clock_set_back_is_followed() -> None:
    ids = ConnectionIds(b"secret")
    late = ids.make(ADDRESS, START + 3600)
    assert ids.check(ids.make(ADDRESS, START), ADDRESS, START)
    assert not ids.check(late, ADDRESS, START)
