"""What an operator can have done to links, as values; each done is written down.

``name`` is the name of a linked node or the address of a hub as it is dialled (``host:port``); None means all links.
``caller`` and ``reason`` are said to the other node and kept: text of one line.
"""

from __future__ import annotations

from typing import ClassVar, Literal, TypeAlias

import attrs

from meshtracker.errors import MeshtrackerError


class CommandError(MeshtrackerError):
    """A command that cannot be carried out; ``str()`` is one plain line for whoever gave it."""

    fault = "operator"
    visible = True


class UnknownLinkError(CommandError):
    """No node of that name is linked or was, and no hub is dialled there."""


@attrs.frozen(kw_only=True)
class ResetLinks:
    """Close links; whoever dialled does so again, and both ends resync."""

    action: ClassVar[Literal["reset"]] = "reset"
    name: str | None
    full: bool = False
    """Send everything anew, both ways, instead of what was missed."""
    reason: str = ""
    caller: str


@attrs.frozen(kw_only=True)
class DisableLinks:
    """Close links and refuse them until they are enabled or this node starts again."""

    action: ClassVar[Literal["disable"]] = "disable"
    name: str | None
    """None: also the links of nodes that this one has not met yet."""
    reason: str = ""
    caller: str


@attrs.frozen(kw_only=True)
class EnableLinks:
    """Let links come back."""

    action: ClassVar[Literal["enable"]] = "enable"
    name: str | None
    reason: str = ""
    caller: str


@attrs.frozen(kw_only=True)
class ForgetLinks:
    """Forget what is remembered of a node that is not linked: its refusals and its counts."""

    action: ClassVar[Literal["forget"]] = "forget"
    name: str | None
    reason: str = ""
    caller: str


Command: TypeAlias = ResetLinks | DisableLinks | EnableLinks | ForgetLinks


@attrs.frozen(kw_only=True)
class Disabled:
    """Why a link is not wanted."""

    caller: str
    reason: str


@attrs.frozen(kw_only=True)
class AuditEntry:
    """A command that was carried out."""

    at_unix_seconds: float
    caller: str
    action: Literal["reset", "disable", "enable", "forget"]
    links: tuple[str, ...]
    """Names of the nodes, or addresses of hubs whose names are not known yet."""
    everybody: bool
    """Was it a command for all links?"""
    full: bool
    reason: str
