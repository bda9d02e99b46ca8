"""Bodies of requests, as commands."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from meshtracker.admin.commands import (
    MAX_BODY_BYTES,
    MAX_CALLER_CHARACTERS,
    MAX_NAME_CHARACTERS,
    MAX_REASON_CHARACTERS,
    BadCommandError,
    read_command,
)
from meshtracker.node.commands import Command, DisableLinks, EnableLinks, ForgetLinks, ResetLinks
from meshtracker.wire.link import MAX_REASON_BYTES


def read(action: str, **fields: Any) -> Command:
    return read_command(action, json.dumps(fields).encode(), source="from here")


def test_what_each_action_becomes() -> None:
    assert read("reset", name="a", full=True, reason="why", caller="me") == ResetLinks(
        name="a", full=True, reason="why", caller="me from here"
    )
    assert read("reset", all=True) == ResetLinks(name=None, caller="somebody from here")
    assert read("disable", name="hub:1", all=False) == DisableLinks(name="hub:1", caller="somebody from here")
    assert read("enable", name=None, all=True, reason="") == EnableLinks(name=None, caller="somebody from here")
    assert read("forget", name="a", reason="it is another machine now") == ForgetLinks(
        name="a", reason="it is another machine now", caller="somebody from here"
    )


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({}, 'exactly one of "name" and "all"'),
        ({"name": "a", "all": True}, 'exactly one of "name" and "all"'),
        ({"name": 1}, '"name" must be text'),
        ({"all": 1}, '"all" must be true or false'),
        ({"all": "true"}, '"all" must be true or false'),
        ({"all": True, "full": 1}, '"full" must be true or false'),
        ({"all": True, "reason": ["x"]}, '"reason" must be text'),
        ({"all": True, "reason": "x" * (MAX_REASON_CHARACTERS + 1)}, '"reason" must be one line of at most 200'),
        ({"all": True, "reason": "two\nlines"}, '"reason" must be one line'),
        ({"all": True, "reason": "\x1b[2J"}, '"reason" must be one line'),
        ({"all": True, "reason": "\ud800"}, '"reason" must be one line'),
        ({"all": True, "caller": "x" * (MAX_CALLER_CHARACTERS + 1)}, '"caller" must be one line'),
        ({"name": "x" * (MAX_NAME_CHARACTERS + 1)}, '"name" must be one line'),
        ({"all": True, "resync": "full"}, '"resync" is nothing that reset takes'),
    ],
)
def test_what_is_no_command(fields: dict[str, Any], problem: str) -> None:
    with pytest.raises(BadCommandError) as caught:
        read("reset", **fields)
    assert problem in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("action", ["disable", "enable", "forget"])
def test_only_a_reset_can_be_full(action: str) -> None:
    with pytest.raises(BadCommandError, match=f'"full" is nothing that {action} takes'):
        read(action, all=True, full=True)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"1", b"\xff", b"[" * MAX_BODY_BYTES, b'{"a":' * 800])
def test_what_is_no_object(body: bytes) -> None:
    with pytest.raises(BadCommandError, match="must be a JSON object"):
        read_command("reset", body, source="")


def test_any_bytes_are_a_command_or_refused() -> None:
    rng = random.Random(5)
    good = json.dumps({"name": "a", "full": True, "reason": "r", "caller": "c"}).encode()
    for _ in range(3000):
        body = bytearray(good)
        for _ in range(rng.randrange(4)):
            body[rng.randrange(len(body))] = rng.randrange(256)
        try:
            said = read_command("reset", bytes(body), source="s").reason
        except BadCommandError as error:
            said = str(error)
        assert said.isprintable()


def test_what_another_node_is_told_fits_its_frame() -> None:
    """Node name, words between and where the caller is, besides what the body may hold."""
    assert MAX_REASON_CHARACTERS + MAX_CALLER_CHARACTERS + 64 + 100 <= MAX_REASON_BYTES
