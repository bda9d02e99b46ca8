"""Figures made by hand, for what draws them."""

from __future__ import annotations

import math

from meshtracker.demo.figures import Figures, LinkFigures, NodeFigures
from meshtracker.demo.probe import Delays


def make_figures(*, own: int = 57, linked: int = 110, delays: Delays | None = None, warnings: int = 0) -> Figures:
    return Figures(
        elapsed_seconds=12.0,
        nodes=tuple(
            NodeFigures(
                name=name,
                own_peers=own,
                link_peers=linked,
                swarms=6,
                announces_per_second=24.4,
                sent_per_second=1234.0,
                received_per_second=88.0,
            )
            for name in ("hub", "leaf-a", "leaf-b", "leaf-c")
        ),
        links=tuple(
            LinkFigures(
                leaf=leaf,
                state=state,
                resync="full (new node)" if state == "synced" else "",
                sent_bytes_per_second=2345.0,
                received_bytes_per_second=123_456.0,
                lag_batches=lag,
            )
            for leaf, state, lag in (("leaf-a", "synced", 0), ("leaf-b", "synced", 12), ("leaf-c", "authenticating", 9))
        ),
        delays=delays or Delays(measured=1234, lost=0, median_seconds=0.058, p99_seconds=0.111),
        announces=123_456,
        relayed=370_000,
        relayed_batches=37_000,
        link_bytes=370_000 * 40,
        clients=300,
        events={"started": 12_345, "completed": 11_111, "moved": 2345, "stopped": 12_222},
        news=tuple(f"127.3.1.{number} stopped at leaf-c and leaf-b (encyclopedia.zim, HTTP)" for number in range(6)),
        warnings=tuple(f"link of leaf-{number} ended: {'x' * 200}" for number in range(warnings)),
    )


NOTHING_MEASURED = Delays(measured=0, lost=0, median_seconds=math.nan, p99_seconds=math.nan)
