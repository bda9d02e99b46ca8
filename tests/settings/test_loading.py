"""Files and environments, good and bad."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from meshtracker.errors import ConfigurationError
from meshtracker.settings import ListenAddress, Secret, default, load
from meshtracker.settings.sections import OPTIONS

PASSWORD = "correct horse battery"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "meshtracker.toml"


def problem_of(file: Path | None, text: str = "", environ: dict[str, str] | None = None) -> str:
    """The text of the error that this configuration causes."""
    if file is not None:
        file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError) as caught:
        load(file, environ or {})
    return str(caught.value)


def test_nothing_given_is_the_default() -> None:
    assert load(None, {"PATH": "/bin", "MESHTRACKER_CONFIG": "x"}) == default()


def test_environment_goes_over_file_goes_over_default(file: Path) -> None:
    file.write_text("[tracker]\nnumwant_max = 100\nnumwant_default = 20\n", encoding="utf-8")
    loaded = load(file, {"MESHTRACKER__TRACKER__NUMWANT_MAX": "80", "MESHTRACKER__UDP__LISTEN": "[::1]:0,127.0.0.1:0"})
    assert loaded.tracker.numwant_max == 80
    assert loaded.tracker.numwant_default == 20
    assert loaded.tracker.max_peers == default().tracker.max_peers
    assert loaded.udp.listen == (ListenAddress("::1", 0), ListenAddress("127.0.0.1", 0))
    assert loaded.origins == {
        "tracker.numwant_max": "environment variable MESHTRACKER__TRACKER__NUMWANT_MAX",
        "tracker.numwant_default": str(file),
        "udp.listen": "environment variable MESHTRACKER__UDP__LISTEN",
    }


def test_a_bad_value_of_the_file_does_not_matter_when_overridden(file: Path) -> None:
    file.write_text("[tracker]\nnumwant_max = 'many'\n", encoding="utf-8")
    assert load(file, {"MESHTRACKER__TRACKER__NUMWANT_MAX": "80"}).tracker.numwant_max == 80


def test_error_names_file_key_and_what_would_be_right(file: Path) -> None:
    file.write_text('[tracker]\nnumwant_max = "many"\n', encoding="utf-8")
    with pytest.raises(ConfigurationError) as caught:
        load(file, {})
    assert caught.value.source == str(file)
    assert caught.value.key == "tracker.numwant_max"
    assert caught.value.problem == 'must be a whole number from 1 to 2000, got "many"'


def test_error_names_the_variable() -> None:
    assert problem_of(None, environ={"MESHTRACKER__TRACKER__NUMWANT_MAX": "many"}) == (
        "environment variable MESHTRACKER__TRACKER__NUMWANT_MAX: tracker.numwant_max: "
        'must be a whole number from 1 to 2000, got "many"'
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[tracker]\nnumwant_mx = 1\n", "tracker.numwant_mx: is no setting; did you mean tracker.numwant_max?"),
        ("[node]\nnumwant_max = 1\n", "node.numwant_max: is no setting; did you mean tracker.numwant_max?"),
        ("[trackr]\n", "trackr: is no section; did you mean tracker?"),
        ("numwant_max = 1\n", "numwant_max: is no section; did you mean tracker.numwant_max?"),
        ("[admin]\ntoken = 'x'\n", "admin.token: is no setting; did you mean admin.read_token?"),
        ("[qqqqqqqq]\n", "qqqqqqqq: is no section"),
        ("tracker = 1\n", "tracker: must be a section, written [tracker]"),
        ("[[tracker]]\n", "tracker: must be a section, written [tracker]"),
        ("[node]\n\nname = \n", "must be TOML: Invalid value (at line 3, column 8)"),
        ("[node]\nname = 'a'\nname = 'b'\n", "must be TOML: Cannot overwrite a value (at line 3"),
        (f"[node]\nname = {'9' * 5000}\n", "must be TOML: "),
    ],
)
def test_bad_files(file: Path, text: str, problem: str) -> None:
    assert problem_of(file, text).startswith(f"{file}: {problem}")


def test_unreadable_files(file: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read: No such file"):
        load(file, {})
    file.write_bytes(b"\xff")
    with pytest.raises(ConfigurationError, match="must be UTF-8 text"):
        load(file, {})


def test_unknown_variables_are_refused() -> None:
    assert problem_of(None, environ={"MESHTRACKER__TRACKER__NUMWANT": "1"}) == (
        "environment: MESHTRACKER__TRACKER__NUMWANT: is no setting; did you mean MESHTRACKER__TRACKER__NUMWANT_MAX?"
    )


def test_all_problems_at_once(file: Path) -> None:
    text = "[tracker]\nnumwant_max = 0\nnumwant = 1\n[log]\nlevel = 'loud'\n"
    lines = problem_of(file, text, {"MESHTRACKER__LINK__TLS": "maybe", "MESHTRACKER__X": ""}).splitlines()
    assert len(lines) == 5
    assert all(
        any(key in line for line in lines)
        for key in ("tracker.numwant_max: must", "tracker.numwant: is", "log.level:", "link.tls:", "MESHTRACKER__X:")
    )


def test_cross_checks_name_the_source_of_the_key(file: Path) -> None:
    variable = {"MESHTRACKER__TRACKER__NUMWANT_DEFAULT": "300"}
    assert problem_of(None, environ=variable).startswith(f"environment variable {next(iter(variable))}: ")
    assert problem_of(file, "[link]\nlisten = ['127.0.0.1:0']").startswith(f"{file}: link.password: must be set")
    assert problem_of(file, "[snapshot]\nenabled = true").startswith(f"{file}: node.state_dir: must be set")


@pytest.mark.parametrize(
    "key", ["link.password", "admin.read_token", "admin.control_token", "udp.connection_id_secret"]
)
def test_secrets_from_value_file_and_environment(file: Path, tmp_path: Path, key: str) -> None:
    section, _, name = key.partition(".")
    secret_file = tmp_path / "secret"
    secret_file.write_text(f"{PASSWORD}\n", encoding="utf-8")
    by_file_key = f"[{section}]\n{name}_file = '{secret_file}'\n"
    for text, environ, origin in (
        (f"[{section}]\n{name} = '{PASSWORD}'\n", {}, str(file)),
        (by_file_key, {}, str(secret_file)),
        ("", {OPTIONS[key].environment_name: PASSWORD}, f"environment variable {OPTIONS[key].environment_name}"),
        ("", {f"{OPTIONS[key].environment_name}_FILE": str(secret_file)}, str(secret_file)),
    ):
        file.write_text(text, encoding="utf-8")
        loaded = load(file, environ)
        assert getattr(getattr(loaded, section), name) == Secret(PASSWORD)
        assert loaded.origins[key] == origin
        assert PASSWORD not in repr(loaded)
    both = problem_of(file, by_file_key, {OPTIONS[key].environment_name: PASSWORD})
    assert both.startswith(f"{file}: {key}_file: must not be set together with {key} (environment variable ")
    assert PASSWORD not in both


def test_an_empty_variable_takes_a_file_key_back(file: Path) -> None:
    file.write_text("[link]\npassword_file = '/nonexistent'\n", encoding="utf-8")
    environ = {"MESHTRACKER__LINK__PASSWORD_FILE": "", "MESHTRACKER__LINK__PASSWORD": PASSWORD}
    assert load(file, environ).link.password == Secret(PASSWORD)


@pytest.mark.parametrize(
    ("content", "problem"),
    [(None, "cannot be read: No such file"), ("", "must hold a secret of 8"), ("changeme\n", "a well-known default")],
)
def test_bad_secret_files(file: Path, tmp_path: Path, content: str | None, problem: str) -> None:
    secret_file = tmp_path / "secret"
    if content is not None:
        secret_file.write_text(content, encoding="utf-8")
    text = problem_of(file, f"[link]\npassword_file = '{secret_file}'\n")
    assert text.startswith(f"{file}: link.password_file: {secret_file} ")
    assert problem in text


@pytest.mark.parametrize("value", ["'1234567'", "12345678", "''", "'hunter2'", "['hunter2hunter2']"])
def test_a_refused_password_is_not_repeated(file: Path, value: str) -> None:
    text = problem_of(file, f"[link]\npassword = {value}\n")
    assert "link.password: must be a secret of 8 to 1024 printable characters" in text
    assert value == "''" or value.strip("'[]") not in text.removeprefix(str(file))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary() | st.text().map(str.encode))
def test_any_file_loads_or_is_refused(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with contextlib.suppress(ConfigurationError):
        load(file, {})


@given(st.sampled_from([option.environment_name for option in OPTIONS.values()]), st.text())
def test_any_variable_loads_or_is_refused(name: str, text: str) -> None:
    with contextlib.suppress(ConfigurationError):
        load(None, {name: text})
