"""``python -m tests.hostile``: play games, or one of them again."""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
import traceback
from collections.abc import Sequence

from tests.hostile.runner import Failure, cut_down, play_many, try_game


def main() -> int:
    """Exit status 1 if a game ended badly."""
    parser = argparse.ArgumentParser(prog="python -m tests.hostile", description=__doc__)
    parser.add_argument("--games", type=int, default=200, help="how many")
    parser.add_argument("--start", type=int, default=0, help="the first of them")
    parser.add_argument("--jobs", type=int, default=multiprocessing.cpu_count(), help="processes")
    parser.add_argument("--game", type=int, help="play this one again")
    parser.add_argument("--turns", help="of that game only these, by number: 3,17")
    arguments = parser.parse_args()
    if arguments.game is not None:
        return _again(arguments.game, arguments.turns)
    begun = time.monotonic()
    failures = play_many(range(arguments.start, arguments.start + arguments.games), jobs=arguments.jobs)
    for failure in failures:
        print(cut_down(failure), end="\n\n")
    print(f"{arguments.games:,} games, {len(failures)} failures, {time.monotonic() - begun:.0f} s.")
    return bool(failures)


def _again(game: int, turns: str | None) -> int:
    chosen: Sequence[int] | None = None if turns is None else [int(number) for number in turns.split(",")]
    failure = try_game(game, chosen, traced=True)
    if failure is None:
        print(f"game {game} ends well")
        return 0
    traceback.print_exception(failure.error)
    if turns is None:
        print(cut_down(Failure(game, failure.problem)))
    return 1


if __name__ == "__main__":
    sys.exit(main())
