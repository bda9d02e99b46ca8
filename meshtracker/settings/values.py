"""One value: from TOML or the environment to its type, back to TOML, and in words."""

from __future__ import annotations

import json
import re
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import attrs
import cattrs
import tomli

from meshtracker.settings.network import (
    AdminAddress,
    IpAddress,
    IpNetwork,
    ListenAddress,
    RemoteAddress,
    parse_admin_address,
)
from meshtracker.settings.option import Option
from meshtracker.settings.secret import MASK, MAX_SECRET_CHARACTERS, MIN_SECRET_CHARACTERS, Secret

MAX_SHOWN_CHARACTERS = 80
"""An error repeats at most this much of a wrong value."""
GROUPED_DIGITS_FROM = 10_000
"""Integers are written 20_000, but 1800."""


@attrs.frozen
class Kind:
    """The words for an option's type: its name, the range, and what an error says it must be."""

    name: str
    allowed: str
    wanted: str


def _list_kind(things: str, examples: str) -> Kind:
    return Kind(f"list of {things}", f"like {examples}", f"a list of {things} like {examples}")


_SECRET_RANGE = f"{MIN_SECRET_CHARACTERS} to {MAX_SECRET_CHARACTERS} printable characters, no well-known default"
_KINDS: dict[object, Kind] = {
    bool: Kind("boolean", "true or false", "true or false"),
    Path | None: Kind("path", 'any, "" for none', "a path as text"),
    Secret | None: Kind("secret", _SECRET_RANGE, f"a secret of {_SECRET_RANGE}"),
    IpAddress | None: Kind("IP address", 'any, "" for none', 'an IP address or ""'),
    tuple[ListenAddress, ...]: _list_kind("listen addresses", '"192.0.2.1:6969", "[::]:6969"'),
    tuple[AdminAddress, ...]: _list_kind("listen addresses", '"127.0.0.1:6970", "unix:/run/meshtracker/admin.sock"'),
    tuple[RemoteAddress, ...]: _list_kind("hosts with port", '"hub.example.org:59100", "[2001:db8::1]:59100"'),
    tuple[IpNetwork, ...]: _list_kind("networks", '"192.0.2.0/24", "2001:db8::/32"'),
}


def describe(option: Option) -> Kind:
    """The words for this option."""
    bounds = f"{to_toml(option.minimum)} to {to_toml(option.maximum)}"
    if option.type is int:
        return Kind("whole number", bounds, f"a whole number from {bounds}")
    if option.type is float:
        return Kind("number", bounds, f"a number from {bounds}")
    if option.type is str:
        return Kind("text", f"{option.pattern}", f"text of the form {option.pattern}")
    if _is_literal(option.type):
        choices = " or ".join(to_toml(choice) for choice in get_args(option.type))
        return Kind("choice", choices, choices)
    return _KINDS[option.type]


def to_toml(value: object) -> str:
    """A typed or raw value as TOML on one line; nothing is ``""`` and secrets are masked."""
    match value:
        case None:
            return '""'
        case bool():
            return "true" if value else "false"
        case int():
            return f"{value:_}" if abs(value) >= GROUPED_DIGITS_FROM else str(value)
        case float():
            return repr(value)
        case tuple() | list():
            return f"[{', '.join(map(to_toml, value))}]"
        case Secret():
            return f'"{MASK}"'
        case _:
            # JSON's escapes are a subset of TOML's, except that TOML wants DEL escaped too.
            return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")


def structure(option: Option, raw: object) -> Any:
    """The typed value of a raw one; ValueError says what it must be and what it is."""
    try:
        value = _converter.structure(raw, option.type)
        # NaN is within no bounds.
        if option.minimum is not None and option.maximum is not None and not option.minimum <= value <= option.maximum:
            raise _wrong(raw)
        if option.pattern is not None and not re.fullmatch(option.pattern, value):
            raise _wrong(raw)
    except ValueError as error:
        raise ValueError(f"must be {describe(option).wanted}, {error}") from None
    return value


def from_environment(option: Option, text: str) -> object:
    """The raw value that an environment variable stands for, as a file would hold it."""
    if option.type in (int, float, bool):
        return _parse_toml(text, otherwise=text)
    if _is_list(option.type):
        listed = _parse_toml(text, otherwise=None)
        return listed if isinstance(listed, list) else [item.strip() for item in text.split(",") if item.strip()]
    return text


def _parse_toml(text: str, *, otherwise: object) -> object:
    try:
        document = tomli.loads(f"value = {text}")
    except ValueError:
        return otherwise
    return document["value"] if len(document) == 1 else otherwise


def _is_literal(kind: Any) -> bool:
    return get_origin(kind) is Literal


def _is_list(kind: Any) -> bool:
    return get_origin(kind) is tuple


def _wrong(raw: object) -> ValueError:
    text = to_toml(raw)
    return ValueError(f"got {text if len(text) <= MAX_SHOWN_CHARACTERS else text[:MAX_SHOWN_CHARACTERS] + '…'}")


def _exactly(raw: object, *types: type) -> Any:
    """``raw`` if it has one of these very types: Python's bool is an int, an operator's is not."""
    if type(raw) not in types:
        raise _wrong(raw)
    return raw


def _structure_literal(raw: object, literal: Any) -> object:
    if raw not in get_args(literal):
        raise _wrong(raw)
    return raw


def _structure_list(raw: object, tuple_type: Any) -> tuple[Any, ...]:
    item_type, _ = get_args(tuple_type)
    return tuple(_converter.structure(item, item_type) for item in _exactly(raw, list))


def _structure_secret(raw: object, _: object) -> Secret:
    if not isinstance(raw, str):
        raise ValueError("it is not text")  # does not repeat it, for it may well be the password
    return Secret(raw)


_converter = cattrs.Converter(detailed_validation=False)
_converter.register_structure_hook(bool, lambda raw, _: _exactly(raw, bool))
_converter.register_structure_hook(int, lambda raw, _: _exactly(raw, int))
_converter.register_structure_hook(float, lambda raw, _: float(_exactly(raw, float, int)))
_converter.register_structure_hook(str, lambda raw, _: _exactly(raw, str))
_converter.register_structure_hook(Path | None, lambda raw, _: Path(raw) if _exactly(raw, str) else None)
_converter.register_structure_hook(Secret | None, _structure_secret)
_converter.register_structure_hook(IpAddress | None, lambda raw, _: ip_address(raw) if _exactly(raw, str) else None)
_converter.register_structure_hook(IpNetwork, lambda raw, _: ip_network(_exactly(raw, str)))
_converter.register_structure_hook(ListenAddress, lambda raw, _: ListenAddress.parse(_exactly(raw, str)))
_converter.register_structure_hook(AdminAddress, lambda raw, _: parse_admin_address(_exactly(raw, str)))
_converter.register_structure_hook(RemoteAddress, lambda raw, _: RemoteAddress.parse(_exactly(raw, str)))
_converter.register_structure_hook_func(_is_literal, _structure_literal)
_converter.register_structure_hook_func(_is_list, _structure_list)
