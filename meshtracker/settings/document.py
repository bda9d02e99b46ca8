"""What is generated from the sections: commented configurations, the reference page, the settings in effect.

``python -m meshtracker.settings.document`` rewrites ``configs/`` and ``docs/configuration.md`` below the directory
in which it is started.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import attrs

from meshtracker.settings.option import Option
from meshtracker.settings.secret import Secret
from meshtracker.settings.sections import OPTIONS, SECTIONS, Settings
from meshtracker.settings.values import describe, to_toml

COMMENT_COLUMNS = 100


@attrs.frozen
class Profile:
    """A ready-made configuration: what it is for, and the raw values that differ from the default."""

    purpose: str
    values: Mapping[str, object]


_STATE_DIR = "/var/lib/meshtracker"
_PASSWORD_FILE = "/etc/meshtracker/mesh-password"  # noqa: S105 - where the password is, not what it is
_IN_DOCKER = {
    "node.state_dir": _STATE_DIR,
    "udp.listen": ["0.0.0.0:6969"],
    "http.listen": ["0.0.0.0:6969"],
    "link.password_file": "/run/meshtracker/mesh-password",
}
PROFILES = {
    "standalone": Profile("a tracker of its own", {"node.state_dir": "meshtracker-state"}),
    "hub": Profile(
        "a tracker that is the hub of a mesh",
        {"node.state_dir": _STATE_DIR, "link.listen": ["0.0.0.0:59100"], "link.password_file": _PASSWORD_FILE},
    ),
    "leaf": Profile(
        "a tracker that links to a hub",
        {"node.state_dir": _STATE_DIR, "link.hubs": ["hub.example.org:59100"], "link.password_file": _PASSWORD_FILE},
    ),
    "docker/hub": Profile("the hub in a container", {**_IN_DOCKER, "link.listen": ["0.0.0.0:59100"]}),
    "docker/leaf": Profile(
        "a leaf in a container; MESHTRACKER__NODE__NAME names it", {**_IN_DOCKER, "link.hubs": ["hub:59100"]}
    ),
}


def render_default(kind: Literal["standalone", "hub", "leaf"]) -> str:
    """A configuration with every key explained; only what differs from the default is not commented out."""
    return _render_profile(PROFILES[kind])


def _render_profile(profile: Profile) -> str:
    head = (
        f"meshtracker: {profile.purpose}. Every key is here; a key behind # has its default. "
        "An environment variable MESHTRACKER__SECTION__KEY overrides each of them."
    )
    sections = [_render_section(section, profile.values) for section in SECTIONS]
    return "\n".join([*_comment(head), "", "\n\n".join(sections)]) + "\n"


def _render_section(section: str, values: Mapping[str, object]) -> str:
    lines = [*_comment(_purpose(section)), f"[{section}]"]
    for option in _options(section):
        lines += ["", *_comment(option.meaning), *_comment(f"{_range(option)}; default {to_toml(option.default)}")]
        if option.key in values:
            lines.append(f"{option.name} = {to_toml(values[option.key])}")
        else:
            lines.append(f"#{option.name} = {to_toml(option.default)}")
    return "\n".join(lines)


def _comment(text: str) -> list[str]:
    return textwrap.wrap(
        text,
        COMMENT_COLUMNS,
        initial_indent="# ",
        subsequent_indent="# ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _purpose(section: str) -> str:
    return f"{SECTIONS[section].__doc__}"


def _options(section: str) -> list[Option]:
    return [option for option in OPTIONS.values() if option.section == section]


def _range(option: Option) -> str:
    kind = describe(option)
    return f"{kind.name}, {kind.allowed}"


def render_effective(settings: Settings) -> str:
    """The settings in effect as TOML: secrets masked, and behind each value that was set, who set it."""
    return "\n\n".join("\n".join([f"[{section}]", *_effective_lines(section, settings)]) for section in SECTIONS) + "\n"


def _effective_lines(section: str, settings: Settings) -> Iterator[str]:
    for option in _options(section):
        value: Any = getattr(getattr(settings, section), option.name)
        line = f"{option.name} = {to_toml(value)}"
        if value is None and option.type == Secret | None:
            line = f"#{line}"  # an empty secret is no valid one
        origin = settings.origins.get(option.key)
        yield f"{line}  # from {origin}" if origin is not None else line


_REFERENCE_HEAD = """\
# Configuration

<!-- generated from meshtracker/settings/sections.py by `python -m meshtracker.settings.document`: edit there -->

The configuration is a TOML file; `configs/` has one for each role with every key explained. Each key has a default,
so a file holds only what differs. Unknown keys and impossible values are refused at the start, all of them at once.

An environment variable `MESHTRACKER__SECTION__KEY` overrides a key: numbers and booleans as in TOML, lists as TOML
arrays or separated by commas, everything else as it is.

Secrets are given by value (better in the environment than in the file) or, with the key that ends in `_file`, as a
file of one line; both at once are refused. They are never printed, and well-known defaults are refused. Relative
paths start at the directory in which the node is started.
"""


def render_reference() -> str:
    """docs/configuration.md: one table a section."""
    return "\n".join([_REFERENCE_HEAD, "\n\n".join(map(_reference_table, SECTIONS))]) + "\n"


def _reference_table(section: str) -> str:
    lines = [f"## [{section}]", "", _purpose(section), ""]
    lines += ["| key | type | default | range | environment | meaning |", "|---|---|---|---|---|---|"]
    for option in _options(section):
        kind = describe(option)
        cells = (
            f"`{option.name}`",
            kind.name,
            f"`{to_toml(option.default)}`",
            kind.allowed,
            f"`{option.environment_name}`",
            option.meaning,
        )
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(lines)


def documents() -> dict[str, str]:
    """The generated files by their place in the repository."""
    texts = {f"configs/{name}.toml": _render_profile(profile) for name, profile in PROFILES.items()}
    return texts | {"docs/configuration.md": render_reference()}


if __name__ == "__main__":
    for place, text in documents().items():
        Path(place).parent.mkdir(parents=True, exist_ok=True)
        Path(place).write_text(text, encoding="utf-8")
