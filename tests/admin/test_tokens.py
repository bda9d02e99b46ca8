from __future__ import annotations

import stat
from pathlib import Path

import pytest

from meshtracker.admin.tokens import CONTROL_TOKEN_FILE, Tokens, read_control_token, write_control_token
from meshtracker.errors import StartError


def test_each_start_makes_a_new_one_for_the_owner_alone(tmp_path: Path) -> None:
    assert read_control_token(tmp_path) is None
    first = write_control_token(tmp_path)
    assert read_control_token(tmp_path) == first
    second = write_control_token(tmp_path)
    assert read_control_token(tmp_path) == second != first
    assert len(second) >= 32
    assert stat.S_IMODE((tmp_path / CONTROL_TOKEN_FILE).stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == [CONTROL_TOKEN_FILE]


def test_where_it_cannot_be_kept_is_named(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=rf"^{tmp_path}/none/{CONTROL_TOKEN_FILE}: no such file or directory$"):
        write_control_token(tmp_path / "none")
    (tmp_path / CONTROL_TOKEN_FILE).mkdir()
    with pytest.raises(StartError, match=CONTROL_TOKEN_FILE):
        write_control_token(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [CONTROL_TOKEN_FILE]


def test_tokens_are_not_shown() -> None:
    tokens = Tokens(read="correct horse", control="battery", own_control="staple")
    assert not any(word in repr(tokens) for word in ("horse", "battery", "staple"))
    assert [
        Tokens(**given).are_configured for given in ({}, {"own_control": "x"}, {"read": "x"}, {"control": "x"})
    ] == [
        False,
        False,
        True,
        True,
    ]
