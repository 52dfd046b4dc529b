"""What every searcher promises: the optimum of a cheap trial is found, and what was found before is not forgotten."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from jobs.sweeping.driving import Book
from jobs.sweeping.record import Trial
from jobs.sweeping.searchers import Searcher
from tests.jobs.sweeping.synthetic import plan_of, run_book

SPACE: dict[str, dict[str, Any]] = {
    "model.dropout": {"kind": "uniform", "low": 0.0, "high": 0.9, "step": 0.05},
    "optimizer": {"kind": "choice", "values": ["adam", "sgd"]},
    "clip_norm": {"kind": "integer", "low": 1, "high": 4, "when": {"optimizer": ["sgd"]}},
}
TRIALS = 120
NEAR = {"random": 0.1}  # of the optimum, which is 3


def worth(values: dict[str, Any]) -> float:
    """Return what a trial comes to: most, 3, at a dropout of 0.3 with sgd and a norm of 2."""
    extra = 2 - abs(float(values["clip_norm"]) - 2) / 2 if values["optimizer"] == "sgd" else 0.0
    return 1 - abs(float(values["model.dropout"]) - 0.3) + extra


def run(book: Book, trials: int) -> list[dict[str, Any]]:
    return run_book(book, trials, worth)


@pytest.mark.parametrize("kind", Searcher.members())
def test_the_optimum_is_found(kind: str, tmp_path: Path) -> None:
    book = Book(plan_of(tmp_path, SPACE, TRIALS, kind), lambda event: None)  # type: ignore[arg-type]
    run(book, TRIALS)
    best = max(trial.measured["accuracy"] for trial in book.trials.values())
    assert best >= 3 - NEAR.get(kind, 0.051)


@pytest.mark.parametrize("kind", Searcher.members())
def test_the_first_trial_is_the_definition_and_conditions_hold(kind: str, tmp_path: Path) -> None:
    book = Book(plan_of(tmp_path, SPACE, 30, kind), lambda event: None)  # type: ignore[arg-type]
    first, *others = run(book, 30)
    assert first == {"model.dropout": 0.9, "optimizer": "adam", "clip_norm": None}
    assert all(("clip_norm" in values) == (values["optimizer"] == "sgd") for values in others)


@pytest.mark.parametrize("kind", Searcher.members())
def test_an_interrupted_search_goes_on_and_repeats_no_trial(kind: str, tmp_path: Path) -> None:
    plan = plan_of(tmp_path, SPACE, 40, kind)
    before = run(Book(plan, lambda event: None), 25)  # type: ignore[arg-type]
    again = Book(plan, lambda event: None)  # type: ignore[arg-type]
    assert [trial.values for trial in again.trials.values()] == before
    after = run(again, 40)
    assert len(after) == 15
    assert sorted(again.trials) == list(range(40))
    if kind == "grid":
        assert not [values for values in after if values in before]


def test_a_grid_makes_the_definition_s_own_values_once(tmp_path: Path) -> None:
    grid = {
        "model.dropout": {"kind": "choice", "values": [0.9, 0.3]},
        "optimizer": {"kind": "choice", "values": ["sgd", "adam"]},
        "clip_norm": {"kind": "integer", "low": 1, "high": 2, "when": {"optimizer": ["sgd"]}},
    }
    plan = plan_of(tmp_path, grid, 20, "grid")  # type: ignore[arg-type]
    book = Book(plan, lambda event: None)  # type: ignore[arg-type]
    under_way = [
        asked["values"] for _ in range(20) if (asked := book.ask())
    ]  # none has ended when others are asked for
    assert len(under_way) == 6
    assert under_way[0] == {"model.dropout": 0.9, "optimizer": "adam", "clip_norm": None}
    assert {"model.dropout": 0.9, "optimizer": "adam"} not in under_way
    kept = run(Book(plan, lambda event: None), 3)  # type: ignore[arg-type]
    again = run(Book(plan, lambda event: None), 20)  # type: ignore[arg-type]
    assert [*kept, *again] == under_way


def test_a_journal_of_another_sweep_is_put_away(tmp_path: Path) -> None:
    run(Book(plan_of(tmp_path, SPACE, 5), lambda event: None), 5)  # type: ignore[arg-type]
    other = Book(plan_of(tmp_path, SPACE, 5, epochs=4), lambda event: None)  # type: ignore[arg-type]
    assert other.trials == {}


def test_a_trial_is_kept_as_it_was() -> None:
    trial = Trial(
        number=1, values={"a": 1, "b": None, "c": "x"}, status="stopped", curve=[0.5], seed=0, seconds=1, begun=0
    )
    assert Trial.model_validate_json(trial.model_dump_json()) == trial
