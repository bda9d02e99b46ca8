"""One value: typed, written, refused."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
import tomli
from hypothesis import given
from hypothesis import strategies as st

from meshtracker.settings.network import ListenAddress, RemoteAddress, UnixAddress
from meshtracker.settings.option import Option
from meshtracker.settings.secret import Secret
from meshtracker.settings.sections import OPTIONS
from meshtracker.settings.values import from_environment, structure, to_toml

raw_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.dates() | st.datetimes() | st.times(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@pytest.mark.parametrize("option", OPTIONS.values(), ids=list(OPTIONS))
def test_defaults_survive_being_written(option: Option) -> None:
    if option.type != Secret | None:
        raw = tomli.loads(f"value = {to_toml(option.default)}")["value"]
        assert structure(option, raw) == option.default


@pytest.mark.parametrize(
    ("key", "raw", "value"),
    [
        ("tracker.numwant_max", 2000, 2000),
        ("link.heartbeat_seconds", 2, 2.0),
        ("tracker.full_scrape", True, True),
        ("log.format", "json", "json"),
        ("node.name", "leaf-1.example", "leaf-1.example"),
        ("node.state_dir", "/var/x", Path("/var/x")),
        ("node.state_dir", "", None),
        ("link.bind_address", "::1", ip_address("::1")),
        ("link.bind_address", "", None),
        ("link.password", "correct horse", Secret("correct horse")),
        ("udp.listen", [], ()),
        ("udp.listen", ["[::]:0"], (ListenAddress("::", 0),)),
        ("admin.listen", ["unix:/x", "127.0.0.1:1"], (UnixAddress("/x"), ListenAddress("127.0.0.1", 1))),
        ("link.hubs", ["hub:59100"], (RemoteAddress("hub", 59100),)),
        ("http.trusted_proxies", ["10.0.0.0/8", "::1"], (ip_network("10.0.0.0/8"), ip_network("::1/128"))),
    ],
)
def test_structure(key: str, raw: object, value: object) -> None:
    structured = structure(OPTIONS[key], raw)
    assert structured == value
    assert type(structured) is type(value)


@pytest.mark.parametrize(
    ("key", "raw", "problem"),
    [
        ("tracker.numwant_max", "many", 'must be a whole number from 1 to 2000, got "many"'),
        ("tracker.numwant_max", True, "must be a whole number from 1 to 2000, got true"),
        ("tracker.numwant_max", 5.0, "must be a whole number from 1 to 2000, got 5.0"),
        ("tracker.numwant_max", 0, "must be a whole number from 1 to 2000, got 0"),
        ("tracker.numwant_max", 2001, "must be a whole number from 1 to 2000, got 2001"),
        ("link.heartbeat_seconds", float("nan"), "must be a number from 0.01 to 300, got nan"),
        ("link.heartbeat_seconds", False, "must be a number from 0.01 to 300, got false"),
        ("tracker.full_scrape", 1, "must be true or false, got 1"),
        ("tracker.full_scrape", "yes", 'must be true or false, got "yes"'),
        ("log.format", "xml", 'must be "console" or "json", got "xml"'),
        ("log.format", ["json"], 'must be "console" or "json", got ["json"]'),
        ("node.name", "leaf 1", 'must be text of the form [A-Za-z0-9._-]{0,64}, got "leaf 1"'),
        ("node.name", "x" * 65, f'must be text of the form [A-Za-z0-9._-]{{0,64}}, got "{"x" * 65}"'),
        ("node.state_dir", 3, "must be a path as text, got 3"),
        ("http.trusted_proxies", ["10.0.0.1/8"], "10.0.0.1/8 has host bits set"),
        ("http.trusted_proxies", [10], "got 10"),
        ("udp.listen", "0.0.0.0:6969", 'got "0.0.0.0:6969"'),
        ("udp.listen", ["0.0.0.0:6969", "127.0.0.1"], '"127.0.0.1" is not address:port'),
        ("link.hubs", {"hub": 1}, "must be a list of hosts with port"),
    ],
)
def test_structure_says_what_would_be_right(key: str, raw: object, problem: str) -> None:
    with pytest.raises(ValueError, match=r"^must be ") as caught:
        structure(OPTIONS[key], raw)
    assert problem in str(caught.value)


@pytest.mark.parametrize("raw", [12345678, "seven77", ["correct horse"], "changeme"])
def test_a_refused_secret_is_not_repeated(raw: Any) -> None:
    with pytest.raises(ValueError, match="must be a secret of 8 to 1024") as caught:
        structure(OPTIONS["link.password"], raw)
    assert str(raw) not in str(caught.value)


@given(st.sampled_from(list(OPTIONS.values())), raw_values)
def test_any_raw_value_is_taken_or_refused(option: Option, raw: object) -> None:
    problem = "must be "
    try:
        structure(option, raw)
    except ValueError as error:
        problem = str(error)
    assert problem.startswith("must be ")
    assert len(problem) < 400


@given(st.text() | st.integers() | st.booleans() | st.floats(allow_nan=False) | st.lists(st.text()))
def test_written_values_are_toml(value: object) -> None:
    assert tomli.loads(f"value = {to_toml(value)}")["value"] == value


def test_integers_are_grouped_from_five_digits_on() -> None:
    assert [to_toml(number) for number in (1800, 9_999, 10_000)] == ["1800", "9999", "10_000"]


def test_secrets_are_masked() -> None:
    assert to_toml(Secret("correct horse")) == '"********"'


@pytest.mark.parametrize(
    ("key", "text", "raw"),
    [
        ("tracker.numwant_max", "5_0", 50),
        ("tracker.numwant_max", "many", "many"),
        ("tracker.numwant_max", "1\nother = 2", "1\nother = 2"),
        ("link.heartbeat_seconds", "2.5", 2.5),
        ("tracker.full_scrape", "true", True),
        ("node.name", "true", "true"),
        ("link.password", "12345", "12345"),
        ("udp.listen", '["[::]:1", "0.0.0.0:1"]', ["[::]:1", "0.0.0.0:1"]),
        ("udp.listen", "[::]:1, 0.0.0.0:1", ["[::]:1", "0.0.0.0:1"]),
        ("udp.listen", "[]", []),
        ("udp.listen", "", []),
    ],
)
def test_from_environment(key: str, text: str, raw: object) -> None:
    assert from_environment(OPTIONS[key], text) == raw
