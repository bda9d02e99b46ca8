"""Where a link is in its life, and what may arrive there.

connecting ─► securing ─► authenticating ─► comparing ─► bursting ─► synced ─► closed
                                                             ╰──► soft-split ◄──╯
"""

from __future__ import annotations

import enum

from meshtracker.wire.frame import DATA_FRAMES, FrameType


class State(enum.Enum):
    """Where a link is; only ``SYNCED`` means that peers flow both ways."""

    CONNECTING = "connecting"
    SECURING = "securing"
    AUTHENTICATING = "authenticating"
    COMPARING = "comparing"
    BURSTING = "bursting"
    SYNCED = "synced"
    SOFT_SPLIT = "soft-split"
    """Up, but no data flows (see `split`); what comes is taken as before."""
    CLOSED = "closed"


_F = FrameType
LEGAL: dict[State, frozenset[FrameType]] = {
    State.CONNECTING: frozenset(),
    State.SECURING: frozenset(),
    State.AUTHENTICATING: frozenset({_F.AUTH_FIRST, _F.AUTH_CHALLENGE, _F.AUTH_PROOF, _F.AUTH_FINAL, _F.CLOSE}),
    State.COMPARING: frozenset({_F.HELLO, _F.INTEREST, _F.VECTOR, _F.CLOSE}),
    State.BURSTING: DATA_FRAMES | {_F.INTEREST, _F.HEARTBEAT, _F.CLOSE},
    State.SYNCED: (DATA_FRAMES - {_F.END_OF_BURST}) | {_F.INTEREST, _F.HEARTBEAT, _F.CLOSE},
    State.SOFT_SPLIT: DATA_FRAMES | {_F.INTEREST, _F.HEARTBEAT, _F.CLOSE},
    State.CLOSED: frozenset(),
}

HANDSHAKE_STATES = frozenset({State.CONNECTING, State.SECURING, State.AUTHENTICATING, State.COMPARING})
"""Before any data flows."""
