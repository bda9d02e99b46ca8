"""Access lists."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtracker.swarm.access import Access, AccessMode

LISTED, OTHER = b"\1" * 20, b"\2" * 20


@pytest.mark.parametrize(
    ("mode", "listed", "other"), [("open", True, True), ("allow", True, False), ("deny", False, True)]
)
def test_modes(mode: AccessMode, listed: bool, other: bool) -> None:
    access = Access(mode, frozenset({LISTED}))
    assert (access.allows(LISTED), access.allows(OTHER)) == (listed, other)


def test_parse() -> None:
    text = f"# ours\n\n  {LISTED.hex().upper()}  # a comment\r\n{OTHER.hex()}\n"
    assert Access.parse("allow", text) == Access("allow", frozenset({LISTED, OTHER}))
    assert Access.parse("deny", "") == Access("deny", frozenset())


@pytest.mark.parametrize("line", ["zz" * 20, "ab" * 19, "ab" * 32, LISTED.hex() + " " + OTHER.hex(), "é" * 40])
def test_parse_names_the_bad_line(line: str) -> None:
    with pytest.raises(ValueError, match="line 2: expected 40 hexadecimal digits"):
        Access.parse("allow", f"{LISTED.hex()}\n{line}\n")


@given(st.text())
def test_any_text_is_parsed_or_refused(text: str) -> None:
    try:
        access = Access.parse("allow", text)
    except ValueError:
        return
    assert all(len(info_hash) == 20 for info_hash in access.info_hashes)
