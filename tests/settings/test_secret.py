"""Secrets: fit ones, unfit ones, and that none is ever shown."""

from __future__ import annotations

import logging
import pickle
from pathlib import Path

import attrs
import pytest

from meshtracker.settings.secret import MASK, MAX_SECRET_CHARACTERS, Secret

VALUE = "correct horse battery"


def test_a_secret_is_never_shown() -> None:
    secret = Secret(VALUE)

    @attrs.frozen
    class Holder:
        secret: Secret

    record = logging.LogRecord("x", logging.INFO, "x", 1, "%s %r", (secret, secret), None)
    shown = [repr(secret), str(secret), f"{secret}", repr(Holder(secret)), str(attrs.asdict(Holder(secret)))]
    assert all(VALUE not in text and MASK in text for text in [*shown, record.getMessage()])
    assert not hasattr(secret, "__dict__")
    with pytest.raises(TypeError):
        pickle.dumps(secret)


def test_reveal_and_compare() -> None:
    assert Secret(VALUE).reveal() == VALUE
    assert Secret(VALUE) == Secret(VALUE)
    assert hash(Secret(VALUE)) == hash(Secret(VALUE))
    assert Secret(VALUE) != Secret(VALUE + "!")
    assert Secret(VALUE) != VALUE
    assert Secret(VALUE).matches(VALUE)
    assert not Secret(VALUE).matches("\ud800")


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("", "empty"),
        ("seven77", "it has 7"),
        ("x" * (MAX_SECRET_CHARACTERS + 1), "it has 1025"),
        ("two\nlines of text", "line breaks"),
        ("tab\tor bell\a", "control characters"),
        *((known, "well-known") for known in ("password", "changeme", "Change-Me!", "secret", "meshtracker")),
        *((known, "well-known") for known in ("bnbtLinkTest", "admin", "12345678", "mesh-password")),
    ],
)
def test_unfit_secrets_are_refused_without_repeating_them(value: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem) as caught:
        Secret(value)
    assert not value or value not in str(caught.value)


def test_other_letters_count() -> None:
    assert Secret("žluťoučký12345678").reveal() == "žluťoučký12345678"


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_from_file(tmp_path: Path, end: str) -> None:
    path = tmp_path / "password"
    path.write_bytes(f"{VALUE}{end}".encode())
    assert Secret.from_file(path) == Secret(VALUE)


@pytest.mark.parametrize(
    ("data", "problem"),
    [(b"", "empty"), (b"\n", "empty"), (b"\xff" * 20, "UTF-8"), (b"a" * 10_000, "it has"), (b"one line\ntwo", "line")],
)
def test_unfit_files_are_refused(tmp_path: Path, data: bytes, problem: str) -> None:
    path = tmp_path / "password"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=problem):
        Secret.from_file(path)
