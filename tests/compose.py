"""docker-compose.yml and Dockerfile, read as far as the tests need them."""

from __future__ import annotations

import json
import shlex
from pathlib import Path, PurePosixPath
from typing import Any

import attrs
import yaml

ROOT = Path(__file__).parent.parent


@attrs.frozen
class Service:
    """One service of the compose file, its anchors and merges resolved."""

    name: str
    command: list[str]
    environment: dict[str, str]
    depends_on: dict[str, dict[str, str]]
    """Service name to ``{"condition": …}``."""
    healthcheck: list[str]
    """The command, without Docker's ``CMD``; empty without a check."""
    ports: list[str]
    volumes: dict[PurePosixPath, str]
    """Directory in the container to the volume's name."""


def read_services() -> dict[str, Service]:
    """The services by name, each after those that it depends on."""
    services = {name: _service(name, raw) for name, raw in read_compose()["services"].items()}
    ordered: dict[str, Service] = {}
    while services:
        ready = [service for service in services.values() if service.depends_on.keys() <= ordered.keys()]
        assert ready, f"these services wait for each other: {sorted(services)}"
        for service in ready:
            ordered[service.name] = services.pop(service.name)
    return ordered


def read_compose() -> dict[str, Any]:
    """The whole compose file."""
    compose: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return compose


def _service(name: str, raw: dict[str, Any]) -> Service:
    check = raw.get("healthcheck", {"test": ["CMD"]})["test"]
    assert check[0] == "CMD", "a health check without a shell needs no shell in the image"
    mounts = (volume.split(":") for volume in raw.get("volumes", []))
    return Service(
        name=name,
        command=raw["command"],
        environment=raw.get("environment", {}),
        depends_on=raw.get("depends_on", {}),
        healthcheck=check[1:],
        ports=raw.get("ports", []),
        volumes={PurePosixPath(mount[1]): mount[0] for mount in mounts},
    )


def read_dockerfile() -> list[tuple[str, str]]:
    """``(INSTRUCTION, arguments)`` of the Dockerfile, its continued lines joined."""
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    lines = [line.strip() for line in text.splitlines()]
    instructions = [line.partition(" ") for line in lines if line and not line.startswith("#")]
    return [(instruction, arguments) for instruction, _, arguments in instructions]


def copied_sources() -> list[str]:
    """What any stage of the image takes from the repository, as the Dockerfile names it."""
    return [
        source
        for instruction, arguments in read_dockerfile()
        if instruction == "COPY" and not arguments.startswith("--from=")
        for source in shlex.split(arguments)[:-1]
    ]


def copied_paths() -> dict[PurePosixPath, Path]:
    """Where the last stage of the image has what of the repository."""
    copies: dict[PurePosixPath, Path] = {}
    for instruction, arguments in read_dockerfile():
        if instruction == "FROM":
            copies.clear()
        elif instruction == "COPY" and not arguments.startswith("--from="):
            *sources, target = shlex.split(arguments)
            for source in sources:
                # Docker copies a directory's contents, and a file under its own name into a target that ends in "/".
                inside = PurePosixPath(target, source) if target.endswith("/") else PurePosixPath(target)
                copies[inside] = ROOT / source
    return copies


def in_repository(path: str) -> Path:
    """The file of the repository that is at ``path`` in the image."""
    for target, source in copied_paths().items():
        if PurePosixPath(path).is_relative_to(target):
            return source / PurePosixPath(path).relative_to(target)
    raise AssertionError(f"the image has no {path}")


def entry_point() -> list[str]:
    """The image's ENTRYPOINT, in its JSON form."""
    [arguments] = [arguments for instruction, arguments in read_dockerfile() if instruction == "ENTRYPOINT"]
    words: list[str] = json.loads(arguments)
    return words
