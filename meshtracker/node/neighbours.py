"""What a node remembers of the nodes it links with, from one connection to the next; a restart forgets it."""

from __future__ import annotations

import attrs

from meshtracker.link.split import Verdict
from meshtracker.node.commands import Disabled

MAX_NEIGHBOURS = 1000
"""Remembered at once; who knows the password may come under any number of names."""
MIN_PENALTY_SECONDS = 1.0
MAX_PENALTY_SECONDS = 60.0
"""Somebody else may have used the name: its owner must not be kept out for longer."""
FORGIVEN_SECONDS = 600.0
"""After so long without a breach the next one counts as the first."""


@attrs.frozen(kw_only=True)
class NeighbourStatistics:
    """One node as status and metrics show it."""

    name: str
    """Empty for a hub that was never reached."""
    address: str
    """Where this node dials it; empty if it does not."""
    soft_splits: int
    """Times that the link was up and data did not flow."""
    resets: int
    """By command."""
    split_resets: int
    """By this node itself, because of a soft-split."""
    verdict: str
    """What the last soft-split was, with its figures; empty if there was none."""
    verdict_rule: str
    verdict_seconds_ago: float
    disabled: Disabled | None
    wants_everything: bool
    """Will the next burst bring everything anew? So it is after a full reset."""
    breaches: int
    """Times that it broke the protocol."""
    breach: str
    """What the last breach was."""
    refused_for_seconds: float
    """How long it has to wait for that; 0 if it need not."""


@attrs.define(eq=False, kw_only=True)
class Penalty:
    """What a node that breaks the protocol has to wait before it is taken again: twice as long each time."""

    breaches: int = 0
    reason: str = ""
    until: float = float("-inf")
    _seconds: float = 0.0

    def breach(self, reason: str, now: float) -> None:
        """It did, again."""
        if now > self.until + FORGIVEN_SECONDS:
            self._seconds = 0.0
        self.breaches += 1
        self.reason = reason
        self._seconds = min(MAX_PENALTY_SECONDS, max(MIN_PENALTY_SECONDS, 2 * self._seconds))
        self.until = now + self._seconds

    def wait_seconds(self, now: float) -> float:
        """What is left of it; 0 if nothing is."""
        return max(0.0, self.until - now)


@attrs.define(eq=False, kw_only=True)
class Neighbour:
    """One node."""

    name: str
    """Or, of a hub that was never reached, its address."""
    soft_splits: int = 0
    resets: int = 0
    split_resets: int = 0
    verdict: Verdict | None = None
    verdict_at: float = 0.0
    disabled: Disabled | None = None
    wants_everything: bool = False
    penalty: Penalty = attrs.field(factory=Penalty)

    def absorb(self, other: Neighbour) -> None:
        """Take over what was noted before it was known to be the same node."""
        self.resets += other.resets
        self.disabled = self.disabled or other.disabled
        self.wants_everything = self.wants_everything or other.wants_everything


class Neighbours:
    """Every node met, the longest unmet first, and every hub that is dialled."""

    def __init__(self) -> None:
        self._known: dict[str, Neighbour] = {}
        self._hubs: dict[str, str] = {}
        """The node last met at each address that is dialled, or that address again. As many as are configured."""
        self._strangers: Disabled | None = None
        """What holds for nodes that are not known."""

    def dial(self, address: str) -> None:
        """A hub is dialled."""
        if address not in self._hubs:
            self._hubs[address] = address
            self._known[address] = Neighbour(name=address, disabled=self._strangers)

    def meet(self, name: str, *, dialed: str = "") -> Neighbour:
        """A node said its name; ``dialed`` is the address at which it was found, if this node dialled."""
        neighbour = self._known.pop(name, None) or Neighbour(name=name, disabled=self._strangers)
        self._known[name] = neighbour
        if dialed:
            unnamed = self._known.pop(dialed, None)
            if unnamed is not None:
                neighbour.absorb(unnamed)
            self._hubs[dialed] = name
        self._forget()
        return neighbour

    def _forget(self) -> None:
        """Let go of the one unmet for longest, but of none that the operator decided on or configured."""
        if len(self._known) <= MAX_NEIGHBOURS:
            return
        hubs = set(self._hubs.values())
        for name, neighbour in self._known.items():
            if neighbour.disabled is self._strangers and name not in hubs:
                del self._known[name]
                return

    def forget(self, neighbour: Neighbour) -> None:
        """Remember nothing of one but its name, if it is configured."""
        hub = next((address for address, name in self._hubs.items() if name == neighbour.name), None)
        del self._known[neighbour.name]
        if neighbour.disabled not in (None, self._strangers):
            # That an operator wants no link is for him to take back.
            self._known[neighbour.name] = Neighbour(name=neighbour.name, disabled=neighbour.disabled)
        elif hub is not None:
            del self._hubs[hub]
            self.dial(hub)

    def find(self, name: str) -> Neighbour | None:
        """By the name of a node or the address of a hub."""
        return self._known.get(self._hubs.get(name, name))

    def all(self) -> list[Neighbour]:
        """Every one that is known."""
        return list(self._known.values())

    def disabled(self, name: str) -> Disabled | None:
        """Why links with a node, or with the hub at an address, are not wanted; None if they are."""
        neighbour = self.find(name)
        return self._strangers if neighbour is None else neighbour.disabled

    def set_disabled(self, neighbour: Neighbour | None, disabled: Disabled | None) -> None:
        """Close or open the door to one, or (None) to everybody who ever comes."""
        for one in self._known.values() if neighbour is None else (neighbour,):
            one.disabled = disabled
        if neighbour is None:
            self._strangers = disabled

    def statistics(self, now: float) -> tuple[NeighbourStatistics, ...]:
        """A frozen snapshot, hubs first, then by name."""
        addresses = {name: address for address, name in self._hubs.items()}
        return tuple(
            NeighbourStatistics(
                name="" if one.name in self._hubs else one.name,
                address=addresses.get(one.name, ""),
                soft_splits=one.soft_splits,
                resets=one.resets,
                split_resets=one.split_resets,
                verdict=one.verdict.text if one.verdict else "",
                verdict_rule=one.verdict.rule if one.verdict else "",
                verdict_seconds_ago=now - one.verdict_at if one.verdict else 0.0,
                disabled=one.disabled,
                wants_everything=one.wants_everything,
                breaches=one.penalty.breaches,
                breach=one.penalty.reason,
                refused_for_seconds=one.penalty.wait_seconds(now),
            )
            for one in sorted(self._known.values(), key=lambda one: (one.name not in addresses, one.name))
        )
