"""Every error of the package; each says who is at fault and whether the other side may read it."""

from __future__ import annotations

import enum
from typing import ClassVar, Literal

Fault = Literal["client", "peer", "operator", "node"]


class CloseCode(enum.IntEnum):
    """Why a link was closed: one byte of CLOSE, and what refusals are counted under. Nothing matches the text."""

    OTHER = 0
    """Also what a code of a later version is read as."""
    STOPPING = 1
    """The node is being stopped."""
    RESET = 2
    """Somebody wants the link made anew at once."""
    DISABLED = 3
    """An operator wants no link with that node."""
    REPLACED = 4
    """A newer connection of the same node is there, or another hub is linked instead."""
    AUTHENTICATION = 5
    """The proof failed, or counts no longer."""
    VERSION = 6
    """No common protocol version."""
    NAME = 7
    """The name is taken by another node that is linked and alive."""
    CLOCK = 8
    """The clocks are too far apart."""
    TIMEOUT = 9
    """The handshake took too long."""
    SOFT_SPLIT = 10
    """Up, but no data flowed."""
    PROTOCOL = 11
    """A frame that is not allowed, or cannot be read."""
    FORGED = 12
    """The peer spoke for a node that it may not speak for."""
    GAP = 13
    """A batch was missing. Not a breach: two sources of one stream may make one."""
    FUTURE = 14
    """The peer stamps its records too far ahead. Not a breach: a clock is wrong, perhaps this node's."""
    FLOOD = 15
    """More than the peer may ask for or bring."""
    PENALTY = 16
    """The peer broke the protocol before, and has to wait."""
    UNREACHABLE = 17
    """Never sent: the connection could not be made, or was lost."""

    @property
    def label(self) -> str:
        """``soft-split`` for `SOFT_SPLIT`: for metrics and tables."""
        return self.name.lower().replace("_", "-")

    @property
    def is_breach(self) -> bool:
        """Did the other end break the protocol, so that it has to wait before it is taken again?"""
        return self in _BREACHES


_BREACHES = frozenset({CloseCode.PROTOCOL, CloseCode.FORGED, CloseCode.FLOOD})


class MeshtrackerError(Exception):
    """Base of all errors of the package."""

    fault: ClassVar[Fault] = "node"
    visible: ClassVar[bool] = False
    """May the other side of the wire read ``str(error)``?"""


class ClientError(MeshtrackerError):
    """A client asked for something that it will not get; the text is its failure reason (BEP 3)."""

    fault = "client"
    visible = True

    def __init__(self, reason: str, *, retry_in_minutes: int | None = None, never: bool = False) -> None:
        """``retry_in_minutes`` and ``never`` become BEP 31's ``retry in``; ``never`` wins."""
        super().__init__(reason)
        self.reason = reason
        self.retry_in_minutes = retry_in_minutes
        self.never = never


class UnanswerableError(MeshtrackerError):
    """Bytes of a client to which no answer is safe or possible: counted and dropped."""

    fault = "client"


class LinkError(MeshtrackerError):
    """The other end of a link broke the protocol or is refused; ``str()`` is one plain line for both sides."""

    fault = "peer"
    visible = True

    def __init__(self, reason: str, *, code: CloseCode = CloseCode.PROTOCOL) -> None:
        """``code``: what the other end is told, and what such refusals are counted under."""
        super().__init__(reason)
        self.code = code


class WireError(MeshtrackerError):
    """Bytes that do not decode (a frame, a batch, a bencoded value)."""

    fault = "peer"


class ConfigurationError(MeshtrackerError):
    """A setting that cannot be used: names the file, the dotted key and what would be right."""

    fault = "operator"

    def __init__(self, *, source: str, key: str, problem: str) -> None:
        super().__init__(f"{source}: {key}: {problem}" if key else f"{source}: {problem}")
        self.source = source
        self.key = key
        self.problem = problem


class StartError(MeshtrackerError):
    """The node cannot start for a reason outside its settings (a port in use, a file not readable)."""

    fault = "operator"


class SnapshotDamagedError(MeshtrackerError):
    """A snapshot file that is truncated, altered or of an unknown version."""
