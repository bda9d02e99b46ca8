"""The body of a request as a command for links.

{"name": "leaf-a", "all": false, "full": false, "reason": "stuck since noon", "caller": "alice@desk"}

Exactly one of ``name`` and ``all`` says which links; ``full`` is for resets alone. All else may be left out.
"""

from __future__ import annotations

import json
from typing import Any, TypeVar

from meshtracker.errors import MeshtrackerError
from meshtracker.node.commands import Command, DisableLinks, EnableLinks, ForgetLinks, ResetLinks

MAX_BODY_BYTES = 4096
MAX_NAME_CHARACTERS = 300
"""A host name and a port."""
MAX_REASON_CHARACTERS = 200
"""The other node is told the reason with who gave it and where, in one frame."""
MAX_CALLER_CHARACTERS = 100

ACTIONS = ("reset", "disable", "enable", "forget")

T = TypeVar("T")


class BadCommandError(MeshtrackerError):
    """A body that is no command; ``str()`` is one plain line."""

    fault = "operator"
    visible = True


def read_command(action: str, body: bytes, *, source: str) -> Command:
    """The command; ``source`` is added to what the caller calls itself. Raises `BadCommandError`."""
    fields = _object(body)
    name = _take(fields, "name", str, None)
    everybody = _take(fields, "all", bool, False)
    full = _take(fields, "full", bool, False) if action == "reset" else False
    reason = _line(_take(fields, "reason", str, ""), "reason", MAX_REASON_CHARACTERS)
    caller = _line(_take(fields, "caller", str, ""), "caller", MAX_CALLER_CHARACTERS)
    if fields:
        raise BadCommandError(f"{_said(next(iter(fields)))} is nothing that {action} takes")
    if (name is None) is not everybody:
        raise BadCommandError('say which links: exactly one of "name" and "all"')
    if name is not None:
        name = _line(name, "name", MAX_NAME_CHARACTERS)
    caller = f"{caller or 'somebody'} {source}"
    match action:
        case "reset":
            return ResetLinks(name=name, full=full, reason=reason, caller=caller)
        case "disable":
            return DisableLinks(name=name, reason=reason, caller=caller)
        case "forget":
            return ForgetLinks(name=name, reason=reason, caller=caller)
        case _:
            return EnableLinks(name=name, reason=reason, caller=caller)


def _object(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise BadCommandError("the body must be a JSON object")
    return value


def _take(fields: dict[str, Any], key: str, kind: type[T], default: Any) -> Any:
    value = fields.pop(key, None)
    if value is None:
        return default
    if not isinstance(value, kind):
        raise BadCommandError(f'"{key}" must be {"text" if kind is str else "true or false"}')
    return value


def _line(text: str, key: str, most: int) -> str:
    if len(text) > most or not text.isprintable():
        raise BadCommandError(f'"{key}" must be one line of at most {most} printable characters')
    return text


def _said(key: str) -> str:
    return json.dumps(key[:MAX_NAME_CHARACTERS])
