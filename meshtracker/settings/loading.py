"""From a file and the environment to settings. Every problem found goes into one error, a line each."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import tomli

from meshtracker.errors import ConfigurationError
from meshtracker.settings.checks import find_problems
from meshtracker.settings.option import ENVIRONMENT_PREFIX, Option
from meshtracker.settings.secret import MASK, Secret
from meshtracker.settings.sections import OPTIONS, SECTIONS, Settings
from meshtracker.settings.values import describe, from_environment, structure

SECRET_FILES = {option.key: f"{option.key}_file" for option in OPTIONS.values() if option.type == Secret | None}
"""Each secret's key and the key of the file that may hold it instead."""


@attrs.frozen
class Given:
    """A raw value and who gave it."""

    raw: object
    source: str


def load(path: Path | None, environ: Mapping[str, str]) -> Settings:
    """The settings of the file at ``path``, overridden by ``MESHTRACKER__SECTION__KEY`` of ``environ``.

    Raises ConfigurationError: source, dotted key and what would be right; its text has one line for each problem.
    Files that hold secrets are read here, and nothing else is opened.
    """
    problems: list[ConfigurationError] = []
    source = str(path) if path is not None else "environment"
    given = _given_by_file(_read(path), source, problems) if path is not None else {}
    given |= _given_by_environment(environ, problems)
    values = _structure_all(given, problems)
    _read_secrets(values, given, problems)
    _raise_any(problems)
    settings = _build(values, origins={key: given[key].source for key in OPTIONS if key in given})
    problems += [
        ConfigurationError(source=settings.origins.get(key, source), key=key, problem=problem)
        for key, problem in find_problems(settings)
    ]
    _raise_any(problems)
    return settings


def _raise_any(problems: Sequence[ConfigurationError]) -> None:
    if not problems:
        return
    first, *others = problems
    text = "\n".join([first.problem, *map(str, others)])
    raise ConfigurationError(source=first.source, key=first.key, problem=text)


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomli.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(source=str(path), key="", problem=f"cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(source=str(path), key="", problem="must be UTF-8 text") from error
    except ValueError as error:  # TOMLDecodeError, or Python's limit on the digits of an integer
        raise ConfigurationError(source=str(path), key="", problem=f"must be TOML: {error}") from error


def _given_by_file(tables: Mapping[str, Any], source: str, problems: list[ConfigurationError]) -> dict[str, Given]:
    given: dict[str, Given] = {}
    for section, table in tables.items():
        if section not in SECTIONS:
            problem = f"is no section{_suggest(section, [*SECTIONS, *OPTIONS])}"
            problems.append(ConfigurationError(source=source, key=section, problem=problem))
        elif not isinstance(table, dict):
            problem = f"must be a section, written [{section}]"
            problems.append(ConfigurationError(source=source, key=section, problem=problem))
        else:
            given |= {f"{section}.{name}": Given(raw, source) for name, raw in table.items()}
    problems += [
        ConfigurationError(source=source, key=key, problem=f"is no setting{_suggest(key, OPTIONS)}")
        for key in given
        if key not in OPTIONS
    ]
    return given


def _given_by_environment(environ: Mapping[str, str], problems: list[ConfigurationError]) -> dict[str, Given]:
    options = {option.environment_name: option for option in OPTIONS.values()}
    given = {}
    for name, text in environ.items():
        if name in options:
            option = options[name]
            given[option.key] = Given(from_environment(option, text), f"environment variable {name}")
        elif name.startswith(ENVIRONMENT_PREFIX):
            problem = f"is no setting{_suggest(name, options)}"
            problems.append(ConfigurationError(source="environment", key=name, problem=problem))
    return given


def _suggest(name: str, known: Iterable[str]) -> str:
    nearest = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {nearest[0]}?" if nearest else ""


def _structure_all(given: Mapping[str, Given], problems: list[ConfigurationError]) -> dict[str, Any]:
    values = {}
    for key, option in OPTIONS.items():
        if key in given:
            try:
                values[key] = structure(option, given[key].raw)
            except ValueError as error:
                problems.append(ConfigurationError(source=given[key].source, key=key, problem=str(error)))
    return values


def _read_secrets(values: dict[str, Any], given: dict[str, Given], problems: list[ConfigurationError]) -> None:
    """Put what the ``*_file`` keys point to in the secrets' own places."""
    for key, file_key in SECRET_FILES.items():
        path = values.get(file_key)
        if path is None:
            continue
        try:
            if key in given:
                raise ValueError(f"must not be set together with {key} ({given[key].source})")
            values[key] = _read_secret(path, OPTIONS[key])
            given[key] = Given(MASK, str(path))
        except ValueError as error:
            problems.append(ConfigurationError(source=given[file_key].source, key=file_key, problem=str(error)))


def _read_secret(path: Path, option: Option) -> Secret:
    try:
        return Secret.from_file(path)
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise ValueError(f"{path} must hold {describe(option).wanted}, {error}") from None


def _build(values: Mapping[str, Any], *, origins: Mapping[str, str]) -> Settings:
    by_section: dict[str, dict[str, Any]] = {section: {} for section in SECTIONS}
    for key, value in values.items():
        by_section[OPTIONS[key].section][OPTIONS[key].name] = value
    sections: dict[str, Any] = {name: section_type(**by_section[name]) for name, section_type in SECTIONS.items()}
    return Settings(**sections, origins=origins)
