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


# ---------------------------------------------------------------- lists that change

NONE: frozenset[bytes] = frozenset()
THIRD = b"\3" * 20


def allow(*info_hashes: bytes) -> Access:
    return Access("allow", frozenset(info_hashes))


def deny(*info_hashes: bytes) -> Access:
    return Access("deny", frozenset(info_hashes))


@pytest.mark.parametrize(
    ("before", "after", "added"),
    [
        (allow(LISTED), allow(LISTED, OTHER), {OTHER}),
        (allow(LISTED, OTHER), allow(OTHER, THIRD), {THIRD}),
        (allow(LISTED), allow(), NONE),
        (allow(LISTED), allow(LISTED), NONE),
        (deny(LISTED, OTHER), deny(OTHER), {LISTED}),
        (deny(LISTED), deny(LISTED, OTHER), NONE),
        (Access(), allow(LISTED), NONE),
        (Access(), deny(LISTED), NONE),
        (Access(), Access("open", frozenset({LISTED})), NONE),
        (deny(), allow(LISTED), NONE),
        (deny(), Access(), NONE),
        # More than can be listed, or than is worth it.
        (allow(LISTED), Access(), None),
        (allow(LISTED), deny(LISTED), None),
        (deny(LISTED), Access(), None),
        (deny(LISTED), allow(LISTED), None),
    ],
)
def test_what_a_new_list_adds(before: Access, after: Access, added: set[bytes] | None) -> None:
    assert after.adds_to(before) == added


accesses = st.builds(
    Access, st.sampled_from(["open", "allow", "deny"]), st.frozensets(st.sampled_from([LISTED, OTHER, THIRD]))
)


@given(accesses, accesses)
def test_what_is_added_is_allowed_now_and_was_not(before: Access, after: Access) -> None:
    everything = [LISTED, OTHER, THIRD, b"\4" * 20]
    newly = {info_hash for info_hash in everything if after.allows(info_hash) and not before.allows(info_hash)}
    added = after.adds_to(before)
    assert added is None or added == newly


@given(accesses, accesses)
def test_lists_have_the_same_digest_only_if_they_are_the_same(one: Access, other: Access) -> None:
    same = one.mode == other.mode and (one.mode == "open" or one.info_hashes == other.info_hashes)
    assert (one.digest() == other.digest()) is same
    assert len(one.digest()) == 32
