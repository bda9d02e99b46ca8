"""How a key is declared, and the declarations read back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import attrs

T = TypeVar("T")

ENVIRONMENT_PREFIX = "MESHTRACKER__"


def option(
    default: T, meaning: str, *, minimum: float | None = None, maximum: float | None = None, pattern: str | None = None
) -> T:
    """An attrs field that is a key of the configuration.

    ``meaning`` is one sentence for the operator. Numbers have both bounds, inclusive; text has a pattern.
    """
    metadata = {"meaning": meaning, "minimum": minimum, "maximum": maximum, "pattern": pattern}
    return attrs.field(default=default, metadata=metadata)


@attrs.frozen
class Option:
    """One declared key."""

    section: str
    name: str
    type: Any
    """The resolved annotation."""
    default: Any
    meaning: str
    minimum: float | None
    maximum: float | None
    pattern: str | None

    @property
    def key(self) -> str:
        """The dotted key, ``section.name``."""
        return f"{self.section}.{self.name}"

    @property
    def environment_name(self) -> str:
        """The environment variable that overrides it."""
        return f"{ENVIRONMENT_PREFIX}{self.section.upper()}__{self.name.upper()}"


def declared_options(sections: Mapping[str, type[attrs.AttrsInstance]]) -> dict[str, Option]:
    """All options of these section classes by dotted key, in the order of declaration."""
    options = [
        Option(section=section, name=field.name, type=field.type, default=field.default, **field.metadata)
        for section, section_type in sections.items()
        for field in attrs.fields(attrs.resolve_types(section_type))
    ]
    return {option.key: option for option in options}
