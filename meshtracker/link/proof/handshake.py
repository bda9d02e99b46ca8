"""The AUTH frames of a link: protocol version, mechanism, and the mutual proof of `authentication`.

Each end feeds it the frames that come and sends what it returns, until `is_proven`.
"""

from __future__ import annotations

from typing import Any

from meshtracker.errors import CloseCode, LinkError
from meshtracker.link.greeting import common_version
from meshtracker.link.proof.authentication import Credential, Prover, Verifier
from meshtracker.wire.frame import FrameType
from meshtracker.wire.link import Auth, Hello, control, read_versions, text


class Handshake:
    """One end of it."""

    def __init__(
        self, credential: Credential, *, dials: bool, name: str, binding: bytes | None, versions: tuple[int, int]
    ) -> None:
        """``name`` is this node's; ``binding``: see `authentication.channel_binding`; None without TLS.

        ``versions``: the oldest and the newest of the protocol that this node speaks.
        """
        self._versions = versions
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
        least, newest = self._versions
        return control(FrameType.AUTH_FIRST, v=newest, least=least, mechanism=self._prover.mechanism, message=first)

    def receive(self, auth: Auth) -> bytes:
        """The answer to a frame, if there is one. Raises `LinkError` and `WireError`."""
        kind, fields = auth.kind, auth.fields
        message = text(fields, "message")
        match kind, self._verifier, self._prover:
            case FrameType.AUTH_FIRST, Verifier() as verifier, _:
                self._check_common(fields, verifier.mechanism)
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

    @property
    def may_speak(self) -> bool:
        """Is the other end believed what it says of other nodes' streams? A hub that was dialled is."""
        return self._verifier is None or self._verifier.may_speak

    def _check_common(self, fields: dict[bytes, Any], mechanism: str) -> None:
        common_version(self._versions, read_versions(fields), here="the listening node", there="the dialling node")
        if text(fields, "mechanism") != mechanism:
            raise LinkError("link.tls differs: one side has it on, the other off", code=CloseCode.OTHER)
