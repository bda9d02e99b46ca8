"""Which peers an asker gets: every other peer with the same chance, as a few slices of a pack.

A contiguous run from a uniformly random start of a ring gives each entry the same probability. Leechers and seeders are
two rings, served in proportion (the remainder by lot), because one run over both would return only the one or only the
other in a large swarm. A seeder is given no seeders; nobody is given itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from meshtracker.swarm.peers import PeerPack, Range

Random: TypeAlias = Callable[[], float]


def choose(pack: PeerPack, wanted: int, *, asker: int, seeding: bool, random: Random) -> list[Range]:
    """At most ``wanted`` live peers of ``pack`` as ranges that do not overlap.

    ``asker`` is the asker's own position or -1; ``seeding`` withholds seeders; ``random`` draws from [0, 1).
    """
    leechers, live = pack.leechers, pack.live
    if asker >= live:
        asker = -1
    border = leechers if seeding else live
    others = border - (0 <= asker < border)
    if wanted >= others:
        return _around(0, others, asker if others < border else border)
    if wanted <= 0:
        return []
    seeders = border - leechers - (leechers <= asker < border)
    if not seeders:
        return _run(0, leechers, wanted, asker, random)
    share, rest = divmod(wanted * seeders, others)
    share += random() * others < rest
    return _run(0, leechers, wanted - share, asker, random) + _run(leechers, live, share, asker, random)


def chosen_addresses(pack: PeerPack, wanted: int, *, asker: int, seeding: bool, random: Random) -> bytes:
    """Compact addresses of those that `choose` gives, sooner where that is everybody."""
    border = pack.leechers if seeding else pack.live
    if wanted < border:
        return pack.addresses_of(choose(pack, wanted, asker=asker, seeding=seeding, random=random))
    return pack.addresses_but(asker, border)


def _run(start: int, stop: int, wanted: int, asker: int, random: Random) -> list[Range]:
    """``wanted`` entries of the ring ``start``..``stop`` from a random one on, as if the asker were not in it."""
    if not wanted:
        return []
    if start <= asker < stop:
        stop -= 1
    else:
        asker = stop
    low = start + int(random() * (stop - start))
    high = low + wanted
    if high <= asker:
        return [(low, high)]
    if high <= stop:
        return _around(low, high, asker)
    return _around(low, stop, asker) + _around(start, high - (stop - start), asker)


def _around(low: int, high: int, asker: int) -> list[Range]:
    """Where ``low`` up to ``high`` are, if they were counted without the asker."""
    if high <= asker:
        return [(low, high)]
    if low >= asker:
        return [(low + 1, high + 1)]
    return [(low, asker), (asker + 1, high + 1)]
