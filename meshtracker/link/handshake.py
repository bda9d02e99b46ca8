"""The AUTH frames of a link: protocol version, mechanism, and the mutual proof of `authentication`.

Each end feeds it the frames that come and sends what it returns, until `is_proven`.
"""

from __future__ import annotations

from typing import Any

from meshtracker.errors import LinkError
from meshtracker.link.authentication import Credential, Prover, Verifier
from meshtracker.wire.frame import FrameType
from meshtracker.wire.link import PROTOCOL_VERSION, Hello, control, number, text

AUTH_FRAMES = frozenset({FrameType.AUTH_FIRST, FrameType.AUTH_CHALLENGE, FrameType.AUTH_PROOF, FrameType.AUTH_FINAL})


class Handshake:
    """One end of it."""

    def __init__(self, credential: Credential, *, dials: bool, name: str, binding: bytes | None) -> None:
        """``name`` is this node's; ``binding``: see `authentication.channel_binding`; None without TLS."""
        self.is_proven = False
        """Have both ends proven that they know the password?"""
        self._prover = Prover(credential, name=name, binding=binding) if dials else None
        self._verifier = None if dials else Verifier(credential, binding=binding)

    @property
    def detail(self) -> str:
        """Why this end refused a proof, for its own operator only."""
        return self._verifier.detail if self._verifier else ""

    @property
    def void_name(self) -> str:
        """Whose proof counts no longer, because the credential was revoked or replaced; empty if it does."""
        return self._verifier.name if self._verifier and self._verifier.is_void else ""

    def first(self) -> bytes:
        """The frame that begins it; nothing from a listener."""
        if self._prover is None:
            return b""
        first = self._prover.first()
        return control(FrameType.AUTH_FIRST, v=PROTOCOL_VERSION, mechanism=self._prover.mechanism, message=first)

    def receive(self, kind: FrameType, fields: dict[bytes, Any]) -> bytes:
        """The answer to a frame, if there is one. Raises `LinkError` and `WireError`."""
        message = text(fields, "message")
        match kind, self._verifier, self._prover:
            case FrameType.AUTH_FIRST, Verifier() as verifier, _:
                _check_common(fields, verifier.mechanism)
                return control(FrameType.AUTH_CHALLENGE, message=verifier.challenge(message))
            case FrameType.AUTH_CHALLENGE, _, Prover() as prover:
                return control(FrameType.AUTH_PROOF, message=prover.proof(message))
            case FrameType.AUTH_PROOF, Verifier() as verifier, _:
                final = verifier.final(message)
                self.is_proven = True
                return control(FrameType.AUTH_FINAL, message=final)
            case FrameType.AUTH_FINAL, _, Prover() as prover:
                prover.verify(message)
                self.is_proven = True
                return b""
        raise LinkError(f"protocol error: {kind.name} is not for this side")

    def check_hello(self, hello: Hello) -> None:
        """Raises `LinkError` for a dialer that says it has another name than it proved, or more rights."""
        if self._verifier is not None:
            self._verifier.vouch_for(hello.name, forwards=hello.forwards)


def _check_common(fields: dict[bytes, Any], mechanism: str) -> None:
    version = number(fields, "v")
    if version != PROTOCOL_VERSION:
        raise LinkError(
            f"protocol version {version} is not spoken here: the listener speaks {PROTOCOL_VERSION},"
            f" the dialer {version}; run the same release on both nodes"
        )
    if text(fields, "mechanism") != mechanism:
        raise LinkError("link.tls differs: one side has it on, the other off")
