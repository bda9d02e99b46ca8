"""The declarations keep their own rules."""

from __future__ import annotations

import re
from pathlib import Path

import attrs
import pytest

from meshtracker.settings.checks import find_problems
from meshtracker.settings.option import Option
from meshtracker.settings.secret import Secret
from meshtracker.settings.sections import OPTIONS, SECTIONS, Settings, default
from meshtracker.settings.values import describe


@pytest.mark.parametrize("option", OPTIONS.values(), ids=list(OPTIONS))
def test_every_option_is_documented_and_bounded(option: Option) -> None:
    assert option.meaning.endswith(".")
    assert "\n" not in option.meaning
    assert describe(option).wanted
    if option.type in (int, float):
        assert option.minimum is not None
        assert option.maximum is not None
        assert type(option.default) is option.type
        assert option.minimum <= option.default <= option.maximum
    if option.type is str:
        assert option.pattern is not None
        assert re.fullmatch(option.pattern, option.default)


def test_each_secret_has_a_file_beside_it() -> None:
    secrets = [option for option in OPTIONS.values() if option.type == Secret | None]
    assert len(secrets) == 4
    assert all(OPTIONS[f"{option.key}_file"].type == Path | None for option in secrets)


def test_sections_are_the_fields_of_settings() -> None:
    fields = {field.name: field.type for field in attrs.fields(attrs.resolve_types(Settings))}
    del fields["origins"]
    assert fields == SECTIONS
    assert all(section_type.__doc__ for section_type in SECTIONS.values())


def test_defaults_agree_with_each_other() -> None:
    assert list(find_problems(default())) == []
    assert default() == Settings()


def test_settings_are_frozen() -> None:
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        default().tracker.numwant_max = 3  # type: ignore[misc]
