"""Plays many games on all cores, and cuts one that ends badly down to the turns that it takes."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterable, Sequence

import attrs

from tests.hostile.game import TURNS, play
from tests.simulation.shrink import shrink

_CHUNK_GAMES = 10
_SHRINK_RUNS = 120


@attrs.frozen
class Failure:
    """A game that ended badly."""

    game: int
    problem: str
    error: BaseException | None = None


def try_game(game: int, turns: Iterable[int] | None = None, *, traced: bool = False) -> Failure | None:
    """What went wrong, if anything did."""
    try:
        play(game, range(TURNS) if turns is None else turns)
    except Exception as error:  # whatever a liar brings out of an honest node is what is looked for
        return Failure(game, f"{type(error).__name__}: {str(error)[:500]}", error if traced else None)
    return None


def play_many(games: Sequence[int], *, jobs: int) -> list[Failure]:
    """Play them all; returns the bad ones."""
    if jobs == 1:
        return [failure for game in games if (failure := try_game(game)) is not None]
    # Not forked: a test suite has threads.
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        found = pool.imap_unordered(try_game, games, chunksize=_CHUNK_GAMES)
        return sorted((failure for failure in found if failure is not None), key=lambda failure: failure.game)


def cut_down(failure: Failure) -> str:
    """The failure in words, with the turns that it takes and how to play them again."""
    game = failure.game
    turns = shrink(range(TURNS), lambda chosen: try_game(game, chosen) is not None, max_runs=_SHRINK_RUNS)
    numbers = ",".join(map(str, turns))
    return (
        f"game {game} ended badly: {failure.problem}\nit takes {len(turns)} turns; play them again with\n"
        f"  make replay-game GAME={game} TURNS={numbers}"
    )
