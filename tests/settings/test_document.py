"""The generated files are up to date, complete, and load."""

from __future__ import annotations

import re
from pathlib import Path

import attrs
import pytest
import tomli

from meshtracker.settings import Secret, Settings, default, load
from meshtracker.settings.document import PROFILES, documents, render_default, render_effective, render_reference
from meshtracker.settings.network import ListenAddress, RemoteAddress
from meshtracker.settings.sections import OPTIONS

ROOT = Path(__file__).parents[2]
PASSWORD = "correct horse battery"


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """Where this machine's password is: the ready-made configurations name places of an installation."""
    path = tmp_path / "mesh-password"
    path.write_text(PASSWORD, encoding="utf-8")
    return {"MESHTRACKER__LINK__PASSWORD_FILE": str(path)}


@pytest.mark.parametrize("name", documents())
def test_files_are_as_generated(name: str) -> None:
    stale = f"{name} is not what the settings say; `make docs` writes it anew"
    assert (ROOT / name).read_text(encoding="utf-8") == documents()[name], stale


def test_each_ready_made_configuration_is_generated() -> None:
    found = {str(path.relative_to(ROOT)) for path in (ROOT / "configs").rglob("*.toml")}
    assert found == {f"configs/{name}.toml" for name in PROFILES}


@pytest.mark.parametrize("name", PROFILES)
def test_configurations_load(name: str, environ: dict[str, str]) -> None:
    text = documents()[f"configs/{name}.toml"]
    tables = tomli.loads(text)
    set_keys = {f"{section}.{key}" for section, table in tables.items() for key in table}
    assert set_keys == set(PROFILES[name].values)
    loaded = load(ROOT / "configs" / f"{name}.toml", environ)
    assert loaded.node.state_dir == Path(str(PROFILES[name].values["node.state_dir"]))


@pytest.mark.parametrize("name", PROFILES)
def test_commented_keys_are_the_defaults(name: str, tmp_path: Path) -> None:
    text = documents()[f"configs/{name}.toml"]
    lines = [line.removeprefix("#") for line in text.splitlines() if re.match(r"\[|#[a-z]", line)]
    defaults = "\n".join(line for line in lines if not line.endswith('= ""'))
    path = tmp_path / "defaults.toml"
    path.write_text(defaults, encoding="utf-8")
    with_place = load(path, {"MESHTRACKER__NODE__STATE_DIR": "state"})  # which snapshot.enabled, now asked for, needs
    assert attrs.evolve(with_place, node=default().node) == default()
    named = [line.split(" = ")[0] for line in text.splitlines() if re.match(r"#?[a-z_]+ = ", line)]
    assert [name.removeprefix("#") for name in named] == [option.name for option in OPTIONS.values()]


def test_roles(environ: dict[str, str]) -> None:
    configs = ROOT / "configs"
    assert load(configs / "hub.toml", environ).link.listen == (ListenAddress.parse("0.0.0.0:59100"),)
    assert load(configs / "leaf.toml", environ).link.hubs == (RemoteAddress("hub.example.org", 59100),)
    assert load(configs / "docker/leaf.toml", environ).link.hubs == (RemoteAddress("hub", 59100),)
    assert load(configs / "standalone.toml", environ).link.hubs == ()
    assert render_default("hub") == (configs / "hub.toml").read_text(encoding="utf-8")


def test_reference_has_every_key_and_variable() -> None:
    page = render_reference()
    assert all(
        f"| `{option.name}` | " in page and f"`{option.environment_name}`" in page for option in OPTIONS.values()
    )
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    assert len(rows) == len(OPTIONS)
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {7}


def test_effective_settings_name_origins_and_hide_secrets(environ: dict[str, str]) -> None:
    path = ROOT / "configs" / "hub.toml"
    loaded = load(path, environ | {"MESHTRACKER__TRACKER__NUMWANT_MAX": "80"})
    text = render_effective(loaded)
    lines = text.splitlines()
    assert "numwant_max = 80  # from environment variable MESHTRACKER__TRACKER__NUMWANT_MAX" in lines
    assert f'listen = ["0.0.0.0:59100"]  # from {path}' in lines
    assert f'password = "********"  # from {environ["MESHTRACKER__LINK__PASSWORD_FILE"]}' in lines
    assert "numwant_default = 50" in lines
    assert '#read_token = ""' in lines
    assert PASSWORD not in text


def test_effective_settings_load_again_but_for_secrets(tmp_path: Path) -> None:
    path = tmp_path / "effective.toml"
    shown = Settings(tracker=attrs.evolve(default().tracker, numwant_max=80))
    path.write_text(render_effective(shown), encoding="utf-8")
    assert load(path, {"MESHTRACKER__SNAPSHOT__ENABLED": "false"}).tracker == shown.tracker
    assert "correct" not in render_effective(Settings(link=attrs.evolve(shown.link, password=Secret("correct horse"))))
