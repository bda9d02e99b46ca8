"""Networks of a test's own: namespaces in which nodes live, a wire between two of them, and firewalls.

Needs namespaces of the test's own (`tests.real.faults.namespaces`), with which all of this vanishes.

    test ── veth ── hub ═══ wire (TUN, TUN) ═══ leaf ── veth ── test

Clients and commands reach nodes by the veth pairs; only the wire suffers.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import random
import struct
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator

import attrs
import trio

_TUNSETIFF = 0x400454CA
_IFF_TUN = 0x0001
_IFF_NO_PI = 0x1000
_PACKET_BYTES = 65_536
WIRE = "wire"
"""Name of a wire's device in both namespaces."""


@attrs.frozen
class Place:
    """A network namespace for one node."""

    name: str
    host: str
    """Its address on the side of the test."""
    wire_host: str
    """Its address on the wire."""

    @property
    def prefix(self) -> tuple[str, ...]:
        """The command that runs its arguments here."""
        return ("ip", "netns", "exec", self.name)


def make_place(name: str, number: int) -> Place:
    """A namespace with a way to the test's own."""
    place = Place(name, f"10.77.{number}.2", f"10.78.0.{number}")
    _ip("netns", "add", name)
    _ip("link", "add", f"to-{name}", "type", "veth", "peer", "name", "up", "netns", name)
    _ip("address", "add", f"10.77.{number}.1/24", "dev", f"to-{name}")
    _ip("link", "set", "dev", f"to-{name}", "up")
    _ip("-n", name, "address", "add", f"{place.host}/24", "dev", "up")
    for device in ("lo", "up"):
        _ip("-n", name, "link", "set", "dev", device, "up")
    return place


@attrs.define
class Wire:
    """Carries IP packets between two places, each after a delay of its own: so they overtake each other."""

    rng: random.Random
    min_delay_seconds: float = 0.0
    max_delay_seconds: float = 0.0
    packets: int = 0
    overtaken: int = 0
    """Packets that came after one that was sent later."""

    @contextlib.contextmanager
    def delaying(self, min_seconds: float, max_seconds: float) -> Iterator[None]:
        """Delay packets as long as the block lasts."""
        self.min_delay_seconds, self.max_delay_seconds = min_seconds, max_seconds
        try:
            yield
        finally:
            self.min_delay_seconds = self.max_delay_seconds = 0.0

    async def carry(self, source: int, target: int) -> None:
        """One direction, until cancelled; ``source`` and ``target`` are TUN devices."""
        sent = delivered = 0

        async def deliver(packet: bytes, number: int, delay_seconds: float) -> None:
            nonlocal delivered
            await trio.sleep(delay_seconds)
            os.write(target, packet)
            self.packets += 1
            self.overtaken += number < delivered
            delivered = max(delivered, number)

        async with trio.open_nursery() as nursery:
            while True:
                await trio.lowlevel.wait_readable(source)
                packet = os.read(source, _PACKET_BYTES)
                sent += 1
                delay_seconds = self.rng.uniform(self.min_delay_seconds, self.max_delay_seconds)
                if delay_seconds:
                    nursery.start_soon(deliver, packet, sent, delay_seconds)
                else:
                    await deliver(packet, sent, 0.0)


@contextlib.asynccontextmanager
async def wire_between(one: Place, other: Place, *, seed: int) -> AsyncIterator[Wire]:
    """A wire as long as the block lasts; places reach each other at their ``wire_host``."""
    wire = Wire(random.Random(seed))
    with _tun(one) as end, _tun(other) as other_end:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wire.carry, end, other_end)
            nursery.start_soon(wire.carry, other_end, end)
            yield wire
            nursery.cancel_scope.cancel()


@contextlib.contextmanager
def firewall(place: Place, rule: str) -> Iterator[Callable[[], int]]:
    """Drop what ``rule`` (nftables) matches of what comes over the wire; call the result for the packets dropped.

    It looks at what comes in: what goes out has not been cut into packets yet.
    """
    _nft(place, "add table inet fault")
    _nft(place, "add chain inet fault coming { type filter hook input priority 0; }")
    _nft(place, f"add rule inet fault coming iifname {WIRE} {rule} counter drop")

    def dropped() -> int:
        listed = json.loads(_nft(place, "--json", "list chain inet fault coming"))["nftables"]
        [rule] = [part["rule"]["expr"] for part in listed if "rule" in part]
        [counter] = [word["counter"]["packets"] for word in rule if "counter" in word]
        packets: int = counter
        return packets

    try:
        yield dropped
    finally:
        _nft(place, "delete table inet fault")


@contextlib.contextmanager
def _tun(place: Place) -> Iterator[int]:
    """One end of a wire: what the place sends can be read here, what is written here it receives."""
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        # Made here, then moved: the descriptor stays good.
        name = f"wire-{place.name}"
        fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TUN | _IFF_NO_PI))
        _ip("link", "set", "dev", name, "netns", place.name)
        _ip("-n", place.name, "link", "set", "dev", name, "name", WIRE)
        _ip("-n", place.name, "address", "add", f"{place.wire_host}/24", "dev", WIRE)
        _ip("-n", place.name, "link", "set", "dev", WIRE, "up")
        yield device
    finally:
        os.close(device)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


def _nft(place: Place, *words: str) -> str:
    return subprocess.run([*place.prefix, "nft", *words], check=True, stdout=subprocess.PIPE, text=True).stdout
