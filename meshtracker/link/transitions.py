"""The whole order of a session, as one table: what may come in each state, and where it leads.

    connecting ─► securing ─► authenticating ─► greeting ─► comparing ─► bursting ─┬─► heard ────┬─► synced ─► closed
                                                                                   └─► confirmed ┘
A link that is up and carries no data is in a soft-split *on top of* its state, and goes on from there.
"""

from __future__ import annotations

import enum
from typing import TypeAlias

from meshtracker.errors import CloseCode, LinkError
from meshtracker.wire.frame import DATA_FRAMES, FrameType


class State(enum.Enum):
    """Where a link is; only ``SYNCED`` means that peers flow both ways."""

    CONNECTING = "connecting"
    SECURING = "securing"
    AUTHENTICATING = "authenticating"
    GREETING = "greeting"
    """The password is proven; HELLO is to come."""
    COMPARING = "comparing"
    """The peer's vector is to come."""
    BURSTING = "bursting"
    HEARD = "heard"
    """The peer's burst has come; the peer has not confirmed this node's."""
    CONFIRMED = "confirmed"
    """The peer has confirmed this node's burst; its own has not come."""
    SYNCED = "synced"
    SOFT_SPLIT = "soft-split"
    """Up, but no data flows (see `split`); what comes is taken as before."""
    CLOSED = "closed"

    @property
    def shown(self) -> str:
        """The word for people, who need not know the finer steps."""
        return _SHOWN.get(self, self.value)


class Step(enum.Enum):
    """What leads on besides frames."""

    CONNECTED = "connected"
    SECURED = "secured"
    PROVEN = "proven"
    COMPARED = "compared"
    """Both vectors are known."""
    BURST_CONFIRMED = "burst confirmed"


Event: TypeAlias = FrameType | Step

_F, _S = FrameType, State
_SHOWN = {_S.GREETING: "comparing", _S.HEARD: "bursting", _S.CONFIRMED: "bursting"}
_ALWAYS = (DATA_FRAMES - {_F.END_OF_BURST}) | {_F.INTEREST, _F.HEARTBEAT, _F.DIRECTED}


def _row(state: State, stay: frozenset[Event] | set[Event], **leads: State) -> dict[tuple[State, Event], State]:
    names: dict[str, Event] = {event.name: event for event in (*FrameType, *Step)}
    row = dict.fromkeys([(state, event) for event in stay], state)
    row.update({(state, names[name]): to for name, to in leads.items()})
    return row


TRANSITIONS: dict[tuple[State, Event], State] = {
    **_row(_S.CONNECTING, set(), CONNECTED=_S.SECURING),
    **_row(_S.SECURING, set(), SECURED=_S.AUTHENTICATING),
    **_row(
        _S.AUTHENTICATING,
        {_F.AUTH_FIRST, _F.AUTH_CHALLENGE, _F.AUTH_PROOF, _F.AUTH_FINAL},
        PROVEN=_S.GREETING,
        CLOSE=_S.CLOSED,
    ),
    **_row(_S.GREETING, set(), HELLO=_S.COMPARING, CLOSE=_S.CLOSED),
    **_row(_S.COMPARING, {_F.INTEREST, _F.VECTOR}, COMPARED=_S.BURSTING, CLOSE=_S.CLOSED),
    **_row(_S.BURSTING, _ALWAYS, END_OF_BURST=_S.HEARD, BURST_CONFIRMED=_S.CONFIRMED, CLOSE=_S.CLOSED),
    **_row(_S.HEARD, _ALWAYS, BURST_CONFIRMED=_S.SYNCED, CLOSE=_S.CLOSED),
    **_row(_S.CONFIRMED, _ALWAYS, END_OF_BURST=_S.SYNCED, CLOSE=_S.CLOSED),
    **_row(_S.SYNCED, _ALWAYS, CLOSE=_S.CLOSED),
}
"""State and event to the state that follows. What is not in it closes the link with one line that names both."""

HANDSHAKE_STATES = frozenset({_S.CONNECTING, _S.SECURING, _S.AUTHENTICATING, _S.GREETING, _S.COMPARING})
"""Before any data flows."""


def after(state: State, event: Event) -> State:
    """The state that follows. Raises `LinkError` for what is not in the table."""
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise LinkError(
            f"protocol error: {event.name} is not allowed while {state.value}", code=CloseCode.PROTOCOL
        ) from None
