"""Every error of the package; each says who is at fault and whether the other side may read it."""

from __future__ import annotations

from typing import ClassVar, Literal

Fault = Literal["client", "peer", "operator", "node"]
LinkFault = Literal[
    "authentication", "name", "clock", "gap", "forged", "future", "flood", "disabled", "soft-split", "protocol"
]
"""What a node can have against the other end of a link."""


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

    def __init__(self, reason: str, *, kind: LinkFault = "protocol") -> None:
        """``kind`` is what such refusals are counted under."""
        super().__init__(reason)
        self.kind = kind


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
