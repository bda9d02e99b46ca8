"""What the link costs: time to resync, bytes a relayed update, memory while a leaf is stuck.

    python -m tests.benchmarks.relay [resync|bytes|stuck] ... [--peers 1000000] [--minutes 10]

Real processes over loopback TCP with TLS, default settings unless the table says otherwise. Prints Markdown. Without a
name all three run: a quarter of an hour at most, and after that twice ``--minutes`` for ``stuck``.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import trio

from tests.benchmarks import resync, stuck, traffic
from tests.benchmarks.members import BenchmarkError, Plan

Series = Callable[[Plan], Awaitable[None]]

say = partial(print, flush=True)


def series(options: argparse.Namespace) -> dict[str, list[Series]]:
    """What can be measured by name; each part begins with a mesh of its own."""
    sizes = resync.Sizes(
        peers=options.peers, torrents=options.torrents, outage_seconds=options.outage, changes=options.changes
    )
    leaf_is_stuck = partial(stuck.run, say=say, minutes=options.minutes, max_log_bytes=options.log_mib << 20)
    return {
        "resync": [partial(resync.run, say=say, sizes=sizes)],
        "bytes": [partial(traffic.run, say=say)],
        "stuck": [partial(leaf_is_stuck, variant=variant) for variant in stuck.VARIANTS],
    }


async def measure(part: Series) -> None:
    """Run one part in a directory of its own."""
    # A short name: those of Unix sockets hold 107 bytes.
    with tempfile.TemporaryDirectory(prefix="mt-") as directory:
        await part(Plan(Path(directory)))


def texts(errors: BaseExceptionGroup[BaseException]) -> str:
    """What went wrong, without where."""
    parts = errors.exceptions
    return "; ".join(texts(part) if isinstance(part, BaseExceptionGroup) else str(part) for part in parts)


def main() -> None:
    """See the module's docstring."""
    names = ("resync", "bytes", "stuck")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("series", nargs="*", metavar="series", help=f"of {', '.join(names)}; all if none is named")
    parser.add_argument("--peers", type=int, default=1_000_000, help="resync: in the mesh")
    parser.add_argument("--torrents", type=int, default=100_000, help="resync: that they are spread over")
    parser.add_argument("--outage", type=float, default=60.0, help="resync: seconds that a link is cut")
    parser.add_argument("--changes", type=int, default=5000, help="resync: new clients at each of two leaves meanwhile")
    parser.add_argument("--minutes", type=float, default=10.0, help="stuck: how long, for each of two variants")
    parser.add_argument("--log-mib", type=int, default=8, help="stuck: link.max_log_bytes of the hub, soon full")
    options = parser.parse_args()
    known = series(options)
    if unknown := set(options.series) - known.keys():
        parser.error(f"there is no {', '.join(sorted(unknown))}")
    for name in options.series or names:
        say(f"\n### {name}\n")
        for part in known[name]:
            try:
                trio.run(measure, part)
            except* BenchmarkError as errors:
                raise SystemExit(f"{name}: {texts(errors)}") from None


if __name__ == "__main__":
    main()
