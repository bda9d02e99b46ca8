"""Records of completed downloads: round trip, bounds, narrowing; nothing but `WireError` is raised."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtracker.errors import WireError
from meshtracker.wire.completed_record import (
    MAX_COMPLETED,
    CompletedRecord,
    completed_records,
    encode_completed,
    narrow_completed,
)
from meshtracker.wire.varint import encode_varint
from tests.wire.link_support import FIGURES, MAX_MS, completed_lists, completed_of, hashes


@given(completed_lists)
def test_section(content: list[CompletedRecord]) -> None:
    section = completed_of(content)
    assert list(completed_records(section)) == content
    assert completed_of(list(completed_records(section))) == section


def test_a_section_cut_anywhere_but_between_two_records_is_refused() -> None:
    section = completed_of(FIGURES)
    for end in range(len(section)):
        if end in (0, len(encode_completed(FIGURES[0]))):
            assert list(completed_records(section[:end])) == FIGURES[: end > 0]
        else:
            for read in (lambda cut: list(completed_records(cut)), lambda cut: narrow_completed(cut, {b"h" * 20})):
                with pytest.raises(WireError):
                    read(section[:end])


@pytest.mark.parametrize(
    ("total", "at_ms", "is_taken"),
    [
        (0, 0, False),
        (1, 0, True),
        (MAX_COMPLETED, MAX_MS, True),
        (MAX_COMPLETED + 1, 0, False),
        (1, MAX_MS + 1, False),
    ],
)
def test_each_figure_is_bounded(total: int, at_ms: int, is_taken: bool) -> None:
    section = b"h" * 20 + encode_varint(total) + encode_varint(at_ms)
    if is_taken:
        assert list(completed_records(section)) == [CompletedRecord(b"h" * 20, total, at_ms)]
    else:
        with pytest.raises(WireError):
            list(completed_records(section))


@given(st.binary(max_size=200))
def test_arbitrary_bytes(section: bytes) -> None:
    with contextlib.suppress(WireError):
        for record in completed_records(section):
            assert len(record.info_hash) == 20


@given(completed_lists, st.data())
def test_a_narrowed_section_is_what_is_left_of_its_records(content: list[CompletedRecord], data: st.DataObject) -> None:
    known = [record.info_hash for record in content] or [b"h" * 20]
    wanted = data.draw(st.sets(st.sampled_from(known) | hashes))
    narrowed = narrow_completed(completed_of(content), wanted)
    assert list(completed_records(narrowed)) == [record for record in content if record.info_hash in wanted]


@given(st.binary(max_size=200), st.sets(hashes))
def test_narrowing_arbitrary_bytes(section: bytes, wanted: set[bytes]) -> None:
    with contextlib.suppress(WireError):
        assert len(narrow_completed(section, wanted)) <= len(section)
