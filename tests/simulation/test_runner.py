"""What a failing seed is told as, and how runs are added up."""

from __future__ import annotations

import pytest

from meshtracker.link import split
from tests.simulation.runner import cut_down, run
from tests.simulation.simulate import run_seed


def test_a_failure_is_cut_down_and_says_how_to_run_it_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(split, "_RULES", tuple(rule for rule in split._RULES if rule[1] is split.applier))
    seed = next(seed for seed in range(50) if run_seed(seed).failed)

    failure = cut_down(run_seed(seed))

    assert 1 <= len(failure.events) <= 3
    assert run_seed(seed, failure.events).record.violations == list(failure.violations)
    numbers = ",".join(map(str, failure.events))
    assert f"make replay SEED={seed} EVENTS={numbers}\n" in str(failure)
    assert str(failure).endswith(f"make replay SEED={seed}")


def test_totals_of_two_processes_are_those_of_one() -> None:
    one, two = run(range(6), jobs=1), run(range(6), jobs=2)
    assert one.text() == two.text()
    assert one.seeds == 6
    assert len(one.text(markdown=True).splitlines()) == len(one.text().splitlines()) + 1
