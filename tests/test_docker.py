"""What the container files name exists and fits; tests/real/test_docker.py runs the commands."""

from __future__ import annotations

import fnmatch
import re
import tomllib
from pathlib import Path

import pytest

from meshtracker.settings import Settings, load
from tests.compose import (
    ROOT,
    Service,
    copied_sources,
    entry_point,
    in_repository,
    read_compose,
    read_dockerfile,
    read_services,
)

PASSWORD_FILE = "/run/meshtracker/mesh-password"
SERVICES = read_services()
NODES = {name: service for name, service in SERVICES.items() if service.command[0] == "run"}


def settings_of(service: Service, tmp_path: Path) -> Settings:
    """What the node in the container reads, with a password file that exists on this machine."""
    password_file = tmp_path / "mesh-password"
    password_file.write_text("a password of this test\n")
    environment = {**service.environment, "MESHTRACKER__LINK__PASSWORD_FILE": str(password_file)}
    return load(in_repository(service.command[-1]), environment)


@pytest.mark.parametrize("source", copied_sources())
def test_dockerfile_copies_what_exists(source: str) -> None:
    assert (ROOT / source).exists()


@pytest.mark.parametrize("source", copied_sources())
def test_dockerignore_lets_through_what_is_copied(source: str) -> None:
    patterns = (ROOT / ".dockerignore").read_text().split()
    matching = [pattern for pattern in patterns if fnmatch.fnmatch(source, pattern.removeprefix("!"))]
    assert matching[-1].startswith("!")


def test_image_runs_the_console_script_as_an_ordinary_user() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert entry_point() == ["meshtracker"]
    assert "meshtracker" in scripts
    users = [arguments for instruction, arguments in read_dockerfile() if instruction == "USER"]
    assert users == ["meshtracker"]


def test_password_is_made_before_any_node_starts() -> None:
    first = next(iter(SERVICES.values()))
    assert first.command == ["password", PASSWORD_FILE]
    for node in NODES.values():
        assert node.depends_on[first.name] == {"condition": "service_completed_successfully"}


def test_leaves_wait_for_the_hub() -> None:
    assert set(NODES) == {"hub", "leaf-a", "leaf-b", "leaf-c"}
    for name in NODES.keys() - {"hub"}:
        assert NODES[name].depends_on["hub"] == {"condition": "service_healthy"}


def test_volumes_are_declared() -> None:
    named = {volume for service in SERVICES.values() for volume in service.volumes.values()}
    assert named == read_compose()["volumes"].keys()


def test_published_ports_are_distinct() -> None:
    published = [re.sub(r":\d+", "", port) for node in NODES.values() for port in node.ports]
    assert len(published) == len(set(published)) == 2 * len(NODES)


@pytest.mark.parametrize("node", NODES.values(), ids=lambda node: node.name)
def test_configuration_loads_and_fits_its_container(node: Service, tmp_path: Path) -> None:
    settings = settings_of(node, tmp_path)
    mounted = {str(path) for path in node.volumes}
    assert settings.node.name == node.name
    assert str(settings.node.state_dir) in mounted
    assert str(Path(PASSWORD_FILE).parent) in mounted
    inside = {port.partition(":")[2] for port in node.ports}
    assert inside == {f"{settings.http.listen[0].port}/tcp", f"{settings.udp.listen[0].port}/udp"}
    assert settings.link.password is not None


@pytest.mark.parametrize("name", ["hub", "leaf"])
def test_configuration_names_the_shared_password_file(name: str) -> None:
    values = tomllib.loads((ROOT / "configs" / "docker" / f"{name}.toml").read_text())
    assert values["link"]["password_file"] == PASSWORD_FILE


def test_leaves_dial_where_the_hub_listens(tmp_path: Path) -> None:
    hub = settings_of(NODES["hub"], tmp_path)
    [port] = [address.port for address in hub.link.listen]
    for name in NODES.keys() - {"hub"}:
        [remote] = settings_of(NODES[name], tmp_path).link.hubs
        assert (remote.host, remote.port) == ("hub", port)
