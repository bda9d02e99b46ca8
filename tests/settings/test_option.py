"""Declarations read back."""

from __future__ import annotations

import attrs

from meshtracker.settings.option import Option, declared_options, option


@attrs.frozen
class Tank:
    """A section."""

    level_litres: int = option(3, "What is in it.", minimum=0, maximum=9)
    label: str = option("", "What it says.", pattern="[a-z]*")


def test_declared_options() -> None:
    options = declared_options({"tank": Tank})
    assert list(options) == ["tank.level_litres", "tank.label"]
    assert options["tank.level_litres"] == Option(
        section="tank",
        name="level_litres",
        type=int,
        default=3,
        meaning="What is in it.",
        minimum=0,
        maximum=9,
        pattern=None,
    )
    assert options["tank.label"].environment_name == "MESHTRACKER__TANK__LABEL"


def test_a_section_is_a_plain_class() -> None:
    assert Tank() == Tank(level_litres=3, label="")
